"""The YOLO family: one output with a row (or column) for each cell of the feature maps.

Boxes are centre, width and height, in pixels of the input or, in Ultralytics' TFLite files, as fractions of
it. Which, the centres tell: those of the last cells lie near the input's lower right corner.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from detector.detections import Detections
from detector.errors import DetectorError
from detector.heads.head import Arrays, ClassBase, Shapes, best_first
from detector.model_file import Preprocessing, SizeWH

YOLOV5_OUTPUTS = "one output (1, 25200, 5 + classes)"
YOLOV8_OUTPUTS = "one output (1, 4 + classes, 8400) or (1, 8400, 4 + classes)"
YOLOX_OUTPUTS = "one output (1, 8400, 5 + classes)"
YOLOV10_OUTPUTS = "one output (1, N, 6)"

Layout = Literal["yolov5", "yolov8", "yolox"]
Rows = NDArray[np.float32]

# ultralytics/data/augment.py, LetterBox; the same in YOLOv5
_ULTRALYTICS = Preprocessing(resize="letterbox", mean=(0.0,) * 3, std=(255.0,) * 3, border=114.0)
# yolox/data/data_augment.py, preproc(): as OpenCV reads it, not scaled, upper left
_YOLOX = Preprocessing(resize="letterbox", channels="bgr", border=114.0, centred=False)
_STRIDES = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32))
_ANCHORS = 3  # a cell, in YOLOv5
_MOST_FINAL = 1000  # detections of a graph that chooses them itself; they are 300 by default


@dataclass(frozen=True, slots=True)
class YoloHead:
    """One row a cell: box, in some layouts a score for "any object", a score for each class."""

    output: str
    layout: Layout
    class_count: int | None
    first_class: ClassBase = 0
    is_suppressed: bool = False  # an object is found by several cells

    @property
    def preprocessing(self) -> Preprocessing:
        """A letterbox with the border, range and channels of the family."""
        return _YOLOX if self.layout == "yolox" else _ULTRALYTICS

    def decode(self, outputs: Arrays, row: int, score_threshold: float, input_wh: SizeWH) -> Detections:
        """Return the best class of each cell that scores enough; several may mean one object."""
        rows = _by_row(outputs[self.output][row], self.layout, input_wh)
        if rows.shape[1] <= _columns_before_classes(self.layout):
            raise DetectorError(f"{self.layout}: the output is {rows.shape}, which leaves no class")
        with np.errstate(over="ignore", invalid="ignore"):  # of what is no number; left out below
            cells, scores, class_ids = self._score(rows, score_threshold)
            boxes = self._boxes(rows, cells, input_wh)
            halves = boxes[:, 2:] * np.float32(0.5)
            corners = np.concatenate((boxes[:, :2] - halves, boxes[:, :2] + halves), axis=1)
        return best_first(corners, scores, class_ids)

    def _score(
        self, rows: Rows, threshold: float
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
        """Return the cells that score enough, with their best class."""
        if self.layout == "yolov8":
            # The largest of 80 x 8400 first, which of them for the few: argmax of all takes 4 times as long.
            cells = np.flatnonzero(rows[:, 4:].max(axis=1) >= threshold)
            scores = rows[cells, 4:]
        else:
            cells = np.flatnonzero(rows[:, 4] >= threshold)  # no class scores more than its object does
            scores = rows[cells, 5:] * rows[cells, 4:5]
        class_ids = scores.argmax(axis=1)
        best = scores[np.arange(len(cells)), class_ids]
        enough = best >= threshold
        return cells[enough], best[enough], class_ids[enough]

    def _boxes(self, rows: Rows, cells: NDArray[np.int64], input_wh: SizeWH) -> NDArray[np.float32]:
        """Return centre, width and height in pixels of the input."""
        boxes = rows[cells, :4]
        if self.layout == "yolox":
            return (
                boxes if _reach(rows) > min(input_wh) / 4 else _from_grid(boxes, cells, len(rows), input_wh)
            )
        return boxes if _reach(rows) > 2 else boxes * np.array(input_wh * 2, np.float32)


@dataclass(frozen=True, slots=True)
class FinalYoloHead:
    """YOLO that chooses its detections itself (v10, 26, others exported with NMS).

    A row is x_min, y_min, x_max, y_max, score, class.
    """

    output: str
    class_count: int | None = None
    first_class: ClassBase = 0
    is_suppressed: bool = True
    preprocessing: Preprocessing = _ULTRALYTICS

    def decode(self, outputs: Arrays, row: int, score_threshold: float, input_wh: SizeWH) -> Detections:
        """Return the rows that score enough, best first."""
        rows = outputs[self.output][row]
        rows = rows[(rows[:, 4] >= score_threshold) & (rows[:, 5] > -0.5) & (rows[:, 5] < _MOST_FINAL)]
        boxes = rows[:, :4]
        if not np.any(boxes > 2):  # fractions
            boxes = boxes * np.array(input_wh * 2, np.float32)
        return best_first(boxes, rows[:, 4], np.rint(rows[:, 5]).astype(np.int64))


def yolo_head(layout: Layout, input_wh: SizeWH | None, outputs: Shapes, is_named: bool) -> YoloHead | None:
    """Return the head for one output of that layout.

    Unless it is named, its shape must tell: v5 has three rows a cell; v8 a column each, or rows of 84 (COCO);
    YOLOX rows of any other length.
    """
    output = _only_output(outputs, is_named)
    if output is None or (input_wh is None and not is_named):
        return None
    shape = outputs[output]
    channels = _channels(shape[1:], layout, input_wh)
    is_by_column = channels is not None and channels == shape[1]
    class_count = None if channels is None else channels - _columns_before_classes(layout)
    if class_count is not None and class_count < 1:
        return None
    if not is_named and (channels is None or not _tells(layout, channels, is_by_column)):
        return None
    return YoloHead(output, layout, class_count)


def final_yolo_head(input_wh: SizeWH | None, outputs: Shapes, is_named: bool) -> FinalYoloHead | None:
    """Return the head for one output with six numbers a detection."""
    output = _only_output(outputs, is_named)
    if output is None or outputs[output][2] != 6:
        return None
    is_few = (outputs[output][1] or 0) <= _MOST_FINAL
    return FinalYoloHead(output) if is_few or is_named else None


def _only_output(outputs: Shapes, is_named: bool) -> str | None:
    """Return the output (batch, A, B); beside others it is one only if the user says so."""
    fit = [output for output, shape in outputs.items() if len(shape) == 3]
    return fit[0] if len(fit) == 1 and (is_named or len(outputs) == 1) else None


def _columns_before_classes(layout: Layout) -> int:
    return 4 if layout == "yolov8" else 5


def _tells(layout: Layout, channels: int, is_by_column: bool) -> bool:
    if layout == "yolov5":
        return True
    return (layout == "yolov8") == (is_by_column or channels == 84)


def _channels(sides: tuple[int | None, ...], layout: Layout, input_wh: SizeWH | None) -> int | None:
    """Return the side of (A, B) that is not the number of rows for this input; None when neither is."""
    counts = _row_counts(layout, input_wh) if input_wh is not None else frozenset()
    by_row, by_column = sides[0] in counts, sides[1] in counts
    if by_row and by_column:  # tiny inputs: 64 x 64 has 84 cells
        by_row = layout != "yolov8"
    if by_row:
        return sides[1]
    return sides[0] if by_column else None


@lru_cache
def _row_counts(layout: Layout, input_wh: SizeWH) -> frozenset[int]:
    anchors = _ANCHORS if layout == "yolov5" else 1
    return frozenset(anchors * sum(_cells(input_wh, stride) for stride in strides) for strides in _STRIDES)


def _cells(input_wh: SizeWH, stride: int) -> int:
    return (input_wh[0] // stride) * (input_wh[1] // stride)


def _by_row(array: NDArray[np.float32], layout: Layout, input_wh: SizeWH) -> Rows:
    """Return `array` with a row a cell, whichever way it lies; no copy."""
    channels = _channels(array.shape, layout, input_wh)
    if channels is None:
        channels = min(array.shape)
    return array if array.shape[1] == channels and array.shape[0] != channels else array.T


def _reach(rows: Rows) -> float:
    """Return how far right or down the farthest cell has its box's centre."""
    return float(np.fmax.reduce(rows[:, :2], axis=None, initial=0))


