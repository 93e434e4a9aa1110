"""Images in, detections out; usable without the server.

from detector import load_detector

with load_detector("centernet-mobilenetv3") as detector:
    detections = detector.detect(cv2.imread("street.jpg"))
"""

from __future__ import annotations

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
