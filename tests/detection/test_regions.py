"""Which detections count, by where they stand, how large and how sure they are."""

from __future__ import annotations

import math

import numpy as np
import pytest

from detector.detections import Detections
from stream_server.config.polygons import Polygon, check_polygon
from stream_server.detection.regions import Regions, Thresholds, contains

SIZE_WH = (1000, 500)
LEFT_HALF: Polygon = ((0, 0), (0.5, 0), (0.5, 1), (0, 1))
LOWER_HALF: Polygon = ((0, 0.5), (1, 0.5), (1, 1), (0, 1))
EVERYWHERE: Polygon = ((0, 0), (1, 0), (1, 1), (0, 1))
L_SHAPE: Polygon = ((0, 0), (0.2, 0), (0.2, 0.8), (1, 0.8), (1, 1), (0, 1))
LABELS = {0: "person", 2: "car", 15: "cat"}


def _found(*boxes: tuple[float, float, float, float]) -> Detections:
    count = len(boxes)
    array = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections(array, np.full(count, 0.9, np.float32), np.arange(count, dtype=np.int64))


def _standing_at(x: float, y: float) -> tuple[float, float, float, float]:
    """Return a box of 40 x 100 pixels on a point given in parts of the picture."""
    return (x * 1000 - 20, y * 500 - 100, x * 1000 + 20, y * 500)


def _kept(regions: Regions, *boxes: tuple[float, float, float, float]) -> list[int]:
    return regions.keep(_found(*boxes), SIZE_WH).class_ids.tolist()


@pytest.mark.parametrize("regions", [Regions(), Regions(inside=[LEFT_HALF], min_wh=(0.1, 0.1))])
def test_nothing_found_is_nothing_kept(regions: Regions) -> None:
    assert len(regions.keep(Detections.none(), SIZE_WH)) == 0


def test_without_regions_everything_counts() -> None:
    assert _kept(Regions(), _standing_at(0.1, 0.3), (0, 0, 1, 1), (-50, -50, 1100, 600)) == [0, 1, 2]


def test_an_object_is_where_the_middle_of_its_lower_edge_is() -> None:
    reaches_in_from_the_right = (480.0, 100.0, 900.0, 300.0)
    reaches_out_to_the_right = (100.0, 100.0, 890.0, 300.0)
    assert _kept(Regions(inside=[LEFT_HALF]), reaches_in_from_the_right, reaches_out_to_the_right) == [1]
    head_in_feet_out, head_out_feet_in = _standing_at(0.5, 0.49), _standing_at(0.5, 0.51)
    assert _kept(Regions(inside=[LOWER_HALF]), head_in_feet_out, head_out_feet_in) == [1]


def test_one_of_several_regions_is_enough() -> None:
    regions = Regions(inside=[LEFT_HALF, LOWER_HALF])
    boxes = [_standing_at(x, y) for x, y in ((0.2, 0.3), (0.8, 0.3), (0.8, 0.9), (0.2, 0.9))]
    assert _kept(regions, *boxes) == [0, 2, 3]


def test_what_is_ignored_is_so_inside_a_region_too() -> None:
    regions = Regions(inside=[LEFT_HALF], ignore=[LOWER_HALF])
    boxes = [_standing_at(x, y) for x, y in ((0.2, 0.4), (0.8, 0.4), (0.2, 0.9))]
    assert _kept(regions, *boxes) == [0]
    assert _kept(Regions(ignore=[LOWER_HALF]), *boxes) == [0, 1]


def test_a_box_clipped_at_the_pictures_edge_stands_in_the_region_that_ends_there() -> None:
    clipped_below, clipped_right, clipped_left = (
        (400.0, 300.0, 500.0, 500.0),
        (1000.0, 100.0, 1000.0, 300.0),
        (0.0, 100.0, 0.0, 300.0),
    )
    assert _kept(Regions(inside=[EVERYWHERE]), clipped_below, clipped_right, clipped_left) == [0, 1, 2]


def test_small_boxes_are_left_out_by_either_side() -> None:
    regions = Regions(min_wh=(0.05, 0.1))
    assert _kept(regions, (0, 0, 50, 50), (0, 0, 49, 200), (0, 0, 200, 49), (10, 10, 300, 300)) == [0, 3]


def test_a_region_may_have_any_shape() -> None:
    points = np.array([(0.1, 0.5), (0.5, 0.5), (0.5, 0.9), (0.1, 0.9), (1.5, 0.9), (0.5, -0.1)])
    assert contains(np.array(L_SHAPE), points).tolist() == [True, False, True, True, False, False]


def test_direction_of_the_points_does_not_matter() -> None:
    points = np.random.default_rng(2).random((200, 2))
    there, back = np.array(L_SHAPE), np.array(L_SHAPE[::-1])
    assert np.array_equal(contains(there, points), contains(back, points))


def test_a_mask_covers_what_its_region_does() -> None:
    shape_hw = (90, 160)
    y, x = np.mgrid[0:90, 0:160]
    centres = np.column_stack(((x.ravel() + 0.5) / 160, (y.ravel() + 0.5) / 90))
    mask = Regions(inside=[L_SHAPE]).mask(shape_hw)
    differs = mask.ravel() != contains(np.array(L_SHAPE), centres)
    assert differs.mean() < 0.02  # a pixel along the edges
    assert Regions().mask(shape_hw).all()


def test_a_masks_margin_widens_what_counts_but_not_what_is_ignored() -> None:
    regions = Regions(inside=[LEFT_HALF], ignore=[LOWER_HALF])
    narrow, wide = regions.mask((90, 160)), regions.mask((90, 160), margin=0.05)
    assert narrow[20].sum() == pytest.approx(80, abs=1)
    assert wide[20].sum() == pytest.approx(88, abs=1)
    assert not wide[50:].any()


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        ((), "expected 3 points or more, there are 0"),
        (((0, 0), (1, 1)), "expected 3 points or more, there are 2"),
        (((0, 0), (1, 0), (1, 1.01)), "expected points of the picture: x and y from 0 to 1"),
        (((0, 0), (1, 0), (math.nan, 1)), "expected points of the picture: x and y from 0 to 1"),
        (
            ((0, 0), (1, 1), (1, 0), (0, 1)),
            "expected points in order around the region; edges 1 and 3 cross",
        ),
        (((0, 0), (0.5, 0.5), (1, 1)), "expected points that enclose an area"),
        (((0.2, 0.2), (0.2, 0.2), (0.2, 0.2)), "expected points that enclose an area"),
    ],
)
def test_points_that_are_no_region_are_refused(points: Polygon, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_polygon(points)


@pytest.mark.parametrize("polygon", [LEFT_HALF, L_SHAPE, L_SHAPE[::-1], ((0, 0), (1, 0), (0.5, 1))])
def test_points_around_an_area_are_a_region(polygon: Polygon) -> None:
    check_polygon(polygon)


def test_classes_have_thresholds_of_their_own() -> None:
    thresholds = Thresholds(0.4, {"person": 0.6, "cat": 0.2})
    of = thresholds.of(np.array([0, 2, 15, 99], np.int64), LABELS)
    assert of == pytest.approx([0.6, 0.4, 0.2, 0.4])
    assert thresholds.lowest == 0.2
    assert Thresholds(0.4, {"person": 0.6}).lowest == 0.4
    assert thresholds.of(np.empty(0, np.int64), LABELS).shape == (0,)
