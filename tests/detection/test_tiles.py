"""One object is one box, however many tiles show a piece of it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest

import stream_server
from detector import load_detector
from detector.detections import BGRImage, Detections
from detector.errors import WorkerLost
from stream_server.detection.tiles import OVERLAP, Gathering, Tile, cut_out, merge, split
from tests.support.sources import plain

SIZE_WH = (1000, 500)
TILES = split(SIZE_WH, 2, 1)  # the whole, 0 to 556 and 444 to 1000

Box = tuple[float, float, float, float]


def _found(tile: Tile, *boxes: Box, scores: Sequence[float] = (), class_id: int = 0) -> Detections:
    """Return boxes, given in the picture, as a detector finds what `tile` shows of them."""
    left, top, right, bottom = tile
    seen = np.array(boxes, np.float32).reshape(-1, 4)
    seen = np.clip(seen, (left, top, left, top), (right, bottom, right, bottom)) - (left, top, left, top)
    return Detections(
        seen.astype(np.float32),
        np.array(scores or [0.9] * len(boxes), np.float32),
        np.full(len(boxes), class_id, np.int64),
    )


def _merged(*found: Detections, max_detections: int = 100) -> Detections:
    return merge(found, TILES, iou_threshold=0.5, max_detections=max_detections)


NOTHING = Detections.none()
ASTRONAUT = Path(stream_server.__file__).parent / "assets" / "demo" / "astronaut.jpg"


@pytest.mark.parametrize(("columns", "rows"), [(1, 1), (2, 1), (2, 2), (3, 2), (4, 4)])
@pytest.mark.parametrize("size_wh", [(1920, 1080), (641, 359), (5, 3)])
def test_tiles_reach_over_the_picture_and_overlap(columns: int, rows: int, size_wh: tuple[int, int]) -> None:
    tiles = split(size_wh, columns, rows)
    assert tiles[0] == (0, 0, *size_wh)
    assert len(tiles) == (1 if columns * rows == 1 else 1 + columns * rows)
    covered = np.zeros((size_wh[1], size_wh[0]), np.int64)
    for left, top, right, bottom in tiles[1:]:
        assert 0 <= left < right <= size_wh[0]
        assert 0 <= top < bottom <= size_wh[1]
        covered[top:bottom, left:right] += 1
    assert len(tiles) == 1 or covered.min() >= 1


def test_neighbours_overlap_by_a_fifth_of_their_sides() -> None:
    tiles = split((1920, 1080), 2, 2)
    width, overlap = tiles[1][2] - tiles[1][0], tiles[1][2] - tiles[2][0]
    assert overlap / width == pytest.approx(OVERLAP, abs=0.01)


def test_a_tile_is_a_view_of_the_picture() -> None:
    image = plain(0, SIZE_WH)
    part = cut_out(image, TILES[2])
    assert part.shape == (500, 556, 3)
    assert np.shares_memory(part, image)


def test_nothing_found_is_nothing_merged() -> None:
    assert len(_merged(NOTHING, NOTHING, NOTHING)) == 0
    assert len(merge([NOTHING], split(SIZE_WH, 1, 1), iou_threshold=0.5, max_detections=9)) == 0


def test_boxes_are_in_pixels_of_the_picture_best_first() -> None:
    left, right = (10.0, 10.0, 30.0, 60.0), (900.0, 40.0, 930.0, 90.0)
    merged = _merged(NOTHING, _found(TILES[1], left, scores=[0.5]), _found(TILES[2], right, scores=[0.8]))
    assert merged.boxes == pytest.approx(np.array([right, left]))
    assert merged.scores == pytest.approx([0.8, 0.5])


def test_what_is_whole_in_several_tiles_is_one_box_with_the_best_score() -> None:
    box = (480.0, 100.0, 520.0, 200.0)
    near = (481.0, 101.0, 521.0, 199.0)
    merged = _merged(
        _found(TILES[0], box, scores=[0.6]), _found(TILES[1], near, scores=[0.9]), _found(TILES[2], box)
    )
    assert merged.boxes == pytest.approx(np.array([near]))
    assert merged.scores == pytest.approx([0.9])


@pytest.mark.parametrize("width", [130, 200, 300])
def test_an_object_cut_by_a_border_is_one_box(width: int) -> None:
    box = (500.0 - width / 2, 100.0, 500.0 + width / 2, 200.0)
    merged = _merged(NOTHING, _found(TILES[1], box, scores=[0.7]), _found(TILES[2], box, scores=[0.8]))
    assert merged.boxes == pytest.approx(np.array([box]))
    assert merged.scores == pytest.approx([0.8])


def test_pieces_of_what_is_found_whole_vanish_however_sure_they_are() -> None:
    box = (50.0, 50.0, 950.0, 450.0)
    merged = _merged(
        _found(TILES[0], box, scores=[0.5]),
        _found(TILES[1], box, scores=[0.9]),
        _found(TILES[2], box, scores=[0.8]),
    )
    assert merged.boxes == pytest.approx(np.array([box]))
    assert merged.scores == pytest.approx([0.9])


def test_a_whole_box_is_not_widened_by_a_surer_piece_that_reaches_farther() -> None:
    whole, piece = (100.0, 100.0, 540.0, 300.0), (200.0, 100.0, 600.0, 300.0)
    merged = _merged(_found(TILES[0], whole, scores=[0.5]), _found(TILES[1], piece, scores=[0.9]), NOTHING)
    assert merged.boxes == pytest.approx(np.array([whole]))


def test_an_object_in_four_tiles_is_one_box() -> None:
    tiles = split(SIZE_WH, 2, 2)
    box = (400.0, 180.0, 600.0, 320.0)
    found = [NOTHING, *(_found(tile, box) for tile in tiles[1:])]
    merged = merge(found, tiles, iou_threshold=0.5, max_detections=100)
    assert merged.boxes == pytest.approx(np.array([box]))


def test_a_small_object_before_a_large_one_of_its_class_stays() -> None:
    large, small = (100.0, 100.0, 440.0, 480.0), (200.0, 200.0, 300.0, 400.0)
    merged = _merged(_found(TILES[0], large), _found(TILES[1], small), NOTHING)
    assert len(merged) == 2


def test_classes_are_not_mixed() -> None:
    box = (420.0, 100.0, 580.0, 200.0)
    merged = _merged(NOTHING, _found(TILES[1], box, class_id=1), _found(TILES[2], box, class_id=2))
    assert sorted(merged.class_ids.tolist()) == [1, 2]


def test_what_ends_at_the_pictures_own_edge_is_whole() -> None:
    two_at_the_edge = [(0.0, 100.0, 60.0, 400.0), (0.0, 150.0, 30.0, 250.0)]
    merged = _merged(NOTHING, _found(TILES[1], *two_at_the_edge), NOTHING)
    assert len(merged) == 2


def test_the_best_are_kept_when_there_are_too_many() -> None:
    boxes = [(20.0 * at, 10.0, 20.0 * at + 10, 30.0) for at in range(20)]
    scores = np.linspace(0.9, 0.2, 20).tolist()
    merged = _merged(NOTHING, _found(TILES[1], *boxes, scores=scores), NOTHING, max_detections=3)
    assert merged.scores == pytest.approx(scores[:3])


def test_answers_are_handed_over_with_the_last_one() -> None:
    answers: list[Future[Detections]] = [Future() for _ in range(3)]
    done: list[Sequence[Future[Detections]]] = []
    Gathering(answers, done.append)
    for answer in answers[::-1]:
        assert not done
        answer.set_result(NOTHING)
    assert done == [answers]


def test_lost_and_cancelled_answers_are_answers() -> None:
    lost, cancelled = Future[Detections](), Future[Detections]()
    done: list[Sequence[Future[Detections]]] = []
    Gathering([lost, cancelled], done.append)
    lost.set_exception(WorkerLost("gone"))
    cancelled.cancel()
    assert done == [[lost, cancelled]]


def _scene(photo: BGRImage, side: int) -> tuple[BGRImage, list[tuple[int, int]]]:
    """Return a picture of 1920x1080 with the photo, `side` pixels high, in twelve places."""
    scale = side / photo.shape[0]
    small = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    image = plain((96, 110, 100), (1920, 1080))
    corners = [(160 + 440 * column, 130 + 340 * row) for column, row in product(range(4), range(3))]
    for x, y in corners:
        image[y : y + small.shape[0], x : x + small.shape[1]] = small
    return image, corners


def test_small_objects_are_found_in_tiles_that_the_whole_picture_hides() -> None:
    image, corners = _scene(np.asarray(cv2.imread(str(ASTRONAUT)), np.uint8), 120)
    tiles = split((1920, 1080), 2, 2)
    with load_detector("centernet-mobilenetv3", threads=2) as detector:
        found = [
            detector.detect(np.ascontiguousarray(cut_out(image, tile)), classes=["person"]) for tile in tiles
        ]
    merged = merge(found, tiles, iou_threshold=0.5, max_detections=100)
    assert len(found[0]) == 0
    assert sum(map(len, found)) > len(corners)  # several lie in two tiles or more
    middles = (merged.boxes[:, :2] + merged.boxes[:, 2:]) / 2
    assert len(middles) == len(corners)
    for corner in corners:
        assert ((middles > corner) & (middles < np.add(corner, 120))).all(axis=1).sum() == 1
