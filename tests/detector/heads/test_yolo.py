from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detector.detections import Detections
from detector.errors import DetectorError
from detector.heads import head_for
from detector.heads.yolo import Layout
from detector.inference.nms import suppress
from detector.model_file import HeadName, SizeWH

Array = NDArray[np.float32]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
WH = (64, 32)  # 8 x 4, 4 x 2 and 2 x 1 cells of 8, 16 and 32 pixels
CLASSES = 3


def cells(input_wh: SizeWH) -> Array:
    """Return column, row and stride of each cell, counted one by one."""
    found = [
        (column, row, stride)
        for stride in (8, 16, 32)
        for row in range(input_wh[1] // stride)
        for column in range(input_wh[0] // stride)
    ]
    return np.array(found, np.float32)


def background(layout: Layout) -> Array:
    """Return the rows of an image in which nothing is: small boxes at the cells' centres, no scores."""
    grid = np.tile(cells(WH), (3 if layout == "yolov5" else 1, 1))
    rows = np.zeros((len(grid), (4 if layout == "yolov8" else 5) + CLASSES), np.float32)
    rows[:, :2] = (grid[:, :2] + 0.5) * grid[:, 2:]
    rows[:, 2:4] = 4
    return rows


def put(rows: Array, layout: Layout, at: int, box: tuple[float, ...], class_id: int, score: float) -> None:
    """Write an object, box as x_min, y_min, x_max, y_max in pixels, into a row."""
    x_min, y_min, x_max, y_max = box
    rows[at, :4] = ((x_min + x_max) / 2, (y_min + y_max) / 2, x_max - x_min, y_max - y_min)
    if layout == "yolov8":
        rows[at, 4 + class_id] = score
    else:
        rows[at, 4], rows[at, 5 + class_id] = 0.9, score / 0.9


def raw(rows: Array) -> Array:
    """Return YOLOX's rows as the network gives them before they are decoded: the inverse of its formula."""
    grid = cells(WH)
    encoded = rows.copy()
    encoded[:, :2] = rows[:, :2] / grid[:, 2:] - grid[:, :2]
    encoded[:, 2:4] = np.log(rows[:, 2:4] / grid[:, 2:])
    return encoded


def decode(
    rows: Array, input_wh: SizeWH = WH, name: HeadName | None = None, threshold: float = 0.3
) -> Detections:
    outputs = {"output_0": rows[None]}
    head = head_for(input_wh, {"output_0": outputs["output_0"].shape}, name)
    return head.decode(outputs, 0, threshold, input_wh)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_nothing_found_is_empty_arrays(layout: Layout) -> None:
    for threshold in (0.001, 1.0):
        found = decode(background(layout), name=layout, threshold=threshold)
        assert (found.boxes.shape, found.scores.shape, found.class_ids.shape) == ((0, 4), (0,), (0,))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_box_score_and_class_of_a_row_are_found(layout: Layout) -> None:
    rows = background(layout)
    put(rows, layout, 5, (8, 4, 40, 28), class_id=2, score=0.75)
    put(rows, layout, 40, (50, 2, 62, 30), class_id=0, score=0.875)
    put(rows, layout, 7, (0, 0, 9, 9), class_id=1, score=0.25)
    found = decode(rows, name=layout)
    assert found.boxes.tolist() == [[50, 2, 62, 30], [8, 4, 40, 28]]
    np.testing.assert_allclose(found.scores, [0.875, 0.75], rtol=1e-6)
    assert found.class_ids.tolist() == [0, 2]


@pytest.mark.parametrize("layout", ["yolov5", "yolov8"])
def test_fractions_and_pixels_are_told_apart(layout: Layout) -> None:
    rows = background(layout)
    put(rows, layout, 5, (8, 4, 40, 28), class_id=2, score=0.75)
    in_pixels = decode(rows, name=layout)
    rows[:, :4] /= np.array(WH * 2, np.float32)
    as_fractions = decode(rows, name=layout)
    np.testing.assert_allclose(as_fractions.boxes, in_pixels.boxes, rtol=1e-6)


def test_yolov8_lies_either_way() -> None:
    rows = background("yolov8")
    put(rows, "yolov8", 5, (8, 4, 40, 28), class_id=2, score=0.75)
    expected = [[8, 4, 40, 28]]
    assert decode(rows, name="yolov8").boxes.tolist() == expected
    assert decode(np.ascontiguousarray(rows.T)).boxes.tolist() == expected


def test_only_the_best_class_of_a_cell_counts() -> None:
    rows = background("yolov8")
    rows[5, 4:] = (0.5, 0.75, 0.625)
    found = decode(rows, name="yolov8")
    assert (found.class_ids.tolist(), found.scores.tolist()) == ([1], [0.75])


@pytest.mark.parametrize(("layout", "kept"), [("yolov5", 0), ("yolox", 0), ("yolov8", 1)])
def test_objectness_times_class_is_the_score(layout: Layout, kept: int) -> None:
    rows = background(layout)
    if layout == "yolov8":
        rows[5, 4] = 0.5
    else:
        rows[5, 4:6] = (0.5, 0.5)  # a quarter
    assert len(decode(rows, name=layout)) == kept
    assert decode(rows, name=layout, threshold=0.25).scores.tolist() == [0.25 if kept == 0 else 0.5]


def test_raw_yolox_is_decoded_by_grid_and_stride() -> None:
    rows = background("yolox")
    boxes = {5: (8, 4, 40, 28), 33: (20, 10, 30, 30), 41: (2, 2, 60, 30)}  # one at each stride
    for at, box in boxes.items():
        put(rows, "yolox", at, box, class_id=1, score=0.9 - at / 100)
    decoded, undecoded = decode(rows), decode(raw(rows))
    np.testing.assert_allclose(undecoded.boxes, decoded.boxes, atol=1e-4)
    np.testing.assert_allclose(decoded.boxes, list(boxes.values()))


def test_yolox_formula_by_hand() -> None:
    rows = np.zeros((42, 8), np.float32)
    rows[34] = (0.5, 0.25, np.log(2), 0, 1, 1, 0, 0)  # the third cell of stride 16: column 2, row 0
    # centre (2.5 * 16, 0.25 * 16), size (2 * 16, 1 * 16)
    np.testing.assert_allclose(decode(rows).boxes, [[24, -4, 56, 12]], atol=1e-4)


def test_final_yolo_gives_corners_score_and_class() -> None:
    rows = np.zeros((300, 6), np.float32)
    rows[0] = (8, 4, 40, 28, 0.5, 2)
    rows[1] = (50, 2, 62, 30, 0.75, 0)
    found = decode(rows)
    assert found.boxes.tolist() == [[50, 2, 62, 30], [8, 4, 40, 28]]
    assert (found.scores.tolist(), found.class_ids.tolist()) == ([0.75, 0.5], [0, 2])
    rows[:, :4] /= np.array(WH * 2, np.float32)
    np.testing.assert_allclose(decode(rows).boxes, found.boxes, rtol=1e-6)
    assert head_for(WH, {"o": (1, 300, 6)}).is_suppressed


def with_suppression(boxes: list[tuple[float, ...]], order: tuple[str, str]) -> dict[str, Array]:
    """Return what an export with suppression inside gives: a dog, 0.75, and a cat, 0.5, filled up to 100."""
    values = {
        "scores": np.pad(np.array([[0.75, 0.5]], np.float32), ((0, 0), (0, 98))),
        "classes": np.pad(np.array([[16, 15]], np.float32), ((0, 0), (0, 98))),
    }
    rows = np.pad(np.array([boxes], np.float32), ((0, 0), (0, 98), (0, 0)))
    arrays = (rows, *(values[name] for name in order), np.array([2], np.float32))
    return {f"output_{number}": array for number, array in enumerate(arrays)}


def decode_all(outputs: dict[str, Array], name: HeadName | None = None) -> Detections:
    head = head_for(WH, {output: array.shape for output, array in outputs.items()}, name)
    return head.decode(outputs, 0, 0.3, WH)


FRACTIONS = [(0.125, 0.25, 0.5, 0.75), (0.5, 0, 1, 0.5)]
X_FIRST, Y_FIRST = [[8, 8, 32, 24], [32, 0, 64, 16]], [[16, 4, 48, 16], [0, 16, 32, 32]]


@pytest.mark.parametrize(
    ("order", "name", "boxes"),
    [
        (("scores", "classes"), None, X_FIRST),
        (("scores", "classes"), "yolov5", X_FIRST),
        (("classes", "scores"), "yolov5", X_FIRST),
        # TFLite's own operation has classes first, and y.
        (("classes", "scores"), None, Y_FIRST),
        (("classes", "scores"), "tflite-detection", Y_FIRST),
        (("scores", "classes"), "tflite-detection", Y_FIRST),
    ],
)
def test_yolov5_with_suppression_inside_has_x_first(
    order: tuple[str, str], name: HeadName | None, boxes: list[list[float]]
) -> None:
    found = decode_all(with_suppression(FRACTIONS, order), name)
    assert found.boxes.tolist() == boxes
    assert found.class_ids.tolist() == [16, 15]
    assert found.scores.tolist() == [0.75, 0.5]


def test_boxes_in_pixels_beside_scores_are_those_of_efficientdet() -> None:
    outputs = with_suppression([(4, 16, 16, 48), (0, 32, 16, 64)], ("scores", "classes"))
    assert decode_all(outputs).boxes.tolist() == [[16, 4, 48, 16], [32, 0, 64, 16]]


@pytest.mark.parametrize("columns", [5, 6])
@pytest.mark.parametrize("count", [0, 1, 2])
def test_as_many_rows_as_there_are_detections(columns: int, count: int) -> None:
    rows = np.array([(8, 4, 40, 28, 0.5, 2), (50, 2, 62, 30, 0.75, 1)], np.float32)[:count, :columns]
    head = head_for(WH, {"o": (None, columns)})
    found = head.decode({"o": rows}, 0, 0.3, WH)
    assert found.boxes.tolist() == [[50, 2, 62, 30], [8, 4, 40, 28]][2 - count :]
    assert found.class_ids.tolist() == ([1, 2] if columns == 6 else [0, 0])[2 - count :]
    assert not head.is_batched


@pytest.mark.parametrize("layout", ["yolov5", "yolov8"])
def test_numbers_for_masks_are_no_classes(layout: Layout) -> None:
    rows = background(layout)
    put(rows, layout, 5, (8, 4, 40, 28), class_id=2, score=0.75)
    outputs = {"o": np.concatenate((rows, np.full((len(rows), 32), 5, np.float32)), axis=1)[None]}
    head = head_for(WH, {"o": outputs["o"].shape, "p": (1, 16, 16, 32)}, layout)
    found = head.decode(outputs, 0, 0.3, WH)
    assert (head.class_count, found.class_ids.tolist()) == (CLASSES, [2])


def test_each_row_of_a_batch_is_an_image_of_its_own() -> None:
    rows = background("yolov8")
    put(rows, "yolov8", 5, (8, 4, 40, 28), class_id=2, score=0.75)
    outputs = {"o": np.stack((background("yolov8").T, rows.T))}
    head = head_for(WH, {"o": (None, *outputs["o"].shape[1:])})
    assert len(head.decode(outputs, 0, 0.3, WH)) == 0
    assert head.decode(outputs, 1, 0.3, WH).boxes.tolist() == [[8, 4, 40, 28]]


def test_output_without_a_class_is_an_error_that_says_so() -> None:
    head = head_for(None, {"o": (None, None, None)}, "yolov5")
    with pytest.raises(DetectorError, match="leaves no class"):
        head.decode({"o": np.zeros((1, 100, 5), np.float32)}, 0, 0.3, WH)


def test_raw_yolox_of_another_size_is_an_error_that_says_so() -> None:
    head = head_for(None, {"o": (None, None, None)}, "yolox")
    outputs = {"o": np.zeros((1, 43, 8), np.float32)}
    outputs["o"][0, 0, 4:6] = 1
    with pytest.raises(DetectorError, match="43 rows, which do not fit"):
        head.decode(outputs, 0, 0.3, WH)


objects = st.lists(
    st.tuples(
        st.integers(0, 41),
        st.integers(0, 30),
        st.integers(0, 14),
        st.integers(1, 32),
        st.integers(1, 16),
        st.integers(0, CLASSES - 1),
        st.integers(7, 13).map(lambda sixteenths: sixteenths / 16),
    ),
    max_size=12,
    unique_by=lambda given: given[0],
)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([*LAYOUTS, "raw yolox", "columns", "fractions"]), objects)
def test_what_is_encoded_is_decoded(
    form: str, found: list[tuple[int, int, int, int, int, int, float]]
) -> None:
    layout: Layout = {"raw yolox": "yolox", "columns": "yolov8", "fractions": "yolov8"}.get(form, form)  # type: ignore[assignment]
    rows = background(layout)
    for at, x, y, width, height, class_id, score in found:
        put(rows, layout, at, (x, y, x + width, y + height), class_id, score)
    if form == "raw yolox":
        rows = raw(rows)
    if form == "fractions":
        rows[:, :4] /= np.array(WH * 2, np.float32)
    given_back = decode(rows.T.copy() if form == "columns" else rows, name=layout)
    expected = sorted(found, key=lambda given: (-given[6], given[0]))
    np.testing.assert_allclose(given_back.scores, [given[6] for given in expected], rtol=1e-5)
    rounded = np.column_stack((np.rint(given_back.boxes), given_back.class_ids))
    assert sorted(rounded.tolist()) == sorted(
        [x, y, x + width, y + height, class_id] for _, x, y, width, height, class_id, _ in found
    )


def test_duplicates_of_an_object_go_and_other_classes_stay() -> None:
    rows = background("yolov8")
    for at in (4, 5, 6):
        put(rows, "yolov8", at, (8, 4, 40, 28 + at / 10), class_id=2, score=0.5 + at / 100)
    put(rows, "yolov8", 7, (8, 4, 40, 28), class_id=1, score=0.5)
    found = suppress(decode(rows, name="yolov8"), iou_threshold=0.5, max_detections=10)
    assert found.class_ids.tolist() == [2, 1]
