"""Images in, detections out; usable without the server.

from detector import load_detector

with load_detector("centernet-mobilenetv3") as detector:
    detections = detector.detect(cv2.imread("street.jpg"))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from detector.detections import BGRImage, Detections
    from detector.detector import Detector, load_detector
    from detector.errors import DetectorBusy, DetectorError, DetectorTimeout, ModelError, WorkerLost

__all__ = [
    "BGRImage",
    "Detections",
    "Detector",
    "DetectorBusy",
    "DetectorError",
    "DetectorTimeout",
    "ModelError",
    "WorkerLost",
    "load_detector",
]

_MODULES = {
    "BGRImage": "detections",
    "Detections": "detections",
    "Detector": "detector",
    "load_detector": "detector",
}


def __getattr__(name: str) -> object:
    """Import what is asked for only then: a configuration is read without OpenCV."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'errors')}"), name)
