"""Keeps the best of boxes that mean the same object."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detector.detections import Detections

_CHUNK = 128


def box_areas(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the areas (N,) of boxes (N, 4) given as x_min, y_min, x_max, y_max."""
    areas: NDArray[np.float32] = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    return areas


def box_ious(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the overlaps (N, M) of boxes (N, 4) with others (M, 4): intersection over union area, 0..1."""
    upper_left = np.maximum(boxes[:, None, :2], others[None, :, :2])
    lower_right = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    sides = np.maximum(lower_right - upper_left, 0)
    intersections = sides[..., 0] * sides[..., 1]
    unions = box_areas(boxes)[:, None] + box_areas(others)[None, :] - intersections
    ious: NDArray[np.float32] = np.zeros_like(intersections)
    np.divide(intersections, unions, out=ious, where=unions > 0)
    return ious


def suppress(detections: Detections, iou_threshold: float, max_detections: int) -> Detections:
    """Return the best `max_detections` of `detections`, without those a better one of their class covers.

    detections: best first. Covered means an overlap above `iou_threshold` with one that is kept (greedy
    non-maximum suppression).
    """
    kept = np.empty(0, np.int64)
    # In chunks: often the first yields enough, and a matrix of all pairs could fill the memory.
    for start in range(0, len(detections), _CHUNK):
        if len(kept) >= max_detections:
            break
        chunk = np.arange(start, min(start + _CHUNK, len(detections)))
        if len(kept):
            chunk = chunk[~_covers(detections[kept], detections[chunk], iou_threshold).any(axis=0)]
        kept = np.concatenate((kept, chunk[_greedy(detections[chunk], iou_threshold)]))
    return detections[kept[:max_detections]]


def _greedy(detections: Detections, iou_threshold: float) -> NDArray[np.bool_]:
    """Return which (N,) are kept, going from the best down."""
    covers = np.triu(_covers(detections, detections, iou_threshold), k=1)
    keep = np.ones(len(detections), np.bool_)
    for index in np.flatnonzero(covers.any(axis=1)):
        if keep[index]:
            keep &= ~covers[index]
    return keep


def _covers(better: Detections, lesser: Detections, iou_threshold: float) -> NDArray[np.bool_]:
    """Return which (N, M) pairs are of one class and overlap too much."""
    same_class: NDArray[np.bool_] = better.class_ids[:, None] == lesser.class_ids[None, :]
    return np.logical_and(same_class, box_ious(better.boxes, lesser.boxes) > iou_threshold)
