"""A loaded model that finds objects in images."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from types import TracebackType

import numpy as np

from detector.backends.loading import load_backend
from detector.detections import BGRImage, Detections, check_image
from detector.errors import DetectorError, ModelError
from detector.inference.network import Network, smallest_input
from detector.inference.nms import suppress
from detector.labels import find_class_ids, labels_for
from detector.model_file import ModelFile, SizeWH
from detector.zoo.catalog import find_model

SCORE_THRESHOLD = 0.4
IOU_THRESHOLD = 0.5
MAX_DETECTIONS = 100


class Detector:
    """Finds objects in images; for one thread. A context manager.

    name: of the model. labels: the words by class id. input_size_wh: width and height the model works at, at
    most; an image of other proportions may take a smaller input, which is loaded with the first such image.
    None: it takes images as large as they are.
    """

    def __init__(
        self,
        name: str,
        labels: Mapping[int, str],
        load: Callable[[SizeWH], Network],
        inputs_wh: Collection[SizeWH],
        loaded: Network,
    ) -> None:
        """load: returns the network for one of `inputs_wh` (empty: any size). loaded: the one there is."""
        self.name = name
        self.labels = labels
        self.input_size_wh = max(inputs_wh, key=lambda size_wh: size_wh[0] * size_wh[1], default=None)
        self._load = load
        self._inputs_wh = tuple(inputs_wh)
        self._networks = {loaded.input_wh: loaded}
        self._is_suppressed = loaded.head.is_suppressed
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
        return self.detect_batch(
            [image],
            score_threshold=score_threshold,
            iou_threshold=iou_threshold,
            classes=classes,
            max_detections=max_detections,
        )[0]

    def detect_batch(
        self,
        images: Sequence[BGRImage],
        *,
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
        classes: Collection[str] | None = None,
        max_detections: int | None = None,
    ) -> list[Detections]:
        """Return what is in each of `images`: as `detect`, several at a time where the model can."""
        score_threshold = _fraction("score_threshold", score_threshold, SCORE_THRESHOLD)
        iou_threshold = _fraction("iou_threshold", iou_threshold, IOU_THRESHOLD)
        max_detections = MAX_DETECTIONS if max_detections is None else max_detections
        if max_detections < 1:
            raise DetectorError(f"max_detections: got {max_detections}, expected 1 or more")
        class_ids = None if classes is None else find_class_ids(self.labels, classes)
        for image in images:
            check_image(image)

        every = self._find(images, score_threshold)
        if class_ids is not None:
            every = (found[np.isin(found.class_ids, class_ids)] for found in every)
        if self._is_suppressed:
            return [found[:max_detections] for found in every]
        return [suppress(found, iou_threshold, max_detections) for found in every]

    def _find(self, images: Sequence[BGRImage], score_threshold: float) -> Iterator[Detections]:
        """Return every object in each image, duplicates included; images that go to one network together."""
        for network, group in groupby(images, key=self._network_for):
            yield from network.find(list(group), score_threshold)

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
        input_wh = None
        if self._inputs_wh:
            input_wh = smallest_input((image.shape[1], image.shape[0]), self._inputs_wh)
        if input_wh is not None and input_wh not in self._networks:
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
    try:
        labels = labels_for(file, network.head, network.metadata.labels)
    except ModelError:
        network.close()
        raise
    inputs_wh = file.inputs_wh or ((network.input_wh,) if network.input_wh else ())
    return Detector(file.name, labels, partial(_load_network, file, threads), inputs_wh, network)


def _load_network(file: ModelFile, threads: int, input_wh: SizeWH | None) -> Network:
    backend = load_backend(file, threads=threads, input_wh=input_wh)
    try:
        return Network(backend, file, input_wh)
    except ModelError as exc:
        backend.close()
        raise ModelError(f"{file.path}: {exc}") from exc


def _fraction(name: str, value: float | None, default: float) -> float:
    if value is None:
        return default
    if not 0 <= value <= 1:
        raise DetectorError(f"{name}: got {value}, expected 0 to 1")
    return value
