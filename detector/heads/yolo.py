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
from detector.heads.postprocessed import YOLO_NMS_OUTPUTS, PostprocessedHead, yolo_nms_head
from detector.model_file import Preprocessing, SizeWH

YOLOV5_OUTPUTS = f"(1, 25200, 5 + classes) or {YOLO_NMS_OUTPUTS}"
YOLOV8_OUTPUTS = "(1, 4 + classes, 8400) or (1, 8400, 4 + classes)"
YOLOX_OUTPUTS = "(1, 8400, 5 + classes)"
YOLOV10_OUTPUTS = "(1, N, 6), (N, 6), or 5 without a class"

Layout = Literal["yolov5", "yolov8", "yolox"]
Rows = NDArray[np.float32]

# ultralytics/data/augment.py, LetterBox; the same in YOLOv5
_ULTRALYTICS = Preprocessing(resize="letterbox", mean=(0.0,) * 3, std=(255.0,) * 3, border=114.0)
# yolox/data/data_augment.py, preproc(): as OpenCV reads it, not scaled, upper left
_YOLOX = Preprocessing(resize="letterbox", channels="bgr", border=114.0, centred=False)
_STRIDES = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32))
_ANCHORS = 3  # a cell, in YOLOv5
_MASK_PARTS = 32  # numbers for a mask behind the classes, in models that outline objects too
_MOST_FINAL = 1000  # detections of a graph that chooses them itself; they are 300 by default


@dataclass(frozen=True, slots=True)
class YoloHead:
    """One row a cell: box, in some layouts a score for "any object", a score for each class.

    has_masks: behind them come numbers that make an outline; they are ignored.
    """

    output: str
    layout: Layout
    class_count: int | None
    has_masks: bool = False
    first_class: ClassBase = 0
    is_suppressed: bool = False  # an object is found by several cells
    is_batched: bool = True

    @property
    def preprocessing(self) -> Preprocessing:
        """A letterbox with the border, range and channels of the family."""
        return _YOLOX if self.layout == "yolox" else _ULTRALYTICS

    def decode(self, outputs: Arrays, row: int, score_threshold: float, input_wh: SizeWH) -> Detections:
        """Return the best class of each cell that scores enough; several may mean one object."""
        rows = _by_row(outputs[self.output][row], self.layout, input_wh)
        if self.has_masks:
            rows = rows[:, :-_MASK_PARTS]
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
            is_decoded = _reach(rows) > min(input_wh) / 4
            return boxes if is_decoded else _from_grid(boxes, cells, len(rows), input_wh)
        return boxes if _reach(rows) > 2 else boxes * np.array(input_wh * 2, np.float32)


@dataclass(frozen=True, slots=True)
class FinalYoloHead:
    """YOLO that chooses its detections itself (v10, 26, others exported with NMS).

    A row is x_min, y_min, x_max, y_max, score, class; without the last there is one class.
    """

    output: str
    class_count: int | None = None
    is_batched: bool = True
    first_class: ClassBase = 0
    is_suppressed: bool = True
    preprocessing: Preprocessing = _ULTRALYTICS

    def decode(self, outputs: Arrays, row: int, score_threshold: float, input_wh: SizeWH) -> Detections:
        """Return the rows that score enough, best first."""
        rows = outputs[self.output][row] if self.is_batched else outputs[self.output]
        rows = rows[rows[:, 4] >= score_threshold]
        boxes = rows[:, :4]
        if not np.any(boxes > 2):  # fractions
            boxes = boxes * np.array(input_wh * 2, np.float32)
        classes = rows[:, 5] if rows.shape[1] > 5 else np.zeros(len(rows), np.float32)
        return best_first(boxes, rows[:, 4], classes)


def yolov5_head(
    input_wh: SizeWH | None, outputs: Shapes, is_named: bool
) -> YoloHead | PostprocessedHead | None:
    """Return the head of a YOLOv5, with suppression in its graph or without."""
    return yolo_nms_head(input_wh, outputs, is_named) or yolo_head("yolov5", input_wh, outputs, is_named)


def yolo_head(layout: Layout, input_wh: SizeWH | None, outputs: Shapes, is_named: bool) -> YoloHead | None:
    """Return the head for an output of that layout.

    Unless it is named, its shape must tell: v5 has three rows a cell; v8 a column each, or rows of 84 (COCO);
    YOLOX rows of any other length.
    """
    output = _the_output(outputs, is_named)
    if output is None:
        return None
    sides = outputs[output][1:]
    has_masks = any(len(shape) == 4 and _MASK_PARTS in shape for shape in outputs.values())
    columns = _columns(sides, layout, input_wh)
    if columns is None:
        return YoloHead(output, layout, None, has_masks) if is_named else None
    class_count = columns - _columns_before_classes(layout) - (_MASK_PARTS if has_masks else 0)
    is_by_row = columns == sides[1] and sides[0] != columns
    if class_count < 1 or not (is_named or _tells(layout, is_by_row, class_count)):
        return None
    return YoloHead(output, layout, class_count, has_masks)


def final_yolo_head(input_wh: SizeWH | None, outputs: Shapes, is_named: bool) -> FinalYoloHead | None:
    """Return the head for an output with six numbers a detection, or five.

    Without an axis for the batch there may be as many rows as there are detections. One row of six, unless it
    is named, may as well be what a classifier says.
    """
    output = _the_output(outputs, is_named) or _the_table(outputs)
    if output is None or outputs[output][-1] not in (5, 6):
        return None
    *_, count, columns = outputs[output]
    is_batched = len(outputs[output]) == 3
    is_few = count is None or (1 if is_batched else 2) <= count <= _MOST_FINAL
    if not (is_few or is_named):
        return None
    return FinalYoloHead(output, 1 if columns == 5 else None, is_batched)


def _the_table(outputs: Shapes) -> str | None:
    """Return the only output, if it is (rows, columns)."""
    return next((output for output, shape in outputs.items() if len(shape) == 2 and len(outputs) == 1), None)


def _the_output(outputs: Shapes, is_named: bool) -> str | None:
    """Return the only output (batch, A, B).

    Unless the user says so, nothing may be beside it but what masks are made of.
    """
    fit = [output for output, shape in outputs.items() if len(shape) == 3]
    others = [shape for shape in outputs.values() if len(shape) != 3]
    is_expected = all(len(shape) == 4 and _MASK_PARTS in shape for shape in others)
    return fit[0] if len(fit) == 1 and (is_named or is_expected) else None


def _columns_before_classes(layout: Layout) -> int:
    return 4 if layout == "yolov8" else 5


def _tells(layout: Layout, is_by_row: bool, class_count: int) -> bool:
    if layout == "yolov5":
        return True
    is_v8 = not is_by_row or class_count + _columns_before_classes(layout) == 84
    return is_v8 == (layout == "yolov8")


def _columns(sides: tuple[int | None, ...], layout: Layout, input_wh: SizeWH | None) -> int | None:
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
    columns = _columns(array.shape, layout, input_wh) or min(array.shape)
    return array if array.shape[1] == columns != array.shape[0] else array.T


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
