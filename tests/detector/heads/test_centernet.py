from __future__ import annotations

import math

import numpy as np
import pytest

from detector.errors import ModelError
from detector.heads import head_for
from detector.heads.centernet import CenterNetHead, decode_boxes, find_peaks, logit, sigmoid


def heat_map(*cells: tuple[int, int, int, float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return logits (8, 8, 3), -10 but for the cells given as row, column, class, value."""
    heat = np.full((8, 8, 3), -10, np.float32)
    for row, column, class_id, value in cells:
        heat[row, column, class_id] = value
    return heat


@pytest.mark.parametrize(
    ("cells", "peaks"),
    [
        ([], []),
        ([(2, 3, 1, 1.0)], [(2, 3, 1)]),
        ([(2, 3, 1, 0.0)], [(2, 3, 1)]),  # exactly the threshold
        ([(2, 3, 1, -0.1)], []),
        ([(2, 3, 1, 1.0), (2, 4, 1, 2.0)], [(2, 4, 1)]),
        ([(2, 3, 1, 1.0), (3, 2, 1, 2.0)], [(3, 2, 1)]),
        ([(2, 3, 1, 1.0), (2, 5, 1, 2.0)], [(2, 3, 1), (2, 5, 1)]),
        ([(2, 3, 1, 1.0), (2, 4, 2, 2.0)], [(2, 3, 1), (2, 4, 2)]),  # classes do not compete
        ([(2, 3, 1, 1.0), (2, 4, 1, 1.0)], [(2, 3, 1), (2, 4, 1)]),  # equal neighbours both stay
        ([(0, 0, 0, 1.0), (7, 7, 2, 1.0)], [(0, 0, 0), (7, 7, 2)]),
        ([(3, 7, 0, 1.0), (4, 0, 0, 2.0)], [(3, 7, 0), (4, 0, 0)]),  # rows do not touch past the border
        ([(0, 4, 0, 1.0), (7, 4, 0, 2.0)], [(0, 4, 0), (7, 4, 0)]),
    ],
)
def test_peaks_are_cells_not_below_their_neighbours(
    cells: list[tuple[int, int, int, float]], peaks: list[tuple[int, int, int]]
) -> None:
    found = np.stack(find_peaks(heat_map(*cells), 0.0), axis=1)
    assert [tuple(peak) for peak in found.tolist()] == peaks


def test_peaks_are_those_of_a_max_pool() -> None:
    heat = np.random.default_rng(5).normal(size=(17, 23, 4)).astype(np.float32)
    padded = np.pad(heat, ((1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))
    expected = np.nonzero((heat == windows.max(axis=(-2, -1))) & (heat >= 0.5))
    for found, wanted in zip(find_peaks(heat, 0.5), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_box_reaches_from_its_cell_by_the_four_distances() -> None:
    # Row 10, column 20 at stride 4 is the point (80, 40).
    boxes = decode_boxes(np.array([10]), np.array([20]), np.array([[8, 16, 24, 32]], np.float32), stride=4)
    assert boxes.tolist() == [[72, 24, 104, 72]]
    assert boxes.dtype == np.float32


def test_sigmoid_and_its_inverse() -> None:
    logits = np.array([-1000, 0, math.log(3), 1000], np.float32)
    np.testing.assert_allclose(sigmoid(logits), [0, 0.5, 0.75, 1], atol=1e-6)
    assert logit(0.75) == pytest.approx(math.log(3))
    assert (logit(0), logit(1)) == (-math.inf, math.inf)


@pytest.mark.parametrize(("threshold", "scores"), [(1.0, []), (0.8, []), (0.7, [0.75]), (0.4, [0.75, 0.5])])
def test_centernet_gives_detections_best_first(threshold: float, scores: list[float]) -> None:
    distances = np.zeros((1, 8, 8, 4), np.float32)
    distances[0, 6, 1] = (1, 2, 3, 4)
    head = CenterNetHead(class_count=3)
    logits = heat_map((2, 3, 1, 0.0), (6, 1, 2, math.log(3)))[None]
    found = head.decode({"logits": logits, "distances": distances}, 0, threshold, (32, 32))
    np.testing.assert_allclose(found.scores, np.array(scores, np.float32), rtol=1e-6)
    assert found.class_ids.tolist() == [2, 1][: len(scores)]
    assert found.boxes.tolist() == [[3, 22, 7, 28], [12, 8, 12, 8]][: len(scores)]


@pytest.mark.parametrize(
    "outputs",
    [
        {},
        {"scores": (1, 100), "boxes": (1, 100, 4)},
        {"logits": (1, 128, 128, 80)},
        {"logits": (1, 128, 128, 80), "distances": (1, 64, 64, 4)},
        {"logits": (1, 128, 100, 80), "distances": (1, 128, 100, 4)},
        {"logits": (80,), "distances": (4,)},
    ],
)
def test_unknown_outputs_are_refused_with_what_is_supported(outputs: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(ModelError, match="supported: centernet: logits"):
        head_for((512, 512), outputs)


def test_centernet_is_recognised_by_its_outputs() -> None:
    head = head_for((512, 512), {"logits": (1, 128, 128, 7), "distances": (1, 128, 128, 4)})
    assert isinstance(head, CenterNetHead)
    assert head.class_count == 7
