"""Live MJPEG video streaming server with TensorFlow object detection."""

__version__ = "0.1.0"
__all__ = ["__version__"]
