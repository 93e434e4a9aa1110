from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from detector.detections import Detections
from detector.heads import head_for
from detector.model_file import HeadName, SizeWH

Array = NDArray[np.float32]

# A person on the left half, a car in the lower right corner; x first, fractions.
PERSON = (0.0, 0.25, 0.5, 0.75)
CAR = (0.75, 0.5, 1.0, 1.0)
WH = (200, 100)
IN_PIXELS = [[0, 25, 100, 75], [150, 50, 200, 100]]


def filled(rows: int, values: list[float]) -> Array:
    return np.array([values + [0.0] * (rows - len(values))], np.float32)


def yxyx(rows: int, *boxes: tuple[float, float, float, float]) -> Array:
    found = np.zeros((1, rows, 4), np.float32)
    for row, (x_min, y_min, x_max, y_max) in enumerate(boxes):
        found[0, row] = (y_min, x_min, y_max, x_max)
    return found


def answer(
    boxes: Array, classes: list[float], scores: list[float], count: float, rows: int = 10
) -> list[Array]:
    """Return boxes, classes, scores and count as the graphs give them."""
    return [boxes, filled(rows, classes), filled(rows, scores), np.array([count], np.float32)]


def two(first_class: int = 0, count: float = 2) -> list[Array]:
    return answer(yxyx(10, PERSON, CAR), [first_class, first_class + 2], [0.9, 0.6], count)


def decode(
    outputs: dict[str, Array],
    input_wh: SizeWH | None = WH,
    name: HeadName | None = None,
    *,
    threshold: float = 0.4,
    image_wh: SizeWH = WH,
) -> Detections:
    head = head_for(input_wh, {output: array.shape for output, array in outputs.items()}, name)
    return head.decode(outputs, 0, threshold, image_wh)


def tf_od(*values: Array) -> dict[str, Array]:
    names = ("detection_boxes", "detection_classes", "detection_scores", "num_detections")
    return dict(zip(names, values, strict=True))


def test_nothing_found_is_empty_arrays() -> None:
    found = decode(tf_od(*answer(yxyx(10), [], [], 0)))
    assert (found.boxes.shape, found.scores.shape, found.class_ids.shape) == ((0, 4), (0,), (0,))
    found = decode(tf_od(*answer(np.zeros((1, 0, 4), np.float32), [], [], 0, rows=0)))
    assert len(found) == 0


def test_boxes_come_y_first_as_fractions_and_leave_x_first_in_pixels() -> None:
    found = decode(tf_od(*two(first_class=1)))
    assert found.boxes.tolist() == IN_PIXELS
    assert found.class_ids.tolist() == [1, 3]
    np.testing.assert_allclose(found.scores, [0.9, 0.6], rtol=1e-6)


def test_size_of_the_image_counts_where_the_model_takes_any() -> None:
    found = decode(tf_od(*two(first_class=1)), None, image_wh=(400, 300))
    assert found.boxes.tolist() == [[0, 75, 200, 225], [300, 150, 400, 300]]


def test_detections_are_sorted_and_weak_ones_left_out() -> None:
    values = answer(yxyx(10, PERSON, CAR, CAR), [1, 3, 4], [0.6, 0.3, 0.9], 3)
    assert decode(tf_od(*values)).class_ids.tolist() == [4, 1]
    assert decode(tf_od(*values), threshold=0.3).class_ids.tolist() == [4, 1, 3]
    assert len(decode(tf_od(*values), threshold=1.0)) == 0


@pytest.mark.parametrize(
    ("count", "kept"),
    [(0, 0), (1, 1), (2, 2), (10, 2), (11, 2), (1e9, 2), (np.inf, 2), (np.nan, 2), (-3, 0), (1.0000001, 1)],
)
def test_count_is_held_to_what_is_there(count: float, kept: int) -> None:
    assert len(decode(tf_od(*two(count=count)))) == kept


def test_count_may_be_missing_or_without_axes() -> None:
    outputs = tf_od(*two())
    del outputs["num_detections"]
    assert len(decode(outputs)) == 2


def test_each_row_of_a_batch_is_an_image_of_its_own() -> None:
    empty, full = answer(yxyx(10), [], [], 0), two(first_class=1)
    outputs = tf_od(*(np.concatenate(pair) for pair in zip(empty, full, strict=True)))
    head = head_for(WH, {name: array.shape for name, array in outputs.items()})
    assert len(head.decode(outputs, 0, 0.4, WH)) == 0
    assert head.decode(outputs, 1, 0.4, WH).boxes.tolist() == IN_PIXELS


def test_what_else_a_model_puts_out_does_not_matter() -> None:
    extra = {
        "raw_detection_boxes": np.ones((1, 1917, 4), np.float32),
        "raw_detection_scores": np.ones((1, 1917, 91), np.float32),
        "detection_anchor_indices": np.ones((1, 10), np.float32),
        "detection_masks": np.ones((1, 10, 33, 33), np.float32),
        "detection_multiclass_scores": np.ones((1, 10, 91), np.float32),
    }
    assert decode({**extra, **tf_od(*two())}).boxes.tolist() == IN_PIXELS


def test_names_of_a_frozen_graph_are_known() -> None:
    outputs = {f"import/{name}:0": array for name, array in tf_od(*two()).items()}
    assert decode(outputs).boxes.tolist() == IN_PIXELS


def test_model_of_tf_hub_for_open_images_has_no_batch() -> None:
    boxes, classes, scores, _ = (array[0] for array in two(first_class=1))
    outputs = {"detection_boxes": boxes, "detection_class_labels": classes, "detection_scores": scores}
    found = decode(outputs, None)
    assert (found.boxes.tolist(), found.class_ids.tolist()) == (IN_PIXELS, [1, 3])