def _from_grid(boxes: Rows, cells: NDArray[np.int64], count: int, input_wh: SizeWH) -> NDArray[np.float32]:
    """Return YOLOX's raw boxes in pixels (yolox/models/yolo_head.py, decode_outputs).

    The centre is (cell + value) * stride, width and height exp(value) * stride.
    """
    grid = _grid(count, input_wh)[cells]
    strides = grid[:, 2:]
    return np.concatenate(((grid[:, :2] + boxes[:, :2]) * strides, np.exp(boxes[:, 2:]) * strides), axis=1)


@lru_cache
def _grid(count: int, input_wh: SizeWH) -> NDArray[np.float32]:
    """Return column, row and stride (count, 3) of all cells, stride after stride, row after row."""
    strides = next((some for some in _STRIDES if sum(_cells(input_wh, s) for s in some) == count), ())
    maps = []
    for stride in strides:
        width, height = input_wh[0] // stride, input_wh[1] // stride
        rows, columns = np.divmod(np.arange(width * height), width)
        maps.append(np.stack((columns, rows, np.full_like(rows, stride)), axis=1, dtype=np.float32))
    if not maps:
        raise DetectorError(f"a raw YOLOX output has {count} rows, which do not fit an input of {input_wh}")
    return np.concatenate(maps)
