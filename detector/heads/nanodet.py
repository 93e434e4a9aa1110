"""NanoDet, NanoDet-Plus and PicoDet: a class's score and four distances at each cell of some feature maps.

A distance is not one number but a score for each of 0, 1, 2, … cells; what is meant is their mean, weighted
by the softmax of the scores, times the map's stride (Li et al. 2020, "Generalized Focal Loss", section 3.2).

What differs: one array a map or all maps in one; classes and distances together or apart; channels first or
last; scores before the sigmoid or after it, which their values tell; and which point of a cell is meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detector.detections import Detections
from detector.errors import DetectorError
from detector.heads.centernet import logit, sigmoid
from detector.heads.head import Arrays, ClassBase, Shapes, best_first
from detector.model_file import Preprocessing, SizeWH

NANODET_OUTPUTS = "(1, H / 8, W / 8, classes + 32) and so on for 16, 32, 64, or (1, cells, classes + 32)"
PICODET_OUTPUTS = "(1, cells, classes) and (1, cells, 32) for strides of 8, 16, 32, 64, or for all in one"

Layout = Literal["nanodet", "picodet"]
Rows = NDArray[np.float32]

# config/nanodet-plus-m_416.yml of RangiLyu/nanodet: normalize, keep_ratio
_NANODET_PLUS = Preprocessing("stretch", "bgr", (103.53, 116.28, 123.675), (57.375, 57.12, 58.395))
# config/legacy_v0.x_configs/nanodet-m.yml: the same, but its proportions are kept, with black around it
_NANODET = Preprocessing("letterbox", "bgr", _NANODET_PLUS.mean, _NANODET_PLUS.std, border=0.0)
# configs/picodet/_base_/picodet_320_reader.yml of PaddleDetection, whose Decode gives RGB
_PICODET = Preprocessing("stretch", "rgb", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))

_PLUS_STRIDES = (8, 16, 32, 64)
_STRIDES = (_PLUS_STRIDES, (8, 16, 32), (8, 16, 32, 64, 128))
_BINS = (8, 7, 11, 17)  # scores a distance, the most usual first: reg_max + 1
_COCO = 80
_OTHERS = (84, 85, 144, 255)  # channels of YOLO with COCO's classes


class _Reading(NamedTuple):
    """How an output may be read: the strides of the maps in it, and which axis has the channels."""

    strides: tuple[int, ...]
    channels: int
    is_channels_first: bool


class _Part(NamedTuple):
    """Scores of classes and distances of the same cells: where each lies in the outputs."""

    scores: str
    distances: str
    strides: tuple[int, ...]
    are_scores_first: bool  # channels before cells
    are_distances_first: bool


class _Plan(NamedTuple):
    """What the outputs are. are_joined: classes come first and distances after them, in one array."""

    parts: tuple[_Part, ...]
    class_count: int
    bins: int
    are_joined: bool

    @property
    def strides(self) -> tuple[int, ...]:
        return tuple(stride for part in self.parts for stride in part.strides)


@dataclass(frozen=True, slots=True)
class NanoDetHead:
    """Reads the cells in which a class scores enough, and there the distances to the box's sides.

    A cell (x, y) stands for (x, y) * stride in NanoDet-Plus, for its middle in NanoDet (which has three maps)
    and PicoDet.
    """

    layout: Layout
    class_count: int | None
    preprocessing: Preprocessing
    first_class: ClassBase = 0
    is_suppressed: bool = False  # an object is found by several cells
    is_batched: bool = True

    def decode(self, outputs: Arrays, row: int, score_threshold: float, input_wh: SizeWH) -> Detections:
        """Return each class that scores enough in a cell; several may mean one object."""
        plan = _plan(tuple((name, array.shape) for name, array in outputs.items()), input_wh)
        if plan is None:
            raise DetectorError(f"{self.layout}: {_shapes(outputs)} do not fit an input of {input_wh}")
        with np.errstate(over="ignore", invalid="ignore"):  # of what is no number; left out by best_first
            scores = [_scores(outputs, row, part, plan) for part in plan.parts]
            # After the sigmoid nothing is below 0, before it nearly everything.
            are_logits = any(bool((of_part < 0).any()) for of_part in scores)
            least = logit(score_threshold) if are_logits else score_threshold
            found = []
            for part, of_part in zip(plan.parts, scores, strict=True):
                cells, class_ids = _find(of_part, least)
                distances = _by_cell(outputs[part.distances][row], part.are_distances_first)
                bins = distances[cells, -4 * plan.bins :].reshape(-1, 4, plan.bins)
                grid = _grid(part.strides, len(distances), input_wh)[cells]
                boxes = decode_boxes(grid, mean_bin(bins), self._point_of_cell(plan))
                found.append((boxes, of_part[cells, class_ids], class_ids))
            boxes, values, class_ids = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
        return best_first(boxes, sigmoid(values) if are_logits else values, class_ids)

    def _point_of_cell(self, plan: _Plan) -> float:
        """Return where in a cell its point is: 0 is the upper left corner, 0.5 the middle."""
        return 0 if self.layout == "nanodet" and plan.strides == _PLUS_STRIDES else 0.5


def nanodet_head(
    layout: Layout, input_wh: SizeWH | None, outputs: Shapes, is_named: bool
) -> NanoDetHead | None:
    """Return the head for maps of scores and distances.

    Unless it is named, its shapes must tell: PicoDet has classes and distances apart, for four strides;
    NanoDet has them in one array, or for three strides.
    """
    if input_wh is None or any(None in shape[1:] for shape in outputs.values()):
        is_likely = is_named and bool(outputs) and all(len(shape) in (3, 4) for shape in outputs.values())
        return NanoDetHead(layout, None, _preprocessing(layout, _PLUS_STRIDES)) if is_likely else None
    plan = _plan(tuple(outputs.items()), input_wh)
    if plan is None or not (is_named or _tells(layout, plan)):
        return None
    return NanoDetHead(layout, plan.class_count, _preprocessing(layout, plan.strides))


def mean_bin(bins: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean (N, 4) of 0, 1, 2, … weighted by the softmax of `bins`, (N, 4, count)."""
    weights = np.exp(bins - bins.max(axis=2, keepdims=True))
    mean: NDArray[np.float32] = weights @ np.arange(bins.shape[2], dtype=np.float32) / weights.sum(axis=2)
    return mean


