"""Turns a model's raw outputs into detections; one class per family of models."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from detector.detections import Detections
from detector.errors import ModelError

Arrays = Mapping[str, NDArray[np.float32]]
Shapes = Mapping[str, tuple[int, ...]]

_NEIGHBOURS = ((0, -1), (0, 1), (-1, 0), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1))


class Head(Protocol):
    """The last step of a model: what its outputs mean."""

    @property
    def class_count(self) -> int:
        """Number of classes; ids are 0 to class_count - 1."""

    def decode(self, outputs: Arrays, score_threshold: float) -> Detections:
        """Return all objects with at least that score, best first, boxes in pixels of the model's input.

        outputs: arrays by name; not kept after the call.
        """


class CenterNetHead:
    """Heat map and box distances of a CenterNet (Zhou et al. 2019, "Objects as Points", sections 3 and 4).

    Outputs by name:
    logits: (1, H, W, classes), a class's score at a cell before the sigmoid; an object stands where a cell is
        not below any of its eight neighbours.
    distances: (1, H, W, 4), from the cell's position to left, top, right and bottom, in pixels of the input.
    """

    def __init__(self, logits_shape: tuple[int, ...], stride: int) -> None:
        """stride: pixels of the input from one cell to the next."""
        self._shape = logits_shape
        self._stride = stride

    @property
    def class_count(self) -> int:
        """Number of classes in the heat map."""
        return self._shape[3]

    def decode(self, outputs: Arrays, score_threshold: float) -> Detections:
        """Return the peaks of the heat map as detections, best first."""
        logits = outputs["logits"][0]
        rows, columns, class_ids = find_peaks(logits, logit(score_threshold))
        scores = sigmoid(logits[rows, columns, class_ids])
        best_first = np.argsort(-scores, kind="stable")
        rows, columns = rows[best_first], columns[best_first]
        boxes = decode_boxes(rows, columns, outputs["distances"][0, rows, columns], self._stride)
        return Detections(boxes, scores[best_first], class_ids[best_first])


def head_for(input_wh: tuple[int, int], outputs: Shapes) -> Head:
    """Return the head that understands a model with these outputs. Raises ModelError that lists them."""
    logits, distances = outputs.get("logits", ()), outputs.get("distances", ())
    if len(logits) == len(distances) == 4 and logits[0] == 1 and distances == (*logits[:3], 4):
        stride, rest = divmod(input_wh[0], logits[2])
        if rest == 0 and stride * logits[1] == input_wh[1]:
            return CenterNetHead(logits, stride)
    found = ", ".join(f"{name} {shape}" for name, shape in outputs.items())
    raise ModelError(
        f"the outputs are {found}; supported: CenterNet (logits (1, H, W, classes), distances (1, H, W, 4))"
    )


def find_peaks(
    heat: NDArray[np.float32], threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return row, column and class of the cells of `heat` that are peaks of at least `threshold`.

    heat: (H, W, classes). A peak is not below any of its eight neighbours of the same class.
    """
    height, width, classes = heat.shape
    flat = heat.reshape(-1)
    # Candidates first: comparing 128 x 128 x 80 values with a threshold takes 0.2 ms, max-pooling them 10.
    index = np.flatnonzero(flat >= threshold)
    values = flat[index]
    rows = index // (classes * width)
    columns = index // classes - rows * width  # half the time of np.divmod
    for down, right in _NEIGHBOURS:
        beside = index + (down * width + right) * classes
        if right:  # past the border a cell is compared with itself
            beside = np.where(columns == (0 if right < 0 else width - 1), index, beside)
        if down:
            beside = np.where(rows == (0 if down < 0 else height - 1), index, beside)
        keep = np.flatnonzero(values >= flat[beside])
        index, values, rows, columns = index[keep], values[keep], rows[keep], columns[keep]
    return rows, columns, index % classes


def decode_boxes(
    rows: NDArray[np.int64], columns: NDArray[np.int64], distances: NDArray[np.float32], stride: int
) -> NDArray[np.float32]:
    """Return boxes (N, 4) as x_min, y_min, x_max, y_max around the cells, in pixels of the input.

    distances: (N, 4), to left, top, right and bottom. The cell's position is column * stride, row * stride:
    its upper left corner, as the model was trained.
    """
    centres = np.stack((columns, rows), axis=1, dtype=np.float32) * stride
    return np.concatenate((centres - distances[:, :2], centres + distances[:, 2:]), axis=1)


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 1 / (1 + exp(-logits)), written so that no exponential overflows."""
    scores: NDArray[np.float32] = 0.5 * (1 + np.tanh(0.5 * logits))
    return scores


def logit(score: float) -> float:
    """Return the inverse of the sigmoid; 0 gives -inf, 1 gives inf."""
    if score <= 0:
        return -math.inf
    return math.log(score / (1 - score)) if score < 1 else math.inf
