"""Small objects: the picture analysed in overlapping tiles too, and what was found there put together.

An object at the border of two tiles is cut in both, and neither box covers the other much. So what is cut is
compared by the smaller area of the two, as Akyon et al. do ("Slicing Aided Hyper Inference", ICIP 2022);
whole boxes by their union as anywhere else, so that a small object before a large one of its class stays.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from detector.detections import BGRImage, Detections
from detector.inference.nms import box_areas, box_ious

OVERLAP = 0.2
"""Of neighbouring tiles, as a part of their sides: an object up to that large is whole in one of them."""

Tile = tuple[int, int, int, int]
"""x_min, y_min, x_max, y_max in whole pixels of the picture."""

_CUT_PX = 4.0  # a box that ends so near to a tile's border ends there because of it
_SAME_OBJECT = 0.5  # of the smaller area

_Bools = NDArray[np.bool_]
_Floats = NDArray[np.float32]


def split(size_wh: tuple[int, int], columns: int, rows: int) -> list[Tile]:
    """Return the whole picture and, where there are any, `columns` x `rows` overlapping tiles of it."""
    whole = (0, 0, *size_wh)
    if columns * rows == 1:
        return [whole]
    across, down = _spans(size_wh[0], columns), _spans(size_wh[1], rows)
    return [whole, *((left, top, right, bottom) for top, bottom in down for left, right in across)]


def _spans(length: int, count: int) -> list[tuple[int, int]]:
    """Return `count` spans of equal length that reach over `length` pixels and overlap by `OVERLAP`."""
    span = min(length, int(np.ceil(length / (count - (count - 1) * OVERLAP))))
    starts = np.linspace(0, length - span, count).round().astype(int).tolist()
    return [(start, start + span) for start in starts]


def cut_out(image: BGRImage, tile: Tile) -> BGRImage:
    """Return the tile's pixels, a view."""
    left, top, right, bottom = tile
    return image[top:bottom, left:right]


def merge(
    found: Sequence[Detections], tiles: Sequence[Tile], *, iou_threshold: float, max_detections: int
) -> Detections:
    """Return what was found in each of `tiles` as what is in the picture, boxes in its pixels, best first.

    tiles: as `split` returns them. Of boxes of one class that mean the same object the best whole one is
    kept, with the best score; where all are cut, the box around them.
    """
    if len(tiles) == 1:
        return found[0]
    boxes = np.concatenate(
        [each.boxes + np.array(tile[:2] * 2, np.float32) for each, tile in zip(found, tiles, strict=True)]
    )
    is_cut = np.concatenate(
        [_cut(each.boxes, tile, tiles[0]) for each, tile in zip(found, tiles, strict=True)]
    )
    everything = Detections(
        boxes,
        np.concatenate([each.scores for each in found]),
        np.concatenate([each.class_ids for each in found]),
    )
    order = np.lexsort((-everything.scores, is_cut))  # whole boxes first, best first
    merged = _merge(everything[order], is_cut[order], iou_threshold)
    return merged[np.argsort(-merged.scores, kind="stable")[:max_detections]]


def _cut(boxes: _Floats, tile: Tile, whole: Tile) -> _Bools:
    """Return which (N,) boxes, in pixels of `tile`, end at a border of it that is none of the picture's."""
    edges = np.array((0, 0, tile[2] - tile[0], tile[3] - tile[1]), np.float32)
    cut: _Bools = ((np.abs(boxes - edges) < _CUT_PX) & (np.array(tile) != np.array(whole))).any(axis=1)
    return cut


def _merge(detections: Detections, is_cut: _Bools, iou_threshold: float) -> Detections:
    """Return the detections, whole ones first, without those that mean an object named before."""
    same = _same_objects(detections, is_cut, iou_threshold)
    boxes, scores = detections.boxes.copy(), detections.scores.copy()
    is_left = np.ones(len(detections), np.bool_)
    kept = []
    for index in range(len(detections)):
        if not is_left[index]:
            continue
        group = np.flatnonzero(same[index] & is_left)
        if is_cut[index]:
            group = _reached(same, is_left, index)
            boxes[index, :2], boxes[index, 2:] = boxes[group, :2].min(axis=0), boxes[group, 2:].max(axis=0)
        scores[index] = scores[group].max()
        is_left[group] = False
        kept.append(index)
    return replace(detections, boxes=boxes, scores=scores)[np.array(kept, np.int64)]


def _reached(same: _Bools, is_left: _Bools, index: int) -> NDArray[np.int64]:
    """Return all that are left and mean the object of `index`, over any number of cut boxes in between."""
    group = np.zeros(len(same), np.bool_)
    grown = np.zeros(len(same), np.bool_)
    grown[index] = True
    while not np.array_equal(grown, group):
        group = grown
        grown = group | (same[group].any(axis=0) & is_left)
    return np.flatnonzero(group)


def _same_objects(detections: Detections, is_cut: _Bools, iou_threshold: float) -> _Bools:
    """Return which (N, N) pairs of one class overlap too much to be two objects; each is its own."""
    ious = box_ious(detections.boxes, detections.boxes)
    areas = box_areas(detections.boxes)
    intersections = ious * (areas[:, None] + areas) / (1 + ious)
    of_smaller = intersections / np.maximum(np.minimum(areas[:, None], areas), 1e-6)
    is_either_cut = is_cut[:, None] | is_cut
    is_same = (ious > iou_threshold) | (is_either_cut & (of_smaller > _SAME_OBJECT))
    is_same &= detections.class_ids[:, None] == detections.class_ids
    np.fill_diagonal(is_same, val=True)
    same: _Bools = is_same
    return same


class Gathering:
    """Waits for the answers about all tiles of one picture."""

    def __init__(
        self,
        answers: Sequence[Future[Detections]],
        on_done: Callable[[Sequence[Future[Detections]]], None],
    ) -> None:
        """on_done: called once with the answers when the last is there, on the thread that brings it."""
        self._answers = answers
        self._on_done: Callable[[Sequence[Future[Detections]]], None] | None = on_done
        self._lock = threading.Lock()  # guards _missing
        self._missing = len(answers)
        for answer in answers:
            answer.add_done_callback(self._count)

    def _count(self, _: Future[Detections]) -> None:
        with self._lock:
            self._missing -= 1
            is_last = not self._missing
        if is_last and self._on_done:
            # Futures keep their callbacks, hence this: what it holds would live until the next garbage
            # collection, pictures among it.
            answers, self._answers = self._answers, ()
            on_done, self._on_done = self._on_done, None
            on_done(answers)
