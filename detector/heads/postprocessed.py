"""Models whose graph chooses its detections itself: their boxes, classes and scores, and how many there are.

Boxes are y_min, x_min, y_max, x_max, but for YOLOv5's. What differs is how the outputs are named, whether the
first class is 0 or 1, and whether boxes are fractions of the image or pixels, which their values tell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from detector.detections import Detections
from detector.heads.head import Arrays, ClassBase, Shapes, best_first
from detector.model_file import Preprocessing, SizeWH

TF_OD_OUTPUTS = "detection_boxes (1, N, 4), detection_scores, detection_classes, num_detections"
RETINANET_OUTPUTS = f"{TF_OD_OUTPUTS}, image_info (1, 4, 2)"
TFLITE_OUTPUTS = "four outputs, (1, N, 4), (1, N) twice, (1,)"
YOLO_NMS_OUTPUTS = "boxes (1, N, 4), scores (1, N), classes (1, N), count (1,)"
EFFICIENTDET_OUTPUTS = "output_0 (1, N, 4), output_1 (1, N), output_2 (1, N), output_3 (1,)"

_PIXELS = Preprocessing(resize="stretch")  # the graph normalises
# models/research/object_detection/models/*_feature_extractor.py, preprocess(): 2 / 255 * pixel - 1
_SSD = Preprocessing(resize="stretch", mean=(127.5,) * 3, std=(127.5,) * 3)
# efficientdet/hparams_config.py of google/automl: mean_rgb, stddev_rgb; zero after that around the image
_EFFICIENTDET_LITE = Preprocessing(
    resize="letterbox", mean=(127.0,) * 3, std=(128.0,) * 3, border=127.0, centred=False
)
# utils/augmentations.py of YOLOv5, letterbox()
_YOLO = Preprocessing(resize="letterbox", mean=(0.0,) * 3, std=(255.0,) * 3, border=114.0)
_YOLO_MOST = 100
_NUMBER = re.compile(r"[:_](\d+)$")

BoxOrder = Literal["yxyx", "xyxy", "told by values"]


@dataclass(frozen=True, slots=True)
class Names:
    """Which output is which; count: None when there is none."""

    boxes: str
    classes: str
    scores: str
    count: str | None


@dataclass(frozen=True, slots=True)
class PostprocessedHead:
    """Boxes, classes, scores and their number as they come out of the graph.

    are_alike: nothing but their values tells scores from classes for sure; the names say what is likely.
    box_order: of a box's numbers; told by values: x first where scores and classes are as likely and boxes
        are fractions (see `yolo_nms_head`).
    image_info: the output with the size that the graph scaled the image to (see `_original_pixels`).
    """

    names: Names
    first_class: ClassBase
    preprocessing: Preprocessing
    are_alike: bool = False
    image_info: str | None = None
    class_count: int | None = None
    is_suppressed: bool = True
    is_batched: bool = True
    box_order: BoxOrder = "yxyx"

    def decode(self, outputs: Arrays, row: int, score_threshold: float, input_wh: SizeWH) -> Detections:
        """Return the first `count` detections that score enough, best first."""
        names = self.names
        boxes = _of_image(outputs[names.boxes], row, 2)
        classes, scores = (_of_image(outputs[name], row, 1) for name in (names.classes, names.scores))
        count = self._count(outputs, row, len(scores))
        is_unlikely = self.are_alike and _are_whole(scores[:count]) and not _are_whole(classes[:count])
        if is_unlikely:
            classes, scores = scores, classes
        kept = np.flatnonzero(scores[:count] >= score_threshold)
        found = boxes[kept]
        are_pixels = _are_pixels(found)
        is_x_first = self.box_order == "xyxy" or (
            self.box_order == "told by values" and not (is_unlikely or are_pixels)
        )
        yxyx = found[:, [1, 0, 3, 2]] if is_x_first else found
        with np.errstate(over="ignore", invalid="ignore"):  # of what is no number; left out below
            if are_pixels:
                yxyx = self._original_pixels(yxyx, outputs, row)
            else:
                yxyx = yxyx * np.array((input_wh[1], input_wh[0]) * 2, np.float32)
        return best_first(yxyx[:, [1, 0, 3, 2]], scores[kept], classes[kept])

    def _count(self, outputs: Arrays, row: int, most: int) -> int:
        if self.names.count is None:
            return most
        count = outputs[self.names.count].reshape(-1)[row]
        return int(np.clip(count, 0, most)) if np.isfinite(count) else most

    def _original_pixels(self, yxyx: NDArray[np.float32], outputs: Arrays, row: int) -> NDArray[np.float32]:
        """Return boxes in pixels of the image that went into the graph.

        The graph of an official vision model fits the image into its own input, boxes are pixels there.
        image_info: (batch, 4, 2), its third line the factors in y and x (resize_and_crop_image in
        official/vision/ops/preprocess_ops.py).
        """
        if self.image_info is None:
            return yxyx
        factors = np.tile(outputs[self.image_info][row][2], 2)
        scaled: NDArray[np.float32] = np.divide(yxyx, factors, out=np.copy(yxyx), where=factors > 0)
        return scaled


def tf_od_head(input_wh: SizeWH | None, outputs: Shapes, is_named: bool) -> PostprocessedHead | None:
    """Return the head of a model of the TF Object Detection API; what else it puts out does not matter."""
    names = _named_outputs(outputs)
    if names is None:
        return None
    return PostprocessedHead(
        names,
        first_class=1,
        preprocessing=_as_is_if_any_size(_PIXELS, input_wh),
        is_batched=len(outputs[names.boxes]) != 2,  # TF Hub's for Open Images
    )


def retinanet_head(input_wh: SizeWH | None, outputs: Shapes, is_named: bool) -> PostprocessedHead | None:
    """Return the head of an official vision model (RetinaNet, Mask R-CNN); pixel boxes, unless normalised."""
    head, image_info = tf_od_head(input_wh, outputs, is_named), _find(outputs, "image_info")
    if head is None or not (image_info or is_named):
        return None
    return replace(head, image_info=image_info)


def tflite_head(input_wh: SizeWH | None, outputs: Shapes, is_named: bool) -> PostprocessedHead | None:
    """Return the head of a TFLite model that ends in `TFLite_Detection_PostProcess`; 0 is its first class.

    Its outputs are numbered, and the exporters of TF1 and TF2 number them in opposite directions: boxes,
    classes, scores, count as the operator has them (TFLite_Detection_PostProcess, …:1, …:2, …:3), or count,
    scores, classes, boxes (StatefulPartitionedCall:0 to …:3, output_0 to output_3); the file may list them in
    any other order (tensorflow/models issue 10970). So, beginning at the boxes' end, classes come before
    scores. Values have the last word: classes are whole numbers, scores hardly ever all of them.
    """
    names = _told_by_shape(outputs, order_if_first=("classes", "scores"))
    if names is None or (_is_of_layer(outputs, names) and not is_named and input_wh is not None):
        return None
    return PostprocessedHead(names, first_class=0, preprocessing=_SSD, are_alike=True)


def efficientdet_lite_head(
    input_wh: SizeWH | None, outputs: Shapes, is_named: bool
) -> PostprocessedHead | None:
    """Return the head of an EfficientDet-Lite.

    As a SavedModel of TF Hub it takes images of any size and gives boxes (pixels), scores, classes (the first
    is 1) and their number as output_0 to output_3; as a `.tflite` it ends in `TFLite_Detection_PostProcess`.
    """
    if input_wh is not None:
        head = tflite_head(input_wh, outputs, is_named) if is_named else None
        return head and replace(head, preprocessing=_EFFICIENTDET_LITE)
    names = _told_by_shape(outputs, order_if_first=("scores", "classes"))
    if names is None or (_number(names.boxes) != 0 and not is_named):
        return None
    return PostprocessedHead(names, 1, _as_is_if_any_size(_PIXELS, None), are_alike=True)


def yolo_nms_head(input_wh: SizeWH | None, outputs: Shapes, is_named: bool) -> PostprocessedHead | None:
    """Return the head of a YOLOv5 that was exported with `--nms` or `--agnostic-nms`.

    It ends in tf.image.combined_non_max_suppression or a loop that gives the same: boxes, scores, classes and
    count, in this order. Unlike all others it puts x first (models/tf.py, _xywh2xyxy). With y first the same
    outputs are those of EfficientDet-Lite of TF Hub, whose boxes are in pixels.
    """
    names = _told_by_shape(outputs, order_if_first=("scores", "classes"))
    if names is None or not (is_named or (_is_of_layer(outputs, names) and input_wh is not None)):
        return None
    order: BoxOrder = "xyxy" if is_named else "told by values"
    return PostprocessedHead(names, 0, _YOLO, are_alike=True, box_order=order)


def _is_of_layer(outputs: Shapes, names: Names) -> bool:
    """Return whether outputs are numbered from the boxes' on, and are not those of TFLite's operator.

    Of the exports that end in the operator those that begin with the boxes keep its name, or are called
    Identity, or have another number of boxes than export.py of YOLOv5 (`--topk-all`).
    """
    is_first = _number(names.boxes) == 0 and sorted(map(_number, outputs)) == [0, 1, 2, 3]
    is_layer = "PostProcess" not in names.boxes and not names.boxes.endswith("Identity")
    return is_first and is_layer and outputs[names.boxes][1] == _YOLO_MOST


def _named_outputs(outputs: Shapes) -> Names | None:
    boxes = _find(outputs, "detection_boxes")
    scores = _find(outputs, "detection_scores")
    # TF Hub's models for Open Images give words as detection_class_entities, numbers as ..._labels.
    classes = _find(outputs, "detection_classes") or _find(outputs, "detection_class_labels")
    if not (boxes and scores and classes):
        return None
    ranks = {len(outputs[boxes]) - 1, len(outputs[scores]), len(outputs[classes])}
    # Frozen graphs often do not know their shapes: (). TF Hub's for Open Images have no axis for the batch.
    is_known = outputs[boxes] != ()
    if is_known and (ranks not in ({2}, {1}) or outputs[boxes][-1] not in (4, None)):
        return None
    return Names(boxes, classes, scores, _find(outputs, "num_detections"))


def _find(outputs: Shapes, word: str) -> str | None:
    """Return the output of that name, which a frozen graph calls `scope/word:0`."""
    plain = {name.removesuffix(":0").rsplit("/", 1)[-1]: name for name in outputs}
    return plain.get(word)


def _told_by_shape(outputs: Shapes, order_if_first: tuple[str, str]) -> Names | None:
    """Return which of four outputs is which, None when they are others.

    order_if_first: how the two of one shape follow each other when the boxes are the first by number; when
    they are not, scores come first.
    """
    numbered = _in_order(outputs)
    ranks = [len(outputs[name]) for name in numbered]
    if sorted(ranks) not in ([1, 2, 2, 3], [0, 2, 2, 3]):
        return None
    boxes, count = numbered[ranks.index(3)], numbered[ranks.index(min(ranks))]
    first, second = (name for name in numbered if len(outputs[name]) == 2)
    if outputs[boxes][-1] not in (4, None) or outputs[first] != outputs[second]:
        return None
    order = order_if_first if boxes == numbered[0] else ("scores", "classes")
    names: Mapping[str, str] = dict(zip(order, (first, second), strict=True))
    return Names(boxes, names["classes"], names["scores"], count)


def _in_order(outputs: Shapes) -> list[str]:
    """Return the names by the number at their end (none is 0), or as they come when numbers repeat."""
    numbers = {_number(name) for name in outputs}
    return sorted(outputs, key=_number) if len(numbers) == len(outputs) else list(outputs)


def _number(name: str) -> int:
    match = _NUMBER.search(name)
    return int(match[1]) if match else 0


def _as_is_if_any_size(preprocessing: Preprocessing, input_wh: SizeWH | None) -> Preprocessing:
    return preprocessing if input_wh is not None else replace(preprocessing, resize="as_is")


def _of_image(array: NDArray[np.float32], row: int, rank: int) -> NDArray[np.float32]:
    """Return a batch's row; an array with `rank` axes has no batch."""
    found: NDArray[np.float32] = array[row] if array.ndim > rank else array
    return found


def _are_whole(values: NDArray[np.float32]) -> bool:
    return bool(np.all(values == np.rint(values)))


def _are_pixels(boxes: NDArray[np.float32]) -> bool:
    """Return whether boxes are in pixels: a fraction is hardly above 1, an object is larger than 2 pixels."""
    return bool(np.any(boxes > 2))