def decode_boxes(
    grid: NDArray[np.float32], distances: NDArray[np.float32], point_of_cell: float
) -> NDArray[np.float32]:
    """Return boxes (N, 4) as x_min, y_min, x_max, y_max in pixels of the input.

    grid: column, row and stride (N, 3). distances: (N, 4), to left, top, right and bottom, in strides.
    """
    strides = grid[:, 2:]
    points, to_sides = (grid[:, :2] + np.float32(point_of_cell)) * strides, distances * strides
    return np.concatenate((points - to_sides[:, :2], points + to_sides[:, 2:]), axis=1)


def _preprocessing(layout: Layout, strides: tuple[int, ...]) -> Preprocessing:
    if layout == "picodet":
        return _PICODET
    return _NANODET if len(strides) == 3 else _NANODET_PLUS


def _tells(layout: Layout, plan: _Plan) -> bool:
    """Return whether no other family has such outputs."""
    if not plan.are_joined:  # more bins are YOLO's, nine are the anchors of a RetinaNet
        is_picodet = plan.strides == _PLUS_STRIDES
        return plan.bins in (7, 8) and (layout == "picodet") == is_picodet
    channels = plan.class_count + 4 * plan.bins
    is_by_cell = not any(part.are_scores_first for part in plan.parts)
    is_plus = plan.strides == _PLUS_STRIDES and (is_by_cell or len(plan.parts) > 1)
    return layout == "nanodet" and channels not in _OTHERS and (is_plus or plan.class_count == _COCO)


@lru_cache
def _plan(outputs: Sequence[tuple[str, tuple[int, ...]]], input_wh: SizeWH) -> _Plan | None:
    """Return what outputs of these shapes are for an input of that size; None for something else."""
    readings = {name: tuple(_readings(shape[1:], input_wh)) for name, shape in outputs}
    channels = {reading.channels for found in readings.values() for reading in found}
    for count in sorted(channels):
        bins = _joined_bins(count)
        maps = _maps(readings, count)
        if bins and maps and len(maps) == len(outputs):
            return _planned(maps, maps, count - 4 * bins, bins, are_joined=True)
    for bins in _BINS:
        distances, others = _split(readings, 4 * bins)
        for count in sorted(channels):
            scores = _maps(others, count)
            if distances and scores and len(scores) == len(distances) == len(outputs) / 2:
                return _planned(scores, distances, count, bins, are_joined=False)
    return None


def _readings(shape: tuple[int, ...], input_wh: SizeWH) -> Iterator[_Reading]:
    """Yield the ways to read an output, whose `shape` is that of one image."""
    strides = sorted({stride for some in _STRIDES for stride in some})
    if len(shape) == 3:
        for stride in strides:
            for side_hw in {size_wh[::-1] for size_wh in _sizes(input_wh, stride)}:
                if shape[:2] == side_hw:
                    yield _Reading((stride,), shape[2], False)
                if shape[1:] == side_hw:
                    yield _Reading((stride,), shape[0], True)
    elif len(shape) == 2:
        for some in (*((stride,) for stride in strides), *_STRIDES):
            if shape[0] in _counts(input_wh, some):
                yield _Reading(some, shape[1], False)
            if shape[1] in _counts(input_wh, some):
                yield _Reading(some, shape[0], True)


