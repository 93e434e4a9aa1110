from __future__ import annotations

import numpy as np
import pytest

from detector.detections import Detections
from detector.inference.nms import box_ious, suppress

Box = tuple[float, float, float, float]


def detections(boxes: list[Box], class_ids: list[int]) -> Detections:
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.linspace(0.9, 0.1, len(boxes), dtype=np.float32),
        np.array(class_ids, np.int64),
    )


@pytest.mark.parametrize(
    ("box", "other", "iou"),
    [
        ((0, 0, 10, 10), (20, 20, 30, 30), 0),
        ((0, 0, 10, 10), (10, 0, 20, 10), 0),
        ((5, 5, 5, 5), (5, 5, 5, 5), 0),
        ((0, 0, 10, 10), (0, 0, 10, 10), 1),
        ((0, 0, 10, 10), (5, 0, 15, 10), 50 / 150),
        ((0, 0, 10, 10), (2, 2, 7, 6), 20 / 100),
    ],
)
def test_iou_is_intersection_over_union(box: Box, other: Box, iou: float) -> None:
    ious = box_ious(np.array([box], np.float32), np.array([other], np.float32))
    np.testing.assert_allclose(ious, [[iou]], rtol=1e-6)


@pytest.mark.parametrize(
    ("boxes", "class_ids", "kept"),
    [
        ([], [], []),
        ([(0, 0, 10, 10)], [0], [0]),
        ([(0, 0, 10, 10), (0, 0, 10, 9)], [0, 0], [0]),
        ([(0, 0, 10, 10), (0, 0, 10, 9)], [0, 1], [0, 1]),
        ([(0, 0, 10, 10), (0, 0, 10, 5)], [0, 0], [0, 1]),  # exactly the threshold
        # The second is covered by the first, and so no longer covers the third.
        ([(0, 0, 10, 10), (3, 0, 13, 10), (6, 0, 16, 10)], [0, 0, 0], [0, 2]),
    ],
)
def test_better_box_of_a_class_covers_lesser_ones(
    boxes: list[Box], class_ids: list[int], kept: list[int]
) -> None:
    given = detections(boxes, class_ids)
    found = suppress(given, iou_threshold=0.5, max_detections=10)
    np.testing.assert_array_equal(found.scores, given.scores[kept])
    np.testing.assert_array_equal(found.boxes, given.boxes[kept])


def test_as_many_as_asked_for_are_found_behind_many_duplicates() -> None:
    apart: list[Box] = [(50 * n, 0, 50 * n + 10, 10) for n in range(1, 30)]
    duplicates: list[Box] = [(0, 0, 10, 10)] * 1000
    found = suppress(detections(duplicates + apart, [0] * 1029), iou_threshold=0.5, max_detections=20)
    np.testing.assert_array_equal(found.boxes[:, 0], 50 * np.arange(20))


def test_chunks_give_what_one_pass_gives() -> None:
    rng = np.random.default_rng(3)
    corners = rng.uniform(0, 60, (600, 2))
    boxes = np.concatenate((corners, corners + rng.uniform(5, 30, (600, 2))), axis=1).astype(np.float32)
    given = Detections(boxes, np.linspace(1, 0, 600, dtype=np.float32), rng.integers(0, 3, 600))
    kept: list[int] = []
    ious = box_ious(boxes, boxes)
    for index in range(600):  # the algorithm as textbooks write it
        same = [other for other in kept if given.class_ids[other] == given.class_ids[index]]
        if all(ious[index, other] <= 0.5 for other in same):
            kept.append(index)
    assert len(kept) > 128
    np.testing.assert_array_equal(suppress(given, 0.5, 1000).scores, given.scores[kept])
