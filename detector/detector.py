"""A loaded model that finds objects in images."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType

import numpy as np

from detector.backends import Backend
from detector.catalog import find_model
from detector.detections import BGRImage, Detections
from detector.errors import DetectorError, ModelError
from detector.heads import Head, head_for
from detector.labels import find_class_ids, read_labels
from detector.letterbox import Letterbox
from detector.nms import suppress

SCORE_THRESHOLD = 0.4
IOU_THRESHOLD = 0.5
MAX_DETECTIONS = 100


class Detector:
    """Finds objects in images, one image at a time; for one thread. A context manager.

    name: of the model. labels: the words by class id. input_size_wh: width and height the model works at.
    """

    def __init__(self, name: str, backend: Backend, head: Head, labels: Mapping[int, str]) -> None:
        self.name = name
        self.labels = labels
        self.input_size_wh = backend.input_wh
        self._backend = backend
        self._head = head
        self._letterbox = Letterbox(backend.input_wh)

    def detect(
        self,
        image: BGRImage,
        *,
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
        classes: Collection[str] | None = None,
        max_detections: int | None = None,
    ) -> Detections:
        """Return what is in `image`, best first.

        image: (H, W, 3) uint8, BGR, any size. Not modified.
        score_threshold: least score, 0..1 (default 0.4).
        iou_threshold: overlap, 0..1, above which the lesser of two boxes of a class goes (default 0.5).
        classes: labels to keep (default: all). max_detections: 1 and up (default 100).

        Raises DetectorError for another image or value, with what was given; ModelError for an unknown class.
        """
        score_threshold = _fraction("score_threshold", score_threshold, SCORE_THRESHOLD)
        iou_threshold = _fraction("iou_threshold", iou_threshold, IOU_THRESHOLD)
        max_detections = MAX_DETECTIONS if max_detections is None else max_detections
        if max_detections < 1:
            raise DetectorError(f"max_detections: got {max_detections}, expected 1 or more")
        class_ids = None if classes is None else find_class_ids(self.labels, classes)
        _check_image(image)

        placement = self._letterbox.fill(image)
        found = self._head.decode(self._backend.run(self._letterbox.input), score_threshold)
        if class_ids is not None:
            found = found[np.isin(found.class_ids, class_ids)]
        return placement.to_image(suppress(found, iou_threshold, max_detections))

    def close(self) -> None:
        """Free the model; may be called twice. `detect` raises DetectorError from then on."""
        self._backend.close()

    def __enter__(self) -> Detector:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def load_detector(name_or_path: str | Path, *, threads: int = 1) -> Detector:
    """Return the detector for a known model's name or the path of a `.tflite` file.

    threads: the runtime uses for one image, 1 and up.

    Raises ModelError that names the file, what was found and what is supported; DetectorError for `threads`.
    """
    if threads < 1:
        raise DetectorError(f"threads: got {threads}, expected 1 or more")
    from detector.backends.litert import LiteRTBackend  # noqa: PLC0415 - 0.1 s that only who loads a model pays

    file = find_model(name_or_path)
    backend = LiteRTBackend(file.path, threads=threads, sha256=file.sha256)
    labels = read_labels(file.labels_path)
    try:
        head = head_for(backend.input_wh, backend.output_shapes)
    except ModelError as exc:
        raise ModelError(f"{file.path}: {exc}") from exc
    if max(labels) >= head.class_count:
        raise ModelError(
            f"{file.labels_path}: {max(labels) + 1} labels, but the model has {head.class_count} classes"
        )
    return Detector(file.name, backend, head, labels)


def _fraction(name: str, value: float | None, default: float) -> float:
    if value is None:
        return default
    if not 0 <= value <= 1:
        raise DetectorError(f"{name}: got {value}, expected 0 to 1")
    return value


def _check_image(image: BGRImage) -> None:
    if not isinstance(image, np.ndarray):
        raise DetectorError(f"the image is {type(image).__name__}, expected an array (H, W, 3) uint8, BGR")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise DetectorError(f"the image is {image.shape} {image.dtype}, expected (H, W, 3) uint8, BGR")
