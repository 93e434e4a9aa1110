"""A loaded model that finds objects in images."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType

import numpy as np

from detector.catalog import find_model
from detector.detections import BGRImage, Detections, check_image
from detector.errors import DetectorError, ModelError
from detector.labels import find_class_ids, read_labels
from detector.model_file import ModelFile, SizeWH
from detector.network import Network, smallest_input
from detector.nms import suppress

SCORE_THRESHOLD = 0.4
IOU_THRESHOLD = 0.5
MAX_DETECTIONS = 100


class Detector:
    """Finds objects in images, one image at a time; for one thread. A context manager.

    name: of the model. labels: the words by class id. input_size_wh: width and height the model works at, at
    most; an image of other proportions may take a smaller input, which is loaded with the first such image.
    """

    def __init__(
        self,
        name: str,
        labels: Mapping[int, str],
        load: Callable[[SizeWH], Network],
        inputs_wh: Collection[SizeWH],
        loaded: Network,
    ) -> None:
        """load: returns the network for one of `inputs_wh`. loaded: the one there is already."""
        self.name = name
        self.labels = labels
        self.input_size_wh = max(inputs_wh, key=lambda size_wh: size_wh[0] * size_wh[1])
        self._load = load
        self._inputs_wh = tuple(inputs_wh)
        self._networks = {loaded.input_wh: loaded}
        self._is_closed = False

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
        check_image(image)

        found = self._network_for(image).find(image, score_threshold)
        if class_ids is not None:
            found = found[np.isin(found.class_ids, class_ids)]
        return suppress(found, iou_threshold, max_detections)

    def close(self) -> None:
        """Free the model; may be called twice. `detect` raises DetectorError from then on."""
        self._is_closed = True
        for network in self._networks.values():
            network.close()
        self._networks.clear()

    def __enter__(self) -> Detector:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _network_for(self, image: BGRImage) -> Network:
        if self._is_closed:
            raise DetectorError("the detector is closed")
        input_wh = smallest_input((image.shape[1], image.shape[0]), self._inputs_wh)
        if input_wh not in self._networks:
            self._networks[input_wh] = self._load(input_wh)
        return self._networks[input_wh]


def load_detector(model: str | Path | ModelFile, *, threads: int = 1) -> Detector:
    """Return the detector for a known model's name, the path of a model file, or a described file.

    threads: the runtime uses for one image, 1 and up.

    Raises ModelError that names the file, what was found and what is supported; DetectorError for `threads`.
    """
    if threads < 1:
        raise DetectorError(f"threads: got {threads}, expected 1 or more")
    file = model if isinstance(model, ModelFile) else find_model(model)
    usual_wh = file.inputs_wh[0] if file.inputs_wh else None
    network = _load_network(file, threads, usual_wh)
    if file.labels_path is None:
        raise ModelError(f"{file.path}: no labels for it")
    labels = read_labels(file.labels_path)
    if max(labels) >= network.class_count:
        raise ModelError(
            f"{file.labels_path}: {max(labels) + 1} labels, but the model has {network.class_count} classes"
        )
    inputs_wh = file.inputs_wh or (network.input_wh,)
    return Detector(file.name, labels, partial(_load_network, file, threads), inputs_wh, network)


def _load_network(file: ModelFile, threads: int, input_wh: SizeWH | None) -> Network:
    from detector.backends.litert import LiteRTBackend  # noqa: PLC0415 - 0.2 s that only who loads a model pays

    backend = LiteRTBackend(file.path, threads=threads, sha256=file.sha256, input_wh=input_wh)
    try:
        return Network(backend)
    except ModelError as exc:
        raise ModelError(f"{file.path}: {exc}") from exc


def _fraction(name: str, value: float | None, default: float) -> float:
    if value is None:
        return default
    if not 0 <= value <= 1:
        raise DetectorError(f"{name}: got {value}, expected 0 to 1")
    return value
