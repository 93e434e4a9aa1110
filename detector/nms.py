"""Keeps the best of boxes that mean the same object."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detector.detections import Detections


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
    # What is kept among the first n does not depend on the rest, so a prefix does when it yields enough.
    prefix = min(len(detections), max_detections + max_detections // 4)
    kept = _keep(detections[:prefix], iou_threshold)
    while len(kept) < max_detections and prefix < len(detections):
        prefix = min(len(detections), 2 * prefix)
        kept = _keep(detections[:prefix], iou_threshold)
    return detections[kept[:max_detections]]


def _keep(detections: Detections, iou_threshold: float) -> NDArray[np.int64]:
    same_class = detections.class_ids[:, None] == detections.class_ids[None, :]
    covers = np.triu(same_class & (box_ious(detections.boxes, detections.boxes) > iou_threshold), k=1)
    alive = np.ones(len(detections), np.bool_)
    for index in np.flatnonzero(covers.any(axis=1)):
        if alive[index]:
            alive &= ~covers[index]
    return np.flatnonzero(alive)
