"""Picture files in, detections and annotated copies out."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import cv2
import numpy as np
from pydantic import BaseModel

from detector.detections import BGRImage
from detector.detector import Detector
from stream_server.annotate import annotate
from stream_server.encode import encode_jpeg
from stream_server.errors import ImageError
from stream_server.schemas import Detection, detection_list

QUALITY = 90


class ImageDetections(BaseModel):
    """What was found in one picture file."""

    image: str
    width: int
    height: int
    detections: list[Detection]


def read_image(path: Path) -> BGRImage:
    """Return the picture in a file, (H, W, 3) uint8 BGR, turned as its EXIF data says.

    Raises ImageError for a file that holds no picture OpenCV reads, OSError for one that cannot be read.
    """
    data = np.frombuffer(path.read_bytes(), np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        raise ImageError(f"is not a picture ({data.size} bytes); expected JPEG, PNG, WebP or BMP")
    return np.asarray(image, np.uint8)


def annotated_path(image: Path, folder: Path) -> Path:
    """Return where the annotated copy of `image` goes: beside others in `folder`, never over the original."""
    return folder / f"{image.stem}-annotated.jpg"


def detect_file(
    detector: Detector,
    path: Path,
    score_threshold: float,
    classes: Collection[str] | None,
    output: Path | None,
) -> ImageDetections:
    """Return what is in the picture at `path`; with `output`, put an annotated copy into that folder too.

    Raises ImageError, OSError, and what `Detector.detect` raises.
    """
    image = read_image(path)
    found = detector.detect(image, score_threshold=score_threshold, classes=classes)
    if output is not None:
        jpeg = encode_jpeg(annotate(image, found, detector.labels), QUALITY)
        annotated_path(path, output).write_bytes(jpeg)
    height, width = image.shape[:2]
    return ImageDetections(
        image=str(path),
        width=width,
        height=height,
        detections=detection_list(found, (width, height), detector.labels),
    )
