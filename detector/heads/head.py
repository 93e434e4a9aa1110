"""What the last step of every model has in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from detector.detections import Detections
from detector.model_file import Preprocessing, SizeWH

Arrays = Mapping[str, NDArray[np.float32]]
Shapes = Mapping[str, tuple[int | None, ...]]
"""By an output's name; None for a side not known before the model runs."""
ClassBase = Literal[0, 1]

_MAX_CLASS = 1 << 20  # a larger number is no class, and making a whole number of it may overflow


class Head(Protocol):
    """The last step of a model: what its outputs mean."""

    @property
    def class_count(self) -> int | None:
        """Number of classes; None when the outputs do not tell."""

    @property
    def first_class(self) -> ClassBase:
        """The number that the outputs give to the first class; 1 where 0 stands for the background."""

    @property
    def preprocessing(self) -> Preprocessing:
        """What this family expects of an image, unless the file or the user says otherwise."""

    @property
    def is_suppressed(self) -> bool:
        """Whether the graph left out duplicates (non-maximum suppression) already."""

    @property
    def is_batched(self) -> bool:
        """Whether the outputs have an axis for the images of a batch; without it one goes in at a time."""

    def decode(self, outputs: Arrays, row: int, score_threshold: float, input_wh: SizeWH) -> Detections:
        """Return all objects of one image with at least that score, best first.

        Boxes are in pixels of the model's input, class ids as the model numbers them (see `first_class`).
        What is not a number is left out.

        outputs: arrays by name; not kept after the call. row: the image's place in the batch.
        input_wh: the size of the model's input in this call.
        """


def best_first(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], classes: NDArray[np.float32] | NDArray[np.int64]
) -> Detections:
    """Return detections in order of their scores, without those that have a number that cannot be."""
    is_class = (classes > -0.5) & (classes < _MAX_CLASS)
    kept = np.flatnonzero(is_class & np.isfinite(scores) & np.isfinite(boxes).all(axis=1))
    order = kept[np.argsort(-scores[kept], kind="stable")]
    return Detections(boxes[order], np.minimum(scores[order], 1), np.rint(classes[order]).astype(np.int64))
