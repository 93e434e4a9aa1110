"""CenterNet: a heat map whose peaks are objects (Zhou et al. 2019, "Objects as Points", sections 3 and 4)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detector.detections import Detections
from detector.heads.head import Arrays, ClassBase, Shapes, best_first
from detector.model_file import Preprocessing, SizeWH

CENTERNET_OUTPUTS = "logits (1, H, W, classes), distances (1, H, W, 4)"

_PREPROCESSING = Preprocessing(resize="letterbox", border=127.0)
_NEIGHBOURS = ((0, -1), (0, 1), (-1, 0), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1))


@dataclass(frozen=True, slots=True)
class CenterNetHead:
    """Reads the peaks of a heat map of logits, and at each the distances to the box's sides.

    Outputs by name:
    logits: (batch, H, W, classes), a class's score at a cell before the sigmoid; an object stands where a
        cell is not below any of its eight neighbours.
    distances: (batch, H, W, 4), from the cell's position to left, top, right, bottom, in the input's pixels.
    """

    class_count: int
    first_class: ClassBase = 0
    is_suppressed: bool = False
    is_batched: bool = True
    preprocessing: Preprocessing = _PREPROCESSING

    def decode(self, outputs: Arrays, row: int, score_threshold: float, input_wh: SizeWH) -> Detections:
        """Return the peaks of the heat map as detections, best first."""
        logits = outputs["logits"][row]
        rows, columns, class_ids = find_peaks(logits, logit(score_threshold))
        distances = outputs["distances"][row, rows, columns]
        boxes = decode_boxes(rows, columns, distances, input_wh[0] // logits.shape[1])
        return best_first(boxes, sigmoid(logits[rows, columns, class_ids]), class_ids)


def centernet_head(input_wh: SizeWH | None, outputs: Shapes, is_named: bool) -> CenterNetHead | None:
    """Return the head for a heat map and distances of one size that fits the input's."""
    logits, distances = outputs.get("logits", ()), outputs.get("distances", ())
    if not len(logits) == len(distances) == 4 or distances != (*logits[:3], 4):
        return None
    _, rows, columns, class_count = logits
    if class_count is None:
        return None
    if input_wh is not None and columns and rows:
        stride, rest = divmod(input_wh[0], columns)
        if rest or stride * rows != input_wh[1]:
            return None
    return CenterNetHead(class_count)


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