def _maps(readings: Mapping[str, Sequence[_Reading]], channels: int) -> dict[str, _Reading] | None:
    """Return the outputs that have so many channels, in order of stride; None when strides are missing."""
    found = {
        name: reading for name, some in readings.items() for reading in some if reading.channels == channels
    }
    ordered = dict(sorted(found.items(), key=lambda item: item[1].strides))
    strides = tuple(stride for reading in ordered.values() for stride in reading.strides)
    return ordered if strides in _STRIDES else None


def _split(
    readings: Mapping[str, Sequence[_Reading]], channels: int
) -> tuple[dict[str, _Reading] | None, dict[str, Sequence[_Reading]]]:
    """Return the maps with so many channels, and all other outputs.

    With as many classes as channels the distances are the later outputs: classes come first everywhere.
    """
    candidates = [name for name, some in readings.items() if any(one.channels == channels for one in some)]
    if len(candidates) == len(readings):
        seen: set[tuple[int, ...]] = set()
        candidates = [name for name in candidates if _is_again(readings[name][0].strides, seen)]
    others = {name: some for name, some in readings.items() if name not in candidates}
    return _maps({name: readings[name] for name in candidates}, channels), others


def _is_again(strides: tuple[int, ...], seen: set[tuple[int, ...]]) -> bool:
    is_again = strides in seen
    seen.add(strides)
    return is_again


def _planned(
    scores: Mapping[str, _Reading],
    distances: Mapping[str, _Reading],
    class_count: int,
    bins: int,
    are_joined: bool,
) -> _Plan | None:
    pairs = list(zip(scores.items(), distances.items(), strict=True))
    if any(score.strides != distance.strides for (_, score), (_, distance) in pairs):
        return None
    parts = tuple(
        _Part(name, of, score.strides, score.is_channels_first, distance.is_channels_first)
        for (name, score), (of, distance) in pairs
    )
    return _Plan(parts, class_count, bins, are_joined)


def _joined_bins(channels: int) -> int | None:
    """Return how many scores a distance has when classes are in the same array."""
    of_coco = [bins for bins in _BINS if channels == _COCO + 4 * bins]
    return next(iter(of_coco), None) or next((bins for bins in _BINS if channels > 4 * bins), None)


def _sizes(input_wh: SizeWH, stride: int) -> tuple[SizeWH, ...]:
    """Return the sizes a map may have: a cell at the border that is not whole counts in nearly all."""
    width, height = input_wh
    return ((-(-width // stride), -(-height // stride)), (width // stride, height // stride))


def _counts(input_wh: SizeWH, strides: tuple[int, ...]) -> set[int]:
    by_rounding = zip(*(_sizes(input_wh, stride) for stride in strides), strict=True)
    return {sum(width * height for width, height in sizes) for sizes in by_rounding}


@lru_cache
def _grid(strides: tuple[int, ...], count: int, input_wh: SizeWH) -> NDArray[np.float32]:
    """Return column, row and stride (count, 3) of all cells, stride after stride, row after row."""
    for sizes in zip(*(_sizes(input_wh, stride) for stride in strides), strict=True):
        if sum(width * height for width, height in sizes) == count:
            break
    maps = []
    for stride, (width, height) in zip(strides, sizes, strict=True):
        rows, columns = np.divmod(np.arange(width * height), width)
        maps.append(np.stack((columns, rows, np.full_like(rows, stride)), axis=1, dtype=np.float32))
    return np.concatenate(maps)


def _by_cell(array: NDArray[np.float32], is_channels_first: bool) -> Rows:
    """Return an output's array of one image as (cells, channels), a view."""
    if is_channels_first:
        return array.reshape(len(array), -1).T
    return array.reshape(-1, array.shape[-1])


def _scores(outputs: Arrays, row: int, part: _Part, plan: _Plan) -> Rows:
    """Return the scores (cells, classes) of a part."""
    return _by_cell(outputs[part.scores][row], part.are_scores_first)[:, : plan.class_count]


def _find(scores: Rows, least: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return cell and class (N,) of the scores, (cells, classes), of at least `least`.

    0.1 ms for 3598 cells of 80 classes; the best class of each cell first would take 0.5.
    """
    is_enough = scores >= least  # lies in memory as the scores do
    if is_enough.flags.c_contiguous:
        return np.divmod(np.flatnonzero(is_enough), is_enough.shape[1])
    class_ids, cells = np.divmod(np.flatnonzero(is_enough.T), len(is_enough))
    return cells, class_ids


def _shapes(outputs: Arrays) -> str:
    return ", ".join(f"{name} {array.shape}" for name, array in outputs.items())
