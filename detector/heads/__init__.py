"""Turns a model's raw outputs into detections; one class per family of models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from detector.errors import ModelError
from detector.heads.centernet import CENTERNET_OUTPUTS, centernet_head
from detector.heads.head import Arrays, ClassBase, Head, Shapes
from detector.heads.nanodet import NANODET_OUTPUTS, PICODET_OUTPUTS, nanodet_head
from detector.heads.postprocessed import (
    EFFICIENTDET_OUTPUTS,
    RETINANET_OUTPUTS,
    TF_OD_OUTPUTS,
    TFLITE_OUTPUTS,
    efficientdet_lite_head,
    retinanet_head,
    tf_od_head,
    tflite_head,
)
from detector.heads.yolo import (
    YOLOV5_OUTPUTS,
    YOLOV8_OUTPUTS,
    YOLOV10_OUTPUTS,
    YOLOX_OUTPUTS,
    final_yolo_head,
    yolo_head,
    yolov5_head,
)
from detector.model_file import HeadName, SizeWH

__all__ = ["Arrays", "ClassBase", "Head", "Shapes", "family_of", "head_for"]


class _Family(NamedTuple):
    """outputs: what a model of it puts out, in words. make: its head for given outputs, None for others'."""

    outputs: str
    make: Callable[[SizeWH | None, Shapes, bool], Head | None]


# In the order they are tried: the first that knows the outputs takes them.
_FAMILIES: Mapping[HeadName, _Family] = {
    "centernet": _Family(CENTERNET_OUTPUTS, centernet_head),
    "retinanet": _Family(RETINANET_OUTPUTS, retinanet_head),
    "tf-od": _Family(TF_OD_OUTPUTS, tf_od_head),
    "efficientdet-lite": _Family(EFFICIENTDET_OUTPUTS, efficientdet_lite_head),
    "tflite-detection": _Family(TFLITE_OUTPUTS, tflite_head),
    "nanodet": _Family(NANODET_OUTPUTS, partial(nanodet_head, "nanodet")),
    "picodet": _Family(PICODET_OUTPUTS, partial(nanodet_head, "picodet")),
    "yolov5": _Family(YOLOV5_OUTPUTS, yolov5_head),
    "yolov8": _Family(YOLOV8_OUTPUTS, partial(yolo_head, "yolov8")),
    "yolox": _Family(YOLOX_OUTPUTS, partial(yolo_head, "yolox")),
    "yolov10": _Family(YOLOV10_OUTPUTS, final_yolo_head),
}


def head_for(input_wh: SizeWH | None, outputs: Shapes, name: HeadName | None = None) -> Head:
    """Return the head that understands a model with these outputs.

    input_wh: the size of the model's input; None: it takes any. name: the family, if the user says so.

    Raises ModelError that lists what was found and what is supported.
    """
    families = _FAMILIES if name is None else {name: _FAMILIES[name]}
    for family in families.values():
        if head := family.make(input_wh, outputs, name is not None):
            return head
    found = ", ".join(f"{output} {shape}" for output, shape in outputs.items()) or "none"
    supported = "; ".join(f"{known}: {family.outputs}" for known, family in families.items())
    raise ModelError(f"the outputs are {found}; supported: {supported}")


def family_of(input_wh: SizeWH | None, outputs: Shapes) -> HeadName | None:
    """Return the family that `head_for` takes a model with these outputs for."""
    return next((name for name, family in _FAMILIES.items() if family.make(input_wh, outputs, False)), None)
