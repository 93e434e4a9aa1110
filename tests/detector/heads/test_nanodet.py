from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.accuracy import data_folder, detect, measure, read_photos
from detector import load_detector
from detector.detections import Detections
from detector.errors import DetectorError
from detector.heads import Shapes, head_for
from detector.inference.nms import suppress
from detector.model_file import HeadName, SizeWH

Array = NDArray[np.float32]

WH = (416, 160)  # 52 x 20, 26 x 10, 13 x 5 and 7 x 3 cells: the last column and row are not whole
STRIDES = (8, 16, 32, 64)
CLASSES = 3
CORNER, MIDDLE = 0.0, 0.5
BELOW = -6.0  # what the network says of a class that is not there


class Maps:
    """What a network puts out, built from objects: for each a score at a cell, and distances as bins."""

    def __init__(
        self,
        point: float,
        *,
        input_wh: SizeWH = WH,
        strides: tuple[int, ...] = STRIDES,
        classes: int = CLASSES,
        bins: int = 8,
    ) -> None:
        self.sizes_hw = {stride: (-(-input_wh[1] // stride), -(-input_wh[0] // stride)) for stride in strides}
        self._point, self._bins = point, bins
        self.scores = {s: np.full((*hw, classes), BELOW, np.float32) for s, hw in self.sizes_hw.items()}
        self.distances = {s: np.zeros((*hw, 4 * bins), np.float32) for s, hw in self.sizes_hw.items()}

    def put(
        self, stride: int, column: int, row: int, box: tuple[float, ...], class_id: int, score: float
    ) -> None:
        """Write an object whose sides are at most `bins` - 1 strides away; score 0..1, after the sigmoid."""
        x, y = (column + self._point) * stride, (row + self._point) * stride
        self.scores[stride][row, column, class_id] = np.log(score / (1 - score))
        for side, distance in enumerate((x - box[0], y - box[1], box[2] - x, box[3] - y)):
            whole, part = divmod(distance / stride, 1)
            weights = np.full(self._bins, 1e-9, np.float32)
            weights[int(whole)] = 1 - part
            weights[min(int(whole) + 1, self._bins - 1)] += part
            here = self.distances[stride][row, column]
            here[side * self._bins : (side + 1) * self._bins] = np.log(weights + 1e-9)

    def sigmoid(self) -> Maps:
        """Put the scores through the sigmoid, as most exports do."""
        self.scores = {stride: 1 / (1 + np.exp(-scores)) for stride, scores in self.scores.items()}
        return self

    def joined(self) -> dict[int, Array]:
        return {
            stride: np.concatenate((scores, self.distances[stride]), axis=2)
            for stride, scores in self.scores.items()
        }


def flat(array: Array) -> Array:
    return array.reshape(-1, array.shape[-1])


def maps_nhwc(maps: Maps) -> dict[str, Array]:
    return {f"PartitionedCall:{n}": each[None] for n, each in enumerate(maps.joined().values())}


def maps_nchw(maps: Maps) -> dict[str, Array]:
    return {name: np.ascontiguousarray(each.transpose(0, 3, 1, 2)) for name, each in maps_nhwc(maps).items()}


def maps_flat(maps: Maps) -> dict[str, Array]:
    return {f"o{stride}": flat(each)[None] for stride, each in reversed(maps.joined().items())}


def one_by_cell(maps: Maps) -> dict[str, Array]:
    return {"output": np.concatenate([flat(each) for each in maps.joined().values()])[None]}


def one_by_channel(maps: Maps) -> dict[str, Array]:
    return {"output": np.ascontiguousarray(one_by_cell(maps)["output"].transpose(0, 2, 1))}


def apart(maps: Maps) -> dict[str, Array]:
    """Return PicoDet's eight outputs as PaddleDetection has them: all scores, then all distances."""
    scores = {f"transpose_{stride}": flat(each)[None] for stride, each in maps.scores.items()}
    return scores | {f"reg_{stride}": flat(each)[None] for stride, each in maps.distances.items()}


def apart_mixed(maps: Maps) -> dict[str, Array]:
    """Return the same as a converter shuffles them: in any order, scores with their channels first."""
    outputs = apart(maps)
    turned = {
        name: np.ascontiguousarray(each.transpose(0, 2, 1)) if name.startswith("transpose") else each
        for name, each in outputs.items()
    }
    return dict(sorted(turned.items(), key=lambda item: item[0][::-1]))


def apart_maps(maps: Maps) -> dict[str, Array]:
    found = {f"cls_{stride}": each[None] for stride, each in maps.scores.items()}
    return found | {f"dis_{stride}": each[None] for stride, each in maps.distances.items()}


def apart_in_two(maps: Maps) -> dict[str, Array]:
    return {
        "distances": np.concatenate([flat(each) for each in maps.distances.values()])[None],
        "scores": np.concatenate([flat(each) for each in maps.scores.values()])[None],
    }


Form = Callable[[Maps], dict[str, Array]]
JOINED: tuple[Form, ...] = (maps_nhwc, maps_nchw, maps_flat, one_by_cell)
APART: tuple[Form, ...] = (apart, apart_mixed, apart_maps, apart_in_two)


def decode(
    outputs: dict[str, Array], name: HeadName | None = None, *, input_wh: SizeWH = WH, threshold: float = 0.3
) -> Detections:
    shapes: Shapes = {output: array.shape for output, array in outputs.items()}
    return head_for(input_wh, shapes, name).decode(outputs, 0, threshold, input_wh)


def fill(maps: Maps) -> None:
    maps.put(8, 5, 4, (20, 4, 60, 72), class_id=2, score=0.75)
    maps.put(16, 25, 9, (380, 100, 412, 158), class_id=0, score=0.9)
    maps.put(32, 3, 2, (40, 20, 180, 150), class_id=1, score=0.6)
    maps.put(64, 6, 2, (300, 10, 416, 160), class_id=1, score=0.5)
    maps.put(8, 30, 10, (236, 70, 260, 100), class_id=1, score=0.2)


EXPECTED = [[380, 100, 412, 158], [20, 4, 60, 72], [40, 20, 180, 150], [300, 10, 416, 160]]


def check(found: Detections) -> None:
    np.testing.assert_allclose(found.boxes, EXPECTED, atol=0.01)
    np.testing.assert_allclose(found.scores, [0.9, 0.75, 0.6, 0.5], rtol=1e-4)
    assert found.class_ids.tolist() == [0, 2, 1, 1]


@pytest.mark.parametrize("form", JOINED)
@pytest.mark.parametrize("is_after_sigmoid", [False, True])
def test_nanodet_plus_is_decoded_from_the_corners_of_its_cells(form: Form, is_after_sigmoid: bool) -> None:
    maps = Maps(CORNER)
    fill(maps)
    check(decode(form(maps.sigmoid() if is_after_sigmoid else maps)))


@pytest.mark.parametrize("form", APART)
@pytest.mark.parametrize("is_after_sigmoid", [False, True])
def test_picodet_is_decoded_from_the_middles_of_its_cells(form: Form, is_after_sigmoid: bool) -> None:
    maps = Maps(MIDDLE)
    fill(maps)
    check(decode(form(maps.sigmoid() if is_after_sigmoid else maps)))


@pytest.mark.parametrize("form", [*JOINED, one_by_channel, *APART])
@pytest.mark.parametrize(("name", "point"), [("nanodet", CORNER), ("picodet", MIDDLE)])
def test_name_of_the_family_tells_the_point_of_a_cell(form: Form, name: HeadName, point: float) -> None:
    maps = Maps(point)
    fill(maps)
    check(decode(form(maps), name))


@pytest.mark.parametrize("form", [apart, one_by_cell])
def test_nanodet_before_plus_has_three_maps_and_means_the_middle(form: Form) -> None:
    maps = Maps(MIDDLE, strides=STRIDES[:3], classes=80)
    maps.put(8, 5, 4, (20, 4, 60, 72), class_id=79, score=0.75)
    shapes = {name: array.shape for name, array in form(maps).items()}
    assert head_for(WH, shapes).preprocessing.resize == "letterbox"
    found = decode(form(maps))
    np.testing.assert_allclose(found.boxes, [[20, 4, 60, 72]], atol=0.01)
    assert found.class_ids.tolist() == [79]


@pytest.mark.parametrize("form", [maps_nhwc, apart, apart_in_two])
@pytest.mark.parametrize("classes", [1, 80])
@pytest.mark.parametrize("bins", [7, 8])
def test_classes_and_distances_of_any_number_are_told_apart(form: Form, classes: int, bins: int) -> None:
    maps = Maps(MIDDLE, classes=classes, bins=bins)
    maps.put(16, 3, 2, (20, 4, 100, 100), class_id=classes - 1, score=0.75)
    found = decode(form(maps), "picodet")
    np.testing.assert_allclose(found.boxes, [[20, 4, 100, 100]], atol=0.01)
    assert found.class_ids.tolist() == [classes - 1]


def test_as_many_classes_as_numbers_for_distances() -> None:
    maps = Maps(MIDDLE, classes=32)
    maps.put(16, 3, 2, (20, 4, 100, 100), class_id=31, score=0.75)
    found = decode(apart(maps))
    np.testing.assert_allclose(found.boxes, [[20, 4, 100, 100]], atol=0.01)
    assert found.class_ids.tolist() == [31]


def test_cells_at_the_border_that_are_not_whole_may_be_missing() -> None:
    maps = Maps(CORNER, input_wh=(384, 128))  # as 416 x 160 without them
    maps.put(64, 3, 1, (128, 0, 256, 128), class_id=1, score=0.75)
    maps.scores[8] = np.pad(maps.scores[8], ((0, 4), (0, 4), (0, 0)), constant_values=BELOW)
    maps.distances[8] = np.pad(maps.distances[8], ((0, 4), (0, 4), (0, 0)))
    maps.scores[16] = np.pad(maps.scores[16], ((0, 2), (0, 2), (0, 0)), constant_values=BELOW)
    maps.distances[16] = np.pad(maps.distances[16], ((0, 2), (0, 2), (0, 0)))
    maps.scores[32] = np.pad(maps.scores[32], ((0, 1), (0, 1), (0, 0)), constant_values=BELOW)
    maps.distances[32] = np.pad(maps.distances[32], ((0, 1), (0, 1), (0, 0)))
    np.testing.assert_allclose(decode(maps_flat(maps)).boxes, [[128, 0, 256, 128]], atol=0.01)


def test_distance_is_the_mean_of_all_its_bins_by_hand() -> None:
    maps = Maps(CORNER)
    maps.scores[16][5, 10, 0] = 2
    bins = maps.distances[16][5, 10].reshape(4, 8)
    bins[0, [1, 3]] = 30  # half of 1, half of 3: 2 strides
    bins[1] = 0  # all alike: 3.5
    bins[2, 7] = 30
    bins[3, 0] = 30
    np.testing.assert_allclose(decode(maps_nhwc(maps)).boxes, [[128, 24, 272, 80]], atol=1e-3)


def test_each_row_of_a_batch_is_an_image_of_its_own() -> None:
    empty, full = Maps(CORNER), Maps(CORNER)
    fill(full)
    pairs = zip(maps_nhwc(empty).items(), maps_nhwc(full).values(), strict=True)
    outputs = {name: np.concatenate((first, second)) for (name, first), second in pairs}
    head = head_for(WH, {name: (None, *array.shape[1:]) for name, array in outputs.items()})
    assert len(head.decode(outputs, 0, 0.3, WH)) == 0
    check(head.decode(outputs, 1, 0.3, WH))


def test_nothing_found_is_empty_arrays() -> None:
    for form in (*JOINED, *APART):
        for maps in (Maps(CORNER), Maps(CORNER).sigmoid()):
            found = decode(form(maps))
            assert (found.boxes.shape, found.scores.shape, found.class_ids.shape) == ((0, 4), (0,), (0,))


def test_shapes_that_are_not_known_before_a_run_are_told_by_it() -> None:
    maps = Maps(CORNER)
    fill(maps)
    outputs = maps_nhwc(maps)
    head = head_for(None, dict.fromkeys(outputs, (None, None, None, None)), "nanodet")
    check(head.decode(outputs, 0, 0.3, WH))
    with pytest.raises(DetectorError, match=r"nanodet: .* do not fit an input of \(320, 320\)"):
        head.decode(outputs, 0, 0.3, (320, 320))


def quantised(array: Array, dtype: type[np.int8 | np.uint8]) -> Array:
    """Return what is left of `array` when one scale and zero point hold for all of it, in eight bits."""
    low, high = min(float(array.min()), 0.0), max(float(array.max()), 0.0)
    scale = (high - low) / 255
    bounds = np.iinfo(dtype)
    zero_point = round(bounds.min - low / scale)
    stored = np.clip(np.rint(array / scale) + zero_point, bounds.min, bounds.max).astype(dtype)
    return (stored.astype(np.float32) - zero_point) * np.float32(scale)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize("is_after_sigmoid", [False, True])
@pytest.mark.parametrize("form", [apart, one_by_cell])
def test_eight_bits_are_enough(dtype: type[np.int8 | np.uint8], is_after_sigmoid: bool, form: Form) -> None:
    maps = Maps(MIDDLE)
    fill(maps)
    outputs = form(maps.sigmoid() if is_after_sigmoid else maps)
    found = decode({name: quantised(array, dtype) for name, array in outputs.items()}, "picodet")
    assert found.class_ids.tolist() == [0, 2, 1, 1]
    np.testing.assert_allclose(found.boxes, EXPECTED, atol=2.5)
    np.testing.assert_allclose(found.scores, [0.9, 0.75, 0.6, 0.5], atol=0.05)


objects = st.lists(
    st.tuples(
        st.sampled_from(STRIDES),
        st.integers(0, 6),
        st.integers(0, 2),
        st.tuples(*[st.floats(0, 6.75, width=32)] * 4),
        st.integers(0, CLASSES - 1),
        st.integers(40, 99),
    ),
    max_size=12,
    unique_by=lambda given: given[:3],
)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([*JOINED, *APART]), st.booleans(), objects)
def test_what_is_encoded_is_decoded(
    form: Form, is_after_sigmoid: bool, found: list[tuple[int, int, int, tuple[float, ...], int, int]]
) -> None:
    point = CORNER if form in JOINED else MIDDLE
    maps, expected = Maps(point), []
    for stride, column, row, to_sides, class_id, percent in found:
        x, y = (column + point) * stride, (row + point) * stride
        left, top, right, bottom = (side * stride for side in to_sides)
        box = (x - left, y - top, x + right, y + bottom)
        maps.put(stride, column, row, box, class_id, percent / 100)
        expected.append((percent, class_id, *box))
    given_back = decode(form(maps.sigmoid() if is_after_sigmoid else maps))
    rows = np.column_stack((np.rint(given_back.scores * 100), given_back.class_ids, given_back.boxes))
    np.testing.assert_allclose(sorted(map(tuple, rows)), sorted(expected), atol=0.02)


def test_duplicates_of_an_object_go_and_other_classes_stay() -> None:
    maps = Maps(CORNER)
    for column in (9, 10, 11):
        maps.put(16, column, 5, (128, 40, 210, 120 + column), class_id=2, score=0.5 + column / 100)
    maps.put(16, 10, 6, (128, 40, 210, 120), class_id=1, score=0.5)
    found = suppress(decode(maps_nhwc(maps)), iou_threshold=0.5, max_detections=10)
    assert found.class_ids.tolist() == [2, 1]


def nanodet_plus(size: str) -> Path:
    path = data_folder().parent / "models" / f"nanodet-plus-m-{size}.tflite"
    if not path.exists():
        pytest.skip(f"needs {path}, with the photos in {data_folder()}")
    return path


@pytest.mark.slow
@pytest.mark.parametrize(("size", "average_precision"), [("416x416", 0.397), ("416x256", 0.354)])
def test_published_weights_find_what_they_should(size: str, average_precision: float) -> None:
    # The figures are of another decoder, with the best class of each cell.
    path, photos = nanodet_plus(size), list(read_photos(data_folder()))
    with load_detector(path, threads=2) as detector:
        assert detector.labels[0] == "person"
        found = [detect(detector, number, photo, iou_threshold=0.6) for number, photo in enumerate(photos)]
    assert measure(photos, np.concatenate(found))["AP"] >= average_precision
