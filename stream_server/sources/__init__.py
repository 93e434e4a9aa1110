"""One module per way to get pictures."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from stream_server.config import SourceConfig
from stream_server.config.source_url import SourceKind
from stream_server.sources.base import Source

__all__ = ["Source", "open_source"]

_CLASSES: dict[SourceKind, tuple[str, str]] = {
    "webcam": ("webcam", "WebcamSource"),
    "rtsp": ("rtsp", "RTSPSource"),
    "hls": ("hls", "HLSSource"),
    "http": ("http", "HttpSource"),
    "file": ("file", "FileSource"),
    "push": ("push", "PushSource"),
    "demo": ("demo", "DemoSource"),
}
"""Module and class of each kind."""


def open_source(config: SourceConfig) -> Source:
    """Return the source that `config` describes, not opened yet.

    Its module is imported here and not earlier: who watches a webcam does not wait for FFmpeg to load.
    """
    module, name = _CLASSES[config.url.kind]
    source_class: Callable[[SourceConfig], Source] = getattr(import_module(f"{__name__}.{module}"), name)
    return source_class(config)
