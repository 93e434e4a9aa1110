"""What may be configured, and how it is checked: all that other packages want of it, from one place."""

from stream_server.config.config import (
    ApiConfig,
    AuthConfig,
    CameraConfig,
    Config,
    DetectConfig,
    DetectorConfig,
    ModelConfig,
    MotionConfig,
    NeededCameras,
    Overlay,
    ServerConfig,
    SourceConfig,
    StreamConfig,
    VideosConfig,
    database_of,
    source_of,
)

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
