from __future__ import annotations

import cv2
import numpy as np
import pytest

from detector import load_detector
from detector.backends.loading import load_backend
from detector.inference.network import Network, smallest_input
from detector.zoo.catalog import find_model
from tests.support.paths import DATA

MODEL = find_model("centernet-mobilenetv3")
PHOTO = DATA / "astronaut.jpg"


@pytest.mark.parametrize(
    ("image_wh", "input_wh"),
    [
        ((1, 1), (512, 512)),
        ((512, 512), (512, 512)),
        ((1280, 720), (512, 288)),
        ((854, 480), (512, 288)),
        ((2560, 1080), (512, 288)),
        ((640, 480), (512, 384)),
        ((1366, 768), (512, 288)),
        ((1280, 730), (512, 384)),
        ((640, 481), (512, 512)),
        ((720, 1280), (512, 512)),
    ],
)
def test_smallest_input_that_does_not_shrink_the_image_is_taken(
    image_wh: tuple[int, int], input_wh: tuple[int, int]
) -> None:
    assert smallest_input(image_wh, MODEL.inputs_wh) == input_wh
    assert smallest_input(image_wh, [(300, 300)]) == (300, 300)


@pytest.mark.parametrize("input_wh", MODEL.inputs_wh)
def test_model_finds_the_same_at_each_of_its_input_sizes(input_wh: tuple[int, int]) -> None:
    network = Network(load_backend(MODEL, input_wh=input_wh), MODEL)
    image = np.full((512, 910, 3), 127, np.uint8)  # 16:9
    image[:, 200:712] = np.asarray(cv2.imread(str(PHOTO)), np.uint8)
    (found,) = network.find([image], 0.4)
    network.close()
    assert (network.input_wh, network.head.class_count) == (input_wh, 80)
    assert found.class_ids.tolist() == [0]
    np.testing.assert_allclose(found.boxes, [[206, 14, 555, 509]], atol=18)


def test_detector_takes_images_of_all_proportions_in_turn() -> None:
    photo = np.asarray(cv2.imread(str(PHOTO)), np.uint8)
    with load_detector("centernet-mobilenetv3") as detector:
        for height in (512, 288, 384, 512):
            view = photo[:height]
            found = detector.detect(view, score_threshold=0.3, classes=["person"])
            assert len(found) >= 1
            assert found.boxes[0, 2] == pytest.approx(369, abs=40)
            assert found.boxes.max() <= 512
