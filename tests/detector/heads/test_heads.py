"""What all heads have in common: they are told apart by outputs, and no outputs break them."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.errors import ModelError
from detector.heads import Shapes, head_for
from detector.heads.centernet import CenterNetHead
from detector.heads.head import best_first
from detector.heads.nanodet import NanoDetHead
from detector.heads.postprocessed import PostprocessedHead
from detector.heads.yolo import FinalYoloHead, YoloHead
from detector.model_file import HeadName, Preprocessing, SizeWH

TF_OD: Shapes = {
    "detection_boxes": (1, 100, 4),
    "detection_classes": (1, 100),
    "detection_scores": (1, 100),
    "num_detections": (1,),
}
TF1_TFLITE: Shapes = {
    "TFLite_Detection_PostProcess": (1, 10, 4),
    "TFLite_Detection_PostProcess:1": (1, 10),
    "TFLite_Detection_PostProcess:2": (1, 10),
    "TFLite_Detection_PostProcess:3": (1,),
}
TF2_TFLITE: Shapes = {  # in the order of the file
    "StatefulPartitionedCall:1": (1, 10),
    "StatefulPartitionedCall:3": (1, 10, 4),
    "StatefulPartitionedCall:0": (1,),
    "StatefulPartitionedCall:2": (1, 10),
}
HUB: Shapes = {"output_0": (1, 100, 4), "output_1": (1, 100), "output_2": (1, 100), "output_3": (1,)}
UNKNOWN: Shapes = {
    "detection_boxes": (None, None, None),
    "detection_classes": (None, None),
    "detection_scores": (None, None),
    "num_detections": (None,),
}

FROZEN: Shapes = dict.fromkeys(("detection_boxes", "detection_classes", "detection_scores"), ())
OPEN_IMAGES: Shapes = {
    "detection_boxes": (100, 4),
    "detection_class_labels": (100,),
    "detection_scores": (100,),
}

NANODET_PLUS: Shapes = {
    "o1": (1, 26, 26, 112),
    "o3": (1, 7, 7, 112),
    "o0": (1, 52, 52, 112),
    "o2": (1, 13, 13, 112),
}
NANODET_320: Shapes = {f"o{side}": (1, side, side, 112) for side in (40, 20, 10, 5)}

BGR_MEAN, BGR_STD = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)

# name, input, outputs
FITTING: list[tuple[HeadName, SizeWH | None, Shapes]] = [
    ("centernet", (512, 512), {"logits": (1, 128, 128, 80), "distances": (1, 128, 128, 4)}),
    ("tf-od", None, TF_OD),
    ("tf-od", (300, 300), TF_OD),
    ("tf-od", None, UNKNOWN),
    ("tf-od", None, {**TF_OD, "raw_detection_boxes": (1, 1917, 4), "raw_detection_scores": (1, 1917, 91)}),
    (
        "tf-od",
        None,
        {**TF_OD, "detection_masks": (1, 100, 33, 33), "detection_multiclass_scores": (1, 100, 91)},
    ),
    ("tf-od", None, {f"import/{name}:0": shape for name, shape in TF_OD.items()}),
    ("tf-od", None, FROZEN),
    ("tf-od", None, OPEN_IMAGES),
    ("retinanet", None, {**TF_OD, "image_info": (1, 4, 2)}),
    ("tflite-detection", (300, 300), TF1_TFLITE),
    ("tflite-detection", (300, 300), TF2_TFLITE),
    ("tflite-detection", (320, 320), dict(zip(("boxes", "a", "b", "n"), HUB.values(), strict=True))),
    ("efficientdet-lite", None, HUB),
    ("yolov5", (640, 640), {"output_0": (1, 25200, 85)}),
    ("yolov5", (1280, 1280), {"output_0": (1, 102000, 85)}),  # P6: strides up to 64
    ("yolov5", (640, 640), {"output_0": (1, 25200, 6)}),
    ("yolov5", (320, 192), {"output_0": (1, 3780, 7)}),
    ("yolov8", (640, 640), {"output_0": (1, 84, 8400)}),
    ("yolov8", (640, 640), {"output_0": (1, 8400, 84)}),
    ("yolov8", (640, 640), {"output_0": (1, 5, 8400)}),
    ("yolov8", (576, 320), {"output_0": (1, 19, 3780)}),
    ("yolov8", (64, 64), {"output_0": (1, 84, 84)}),  # as many cells as columns
    ("yolov8", (640, 640), {"Identity": (None, 84, 8400)}),
    ("yolov8", (640, 640), {"output_0": (1, 116, 8400), "output_1": (1, 160, 160, 32)}),
    ("yolox", (640, 640), {"output_0": (1, 8400, 85)}),
    ("yolox", (416, 416), {"output_0": (1, 3549, 6)}),
    ("yolov10", (640, 640), {"output_0": (1, 300, 6)}),
    ("yolov10", (640, 640), {"output_0": (1, 300, 5)}),
    ("yolov10", (640, 640), {"output_0": (None, 6)}),
    ("yolov10", (640, 640), {"output_0": (None, 5)}),
    ("yolov10", (640, 640), {"output_0": (100, 6)}),
    ("nanodet", (416, 416), NANODET_PLUS),
    (
        "nanodet",
        (416, 256),
        {"a": (1, 32, 52, 33), "b": (1, 16, 26, 33), "c": (1, 8, 13, 33), "d": (1, 4, 7, 33)},
    ),
    ("nanodet", (320, 320), {name: (1, shape[1] * shape[2], 112) for name, shape in NANODET_320.items()}),
    ("nanodet", (320, 320), {name: (1, 112, *shape[1:3]) for name, shape in NANODET_320.items()}),
    ("nanodet", (416, 416), {"output": (1, 3598, 112)}),
    ("nanodet", (320, 320), {"output": (None, 2125, 35)}),
    ("nanodet", (416, 416), {"output": (1, 112, 3598)}),
    ("nanodet", (320, 320), {"output": (1, 2100, 112)}),  # three strides, as before NanoDet-Plus
    ("nanodet", (416, 416), {"output": (1, 3549, 124)}),  # 11 numbers a distance
    (
        "nanodet",
        (320, 320),
        {f"{kind}_{n}": (1, n, side) for n in (1600, 400, 100) for kind, side in (("cls", 80), ("dis", 32))},
    ),
    (
        "picodet",
        (320, 320),
        {f"o{n}_{side}": (1, n, side) for n in (1600, 400, 100, 25) for side in (80, 32)},
    ),
    ("picodet", (320, 320), {f"o{n}_{side}": (1, side, n) for n in (1600, 400, 100, 25) for side in (1, 32)}),
    (
        "picodet",
        (320, 320),
        {f"o{n}_{side}": (1, n, side) for side in (28, 80) for n in (1600, 25, 400, 100)},
    ),
    ("picodet", (416, 416), {"scores": (1, 3598, 3), "distances": (1, 3598, 32)}),
    ("picodet", (416, 416), {"distances": (1, 32, 3598), "scores": (1, 3598, 3)}),
    ("picodet", (320, 192), {"scores": (1, 1275, 32), "distances": (1, 1275, 32)}),  # as many classes
]
TYPES = {
    "centernet": CenterNetHead,
    "yolov5": YoloHead,
    "yolov8": YoloHead,
    "yolox": YoloHead,
    "yolov10": FinalYoloHead,
    "nanodet": NanoDetHead,
    "picodet": NanoDetHead,
}


@pytest.mark.parametrize(("name", "input_wh", "outputs"), FITTING)
def test_outputs_tell_the_family(name: HeadName, input_wh: SizeWH | None, outputs: Shapes) -> None:
    head = head_for(input_wh, outputs)
    assert isinstance(head, TYPES.get(name, PostprocessedHead))
    assert head == head_for(input_wh, outputs, name)


def test_every_name_is_known() -> None:
    assert {name for name, *_ in FITTING} == set(get_args(HeadName))


@pytest.mark.parametrize(
    ("name", "input_wh", "outputs", "class_count"),
    [
        ("centernet", (512, 512), {"logits": (1, 128, 128, 7), "distances": (1, 128, 128, 4)}, 7),
        ("tf-od", None, TF_OD, None),
        ("tflite-detection", (300, 300), TF1_TFLITE, None),
        ("yolov5", (640, 640), {"o": (1, 25200, 85)}, 80),
        ("yolov8", (640, 640), {"o": (1, 84, 8400)}, 80),
        ("yolov8", (640, 640), {"o": (1, 8400, 7)}, 3),
        ("yolov8", None, {"o": (1, None, None)}, None),
        ("yolov8", (640, 640), {"o": (1, 116, 8400), "p": (1, 32, 160, 160)}, 80),
        ("yolov8", (64, 64), {"o": (1, 84, 85)}, 80),  # 84 cells at three strides, 85 at four
        ("yolox", (64, 64), {"o": (1, 84, 85)}, 80),
        ("yolox", (640, 640), {"o": (1, 8400, 6)}, 1),
        ("yolov10", (640, 640), {"o": (1, 300, 6)}, None),
        ("yolov10", (640, 640), {"o": (None, 5)}, 1),
        ("nanodet", (416, 416), NANODET_PLUS, 80),
        ("nanodet", (416, 416), {"o": (1, 3598, 108)}, 80),  # 7 numbers a distance
        ("nanodet", (416, 416), {"o": (1, 3598, 33)}, 1),
        ("nanodet", (416, 416), {"o": (1, 3598, 29)}, 1),
        ("nanodet", None, {"o": (1, None, None)}, None),
        ("picodet", (320, 320), {"o": (1, 2125, 4), "p": (1, 2125, 28)}, 4),
    ],
)
def test_number_of_classes_is_what_the_outputs_tell(
    name: HeadName, input_wh: SizeWH | None, outputs: Shapes, class_count: int | None
) -> None:
    assert head_for(input_wh, outputs, name).class_count == class_count


@pytest.mark.parametrize(
    ("name", "input_wh", "outputs", "preprocessing"),
    [
        (None, None, TF_OD, Preprocessing("as_is")),
        (None, (300, 300), TF_OD, Preprocessing("stretch")),
        (None, (300, 300), TF1_TFLITE, Preprocessing("stretch", mean=(127.5,) * 3, std=(127.5,) * 3)),
        (None, None, HUB, Preprocessing("as_is")),
        (
            "efficientdet-lite",
            (320, 320),
            TF2_TFLITE,
            Preprocessing("letterbox", mean=(127.0,) * 3, std=(128.0,) * 3, border=127.0, centred=False),
        ),
        (
            None,
            (640, 640),
            {"o": (1, 84, 8400)},
            Preprocessing("letterbox", mean=(0.0,) * 3, std=(255.0,) * 3, border=114.0),
        ),
        (
            None,
            (640, 640),
            {"o": (1, 8400, 85)},
            Preprocessing("letterbox", "bgr", border=114.0, centred=False),
        ),
        (None, (416, 416), NANODET_PLUS, Preprocessing("stretch", "bgr", BGR_MEAN, BGR_STD)),
        (
            "nanodet",
            (320, 320),
            {"o": (1, 2100, 112)},
            Preprocessing("letterbox", "bgr", BGR_MEAN, BGR_STD, 0.0),
        ),
        (
            None,
            (320, 320),
            {"a": (1, 2125, 7), "b": (1, 2125, 32)},
            Preprocessing("stretch", "rgb", BGR_MEAN[::-1], BGR_STD[::-1]),
        ),
        (None, (640, 640), HUB, Preprocessing("letterbox", mean=(0.0,) * 3, std=(255.0,) * 3, border=114.0)),
    ],
)
def test_each_family_has_its_preprocessing(
    name: HeadName | None, input_wh: SizeWH | None, outputs: Shapes, preprocessing: Preprocessing
) -> None:
    assert head_for(input_wh, outputs, name).preprocessing == preprocessing


@pytest.mark.parametrize(
    ("input_wh", "outputs"),
    [
        ((512, 512), {}),
        ((512, 512), {"scores": (1, 100), "boxes": (1, 100, 4)}),
        ((512, 512), {"logits": (1, 128, 128, 80)}),
        ((224, 224), {"probabilities": (1, 1000)}),
        ((640, 640), {"o": (1, 85, 1000)}),
        ((640, 640), {"o": (8400, 84)}),
        ((640, 640), {"o": (1, 4, 8400)}),
        ((640, 640), {"o": (1, 3, 80, 80, 85)}),
        ((640, 640), {"o": (1, 84, 8400), "p": (1, 160, 160, 7)}),
        ((300, 300), {"a": (1, 10, 4), "b": (1, 10), "c": (1, 9), "d": (1,)}),
        ((300, 300), {"a": (1, 10, 5), "b": (1, 10), "c": (1, 10), "d": (1,)}),
        ((300, 300), {**TF_OD, "detection_boxes": (1, 100)}),
        ((300, 300), {**TF_OD, "detection_scores": (1, 100, 91)}),
        (None, {"o": (1, 8400, 84)}),
        ((640, 640), {"o": (1, 6)}),  # a classifier of six
        ((640, 640), {"o": (None, 7)}),
        ((640, 640), {"o": (2000, 6)}),
        ((320, 320), {"o": (1, 2124, 112)}),
        # YOLOv8 before its last step: 16 numbers a distance, which come before the classes
        ((640, 640), {f"o{side}": (1, side, side, 144) for side in (80, 40, 20)}),
        ((640, 640), {f"o{side}": (1, side, side, 255) for side in (80, 40, 20)}),
        # one of the four missing
        (
            (320, 320),
            {f"o{n}_{side}": (1, n, side) for n in (1600, 400, 100) for side in (80, 28)}
            | {"x": (1, 25, 80)},
        ),
        ((320, 320), {f"o{side}": (1, side, side, 112) for side in (40, 20, 5)}),
    ],
)
def test_unknown_outputs_are_refused_with_what_is_supported(input_wh: SizeWH | None, outputs: Shapes) -> None:
    with pytest.raises(ModelError) as caught:
        head_for(input_wh, outputs)
    for output, shape in outputs.items():
        assert f"{output} {shape}" in str(caught.value)
    for name in get_args(HeadName):
        assert f"{name}: " in str(caught.value)


def test_detection_with_a_number_that_cannot_be_is_left_out() -> None:
    boxes = np.ones((7, 4), np.float32)
    boxes[1, 2], boxes[2, 3] = np.nan, np.inf
    scores = np.array([0.5, 0.6, 0.6, np.inf, np.nan, 0.9, 1.0001], np.float32)
    classes = np.array([3, 1, 1, 1, 1, -1, 4.0001], np.float32)
    found = best_first(boxes, scores, classes)
    assert (found.scores.tolist(), found.class_ids.tolist()) == ([1, 0.5], [4, 3])


@pytest.mark.parametrize("name", get_args(HeadName))
def test_named_family_refuses_what_it_cannot_read(name: HeadName) -> None:
    with pytest.raises(ModelError) as caught:
        head_for((224, 224), {"probabilities": (1, 1000)}, name)
    assert str(caught.value).startswith(f"the outputs are probabilities (1, 1000); supported: {name}: ")


@pytest.mark.parametrize(("name", "input_wh", "outputs"), FITTING)
@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, 1e30, -1e30, np.nan, np.inf, -np.inf])
def test_no_value_breaks_a_head(
    name: HeadName, input_wh: SizeWH | None, outputs: Shapes, value: float
) -> None:
    arrays = {
        output: np.full([side or 5 for side in shape], value, np.float32) for output, shape in outputs.items()
    }
    if outputs in (UNKNOWN, FROZEN):
        arrays |= {"detection_boxes": np.full((5, 5, 4), value, np.float32)}
        arrays |= {f"detection_{of}": np.full((5, 5), value, np.float32) for of in ("scores", "classes")}
    found = head_for(input_wh, outputs).decode(arrays, 0, 0.3, input_wh or (300, 200))
    assert np.isfinite(found.boxes).all()
    assert ((found.scores >= 0.3) & (found.scores <= 1)).all()
    assert (found.class_ids >= 0).all()
    assert (found.boxes.dtype, found.scores.dtype, found.class_ids.dtype) == (
        np.float32,
        np.float32,
        np.int64,
    )


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.sampled_from([case for case in FITTING if case[1] != (1280, 1280)]), st.integers(0, 2**32 - 1))
def test_no_mixture_of_values_breaks_a_head(case: tuple[HeadName, SizeWH | None, Shapes], seed: int) -> None:
    _, input_wh, outputs = case
    random = np.random.default_rng(seed)
    values = np.array([0, 0.5, 1, 2, -1, 1e30, np.nan, np.inf, -np.inf], np.float32)
    arrays = {
        output: random.choice(values, [5 if side is None else side for side in shape])
        for output, shape in outputs.items()
    }
    if outputs in (UNKNOWN, FROZEN):
        arrays |= {"detection_boxes": random.choice(values, (5, 5, 4))}
        arrays |= {f"detection_{of}": random.choice(values, (5, 5)) for of in ("scores", "classes")}
    found = head_for(input_wh, outputs).decode(arrays, 0, 0.3, input_wh or (300, 200))
    assert np.isfinite(found.boxes).all()
    assert (np.diff(found.scores) <= 0).all()
