"""Picture files in, detections and annotated copies out."""

from __future__ import annotations

import time
from pathlib import Path

from detector.detector import Detector
from stream_server.base.file_names import MAX_BYTES, readable, shortened
from stream_server.detection.model_labels import ModelLabels
from stream_server.drawing.annotate import annotate
from stream_server.images.results import ImageDetections, ImageOptions, Timings
from stream_server.media.encode import encode_jpeg
from stream_server.media.image_decoding import ImageLimits, decode_image

QUALITY = 90
LIMITS = ImageLimits(max_bytes=2**30, max_pixels=2**30)
"""One's own files are trusted; more pixels OpenCV does not take."""


def annotated_path(stem: str, folder: Path) -> Path:
    """Return where an annotated copy goes: beside others in `folder`, never over an original."""
    ending = "-annotated.jpg"
    return folder / f"{shortened(stem, MAX_BYTES - len(ending) - len('-99999'))}{ending}"


def detect_file(detector: Detector, path: Path, options: ImageOptions, copy: Path | None) -> ImageDetections:
    """Return what is in the picture at `path`; with `copy`, write an annotated copy there, too.

    Raises ImageError, OSError, and what `Detector.detect` raises.
    """
    data = path.read_bytes()
    started = time.perf_counter()
    image = decode_image(data, LIMITS)
    decoded = time.perf_counter()
    found = detector.detect(
        image,
        score_threshold=options.score_threshold,
        iou_threshold=options.iou_threshold,
        classes=options.classes,
        max_detections=options.wanted_detections,
    )
    ended = time.perf_counter()
    found = options.keep(found, (image.shape[1], image.shape[0]))
    if copy is not None:
        jpeg = encode_jpeg(annotate(image, found, detector.labels), QUALITY)
        copy.write_bytes(jpeg)
    timings = Timings.of(started, decoded, ended - decoded, ended)
    return ImageDetections.of(
        readable(path), image, found, timings, ModelLabels(detector.name, detector.labels)
    )
