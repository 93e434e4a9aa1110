"""Finding cameras: this machine's webcams, ONVIF devices near it, and what is known of makers."""

from stream_server.discovery.makers import MAKERS
from stream_server.discovery.search import Found, OnvifCamera, Search, lasting_path

__all__ = ["MAKERS", "Found", "OnvifCamera", "Search", "lasting_path"]
