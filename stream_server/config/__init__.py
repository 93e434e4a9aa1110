"""What may be configured, and how it is checked: all that other packages want of it, from one place."""

from stream_server.config.cameras import (
    CameraConfig,
    DetectConfig,
    MotionConfig,
    SourceConfig,
    StreamConfig,
    source_of,
)
from stream_server.config.config import Config, database_of
from stream_server.config.detector import DetectorConfig, ModelConfig
from stream_server.config.server import ApiConfig, AuthConfig, ServerConfig
from stream_server.config.types import NeededCameras, Overlay
from stream_server.config.videos import VideosConfig

__all__ = [
    "ApiConfig",
    "AuthConfig",
    "CameraConfig",
    "Config",
    "DetectConfig",
    "DetectorConfig",
    "ModelConfig",
    "MotionConfig",
    "NeededCameras",
    "Overlay",
    "ServerConfig",
    "SourceConfig",
    "StreamConfig",
    "VideosConfig",
    "database_of",
    "source_of",
]
