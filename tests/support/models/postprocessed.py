"""A `.tflite` file that ends in the operator `TFLite_Detection_PostProcess`, exported as TF1 and TF2 do.

An object is a quarter of the picture, 8 x 8 pixels in all; its class is the brightest of red, green and blue,
its score how bright.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.support.models.runtime import tensorflow

CLASSES = ("red", "green", "blue")

_OPERATOR = """
name: "TFLite_Detection_PostProcess"
attr { key: "max_detections" value { i: 4 } }
attr { key: "max_classes_per_detection" value { i: 1 } }
attr { key: "use_regular_nms" value { b: false } }
attr { key: "nms_score_threshold" value { f: 0.0 } }
attr { key: "nms_iou_threshold" value { f: 0.5 } }
attr { key: "y_scale" value { f: 10.0 } }
attr { key: "x_scale" value { f: 10.0 } }
attr { key: "h_scale" value { f: 5.0 } }
attr { key: "w_scale" value { f: 5.0 } }
attr { key: "num_classes" value { i: 3 } }
"""
_QUARTERS = [[y, x, 0.5, 0.5] for y in (0.25, 0.75) for x in (0.25, 0.75)]  # centres and sizes, y first


def convert(path: Path, *, is_reversed: bool) -> Path:
    """Write the model and return its path.

    is_reversed: count, scores, classes, boxes are output_0 to output_3, as TF2's exporters have it
    (`[::-1]` in export_tflite_graph_lib_tf2.py and in EfficientDet's postprocess.py); else the operator's own
    order, boxes first.
    """
    tf = tensorflow()

    @tf.function(experimental_implements=" ".join(_OPERATOR.split("\n")))
    def postprocess(encodings: Any, scores: Any, anchors: Any) -> Any:
        return tuple(tf.constant(0.0) for _ in range(4))  # the converter puts the operator here

    def run(image: Any) -> Any:
        brightness = (tf.nn.avg_pool2d(image, 4, 4, "VALID") + 1) / 2
        scores = tf.reshape(brightness, (1, 4, 3))
        with_background = tf.concat((tf.zeros((1, 4, 1)), scores), -1)
        found = postprocess(
            tf.zeros((1, 4, 4)) * scores[..., :1], with_background, np.array(_QUARTERS, np.float32)
        )
        return found[::-1] if is_reversed else found

    module = tf.Module()
    module.run = tf.function(run, autograph=False)
    signature = module.run.get_concrete_function(tf.TensorSpec((1, 8, 8, 3), "float32", name="image"))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([signature], module)
    converter.allow_custom_ops = True
    path.write_bytes(converter.convert())
    return path
