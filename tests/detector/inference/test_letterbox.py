from __future__ import annotations

import numpy as np
import pytest

from detector.detections import Detections
from detector.inference.letterbox import Placement


def detections(*boxes: tuple[float, float, float, float]) -> Detections:
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4), np.full(count, 0.5, np.float32), np.zeros(count, np.int64)
    )


@pytest.mark.parametrize(
    ("image_wh", "offset_xy", "placed_wh"),
    [
        ((512, 512), (0, 0), (512, 512)),
        ((1280, 720), (0, 112), (512, 288)),
        ((720, 1280), (112, 0), (288, 512)),
        ((100, 100), (0, 0), (512, 512)),
        ((641, 480), (0, 64), (512, 383)),
        ((30000, 1), (0, 255), (512, 1)),
        ((1, 1), (0, 0), (512, 512)),
    ],
)
def test_image_lies_in_the_middle_as_large_as_fits(
    image_wh: tuple[int, int], offset_xy: tuple[int, int], placed_wh: tuple[int, int]
) -> None:
    placement = Placement.centred(image_wh, (512, 512))
    assert (placement.offset_xy, placement.placed_wh) == (offset_xy, placed_wh)


def test_no_boxes_stay_no_boxes() -> None:
    assert Placement.centred((1280, 720), (512, 512)).to_image(detections()).boxes.shape == (0, 4)


def test_boxes_return_to_the_pixels_of_the_image() -> None:
    # 1280x720 in 512x512: scale 0.4, 112 pixels of border above: (100, 152) -> (100, 40) / 0.4.
    found = Placement.centred((1280, 720), (512, 512)).to_image(detections((100, 152, 200, 232)))
    np.testing.assert_allclose(found.boxes, [[250, 100, 500, 300]], atol=1e-3)


def test_boxes_are_clipped_to_the_image_and_left_out_when_nothing_remains() -> None:
    placement = Placement.centred((1280, 720), (512, 512))
    found = placement.to_image(detections((-20, 100, 600, 500), (10, 20, 90, 100), (10, 112, 20, 122)))
    np.testing.assert_allclose(found.boxes, [[0, 0, 1280, 720], [25, 0, 50, 25]], atol=1e-3)
    assert len(found.scores) == len(found.class_ids) == len(found.track_ids) == 2


def test_image_in_the_upper_left_corner_returns_from_there() -> None:
    placement = Placement.upper_left((1280, 720), (512, 512))
    assert (placement.offset_xy, placement.placed_wh) == ((0, 0), (512, 288))
    found = placement.to_image(detections((100, 40, 200, 120)))
    np.testing.assert_allclose(found.boxes, [[250, 100, 500, 300]], atol=1e-3)


def test_stretched_boxes_shrink_by_axis() -> None:
    found = Placement((0, 0), (100, 100), (400, 200)).to_image(detections((10, 10, 20, 20)))
    np.testing.assert_allclose(found.boxes, [[40, 20, 80, 40]], atol=1e-3)