@pytest.mark.parametrize("scale", [1.0, 0.5, 2.0])
def test_retinanet_gives_pixels_of_the_picture_it_scaled(scale: float) -> None:
    boxes, *others = two(first_class=1)
    boxes = boxes * np.array((100, 200, 100, 200), np.float32) * scale
    image_info = np.array([[[100, 200], [640, 640], [scale, scale], [0, 0]]], np.float32)
    outputs = {**tf_od(boxes, *others), "image_info": image_info}
    found = decode(outputs, None)
    assert found.boxes.tolist() == IN_PIXELS
    assert found.class_ids.tolist() == [1, 3]


def test_retinanet_exported_with_fractions_is_understood() -> None:
    image_info = np.array([[[100, 200], [640, 640], [3.2, 3.2], [0, 0]]], np.float32)
    assert decode({**tf_od(*two()), "image_info": image_info}, None).boxes.tolist() == IN_PIXELS


def test_named_retinanet_needs_no_image_info() -> None:
    boxes, *others = two()
    outputs = tf_od(boxes * np.array((100, 200, 100, 200), np.float32), *others)
    assert decode(outputs, WH, "retinanet").boxes.tolist() == IN_PIXELS


TF1 = ("TFLite_Detection_PostProcess", *(f"TFLite_Detection_PostProcess:{n}" for n in (1, 2, 3)))
TF2 = tuple(f"StatefulPartitionedCall:{n}" for n in (3, 2, 1, 0))
SIGNATURE = tuple(f"output_{n}" for n in (3, 2, 1, 0))
OLD_TF2 = ("Identity", "Identity_1", "Identity_2", "Identity_3")


@pytest.mark.parametrize("names", [TF1, TF2, SIGNATURE, OLD_TF2], ids=["TF1", "TF2", "signature", "old TF2"])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 0, 3, 1), (3, 2, 1, 0), (1, 2, 3, 0)])
@pytest.mark.parametrize("classes", [(0.0, 2.0), (1.0, 1.0)])
def test_tflite_outputs_are_told_in_every_order(
    names: tuple[str, ...], order: tuple[int, ...], classes: tuple[float, float]
) -> None:
    values = answer(yxyx(10, PERSON, CAR), list(classes), [0.9, 0.6], 2)
    outputs = {names[index]: values[index] for index in order}
    found = decode(outputs)
    assert found.boxes.tolist() == IN_PIXELS
    assert found.class_ids.tolist() == list(classes)
    np.testing.assert_allclose(found.scores, [0.9, 0.6], rtol=1e-6)


@pytest.mark.parametrize("names", [TF1, TF2, SIGNATURE, OLD_TF2], ids=["TF1", "TF2", "signature", "old TF2"])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 0, 3, 1), (3, 2, 1, 0), (1, 2, 0, 3)])
def test_names_tell_scores_from_classes_where_values_do_not(
    names: tuple[str, ...], order: tuple[int, ...]
) -> None:
    # A quantised model is as sure as can be: all scores are 1.
    values = answer(yxyx(10, PERSON, CAR), [0, 0], [1, 1], 2)
    found = decode({names[index]: values[index] for index in order})
    assert found.scores.tolist() == [1, 1]
    assert found.class_ids.tolist() == [0, 0]


def test_values_tell_scores_from_classes_where_names_mislead() -> None:
    boxes, classes, scores, count = two()
    for first, second in ((classes, scores), (scores, classes)):
        found = decode({"boxes": boxes, "a": first, "b": second, "n": count})
        assert found.class_ids.tolist() == [0, 2]
        assert len(found) == 2


def test_efficientdet_lite_of_tf_hub_gives_pixels_and_scores_before_classes() -> None:
    boxes, classes, scores, count = answer(
        yxyx(100, *((2 * a, b, 2 * c, d) for a, b, c, d in (PERSON, CAR))), [1, 3], [0.9, 0.6], 2, rows=100
    )
    outputs = {"output_0": boxes * 100, "output_1": scores, "output_2": classes, "output_3": count}
    found = decode(outputs, None)
    assert found.boxes.tolist() == IN_PIXELS
    assert found.class_ids.tolist() == [1, 3]
    assert head_for(None, {name: array.shape for name, array in outputs.items()}).first_class == 1


@given(
    st.lists(
        st.tuples(
            *(st.integers(0, 255) for _ in range(4)), st.integers(0, 89), st.integers(0, 255).map(float)
        ),
        max_size=10,
    ),
    st.sampled_from([TF1, TF2]),
)
def test_what_is_encoded_is_decoded(
    objects: list[tuple[int, int, int, int, int, float]], names: tuple[str, ...]
) -> None:
    objects = [(*given[:5], given[5] / 256) for given in objects]
    boxes = yxyx(10, *((a / 256, b / 256, c / 256, d / 256) for a, b, c, d, *_ in objects))
    values = answer(
        boxes, [float(given[4]) for given in objects], [given[5] for given in objects], len(objects)
    )
    found = decode(dict(zip(names, values, strict=True)), (256, 256), threshold=0.25, image_wh=(256, 256))
    expected = sorted((given for given in objects if given[5] >= 0.25), key=lambda given: -given[5])
    assert found.scores.tolist() == [given[5] for given in expected]
    assert found.class_ids.tolist() == [given[4] for given in expected]
    assert found.boxes.tolist() == [list(map(float, given[:4])) for given in expected]
