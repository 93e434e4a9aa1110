"""The default model in TensorFlow, rebuilt from its `.tflite` file, to be saved in other forms."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from detector import BGRImage
from detector.backends import ImageInput
from detector.inference.preprocessing import Preprocessor
from detector.model_file import Preprocessing
from detector.zoo.catalog import find_model
from tests.support.models.runtime import tensorflow

SIDE = 512
CLASSES = 80
MOST = 100
CANDIDATES = 400
IOU = 0.5

_OPERATORS = {
    number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)
}
_PADDING = {schema.Padding.SAME: "SAME", schema.Padding.VALID: "VALID"}
_TYPES = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.FLOAT16: np.float16,
    schema.TensorType.INT32: np.int32,
}


class DefaultNetwork:
    """The graph of a `.tflite` file, operator by operator, as a function that TensorFlow can trace."""

    def __init__(self) -> None:
        content = find_model("centernet-mobilenetv3").path.read_bytes()
        self._model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
        self._graph = self._model.subgraphs[0]
        (signature,) = self._model.signatureDefs
        self._outputs = {output.name.decode(): output.tensorIndex for output in signature.outputs}

    def __call__(self, image: Any) -> dict[str, Any]:
        """Return `logits` and `distances` of `image`, (N, 512, 512, 3) float32 RGB 0..255."""
        tensors = {self._graph.inputs[0]: image}
        for operator in self._graph.operators:
            inputs = [self._tensor(tensors, index) for index in operator.inputs]
            name = _OPERATORS[self._model.operatorCodes[operator.opcodeIndex].builtinCode]
            tensors[operator.outputs[0]] = _apply(name, operator.builtinOptions, inputs)
        return {name: tensors[index] for name, index in self._outputs.items()}

    def _tensor(self, tensors: dict[int, Any], index: int) -> Any:
        if index not in tensors:
            tensor = self._graph.tensors[index]
            data = self._model.buffers[tensor.buffer].data
            tensors[index] = data.view(_TYPES[tensor.type]).reshape(tensor.shape)
        return tensors[index]


def _apply(name: str, options: Any, inputs: list[Any]) -> Any:
    tf = tensorflow()
    match name, inputs:
        case "DEQUANTIZE", [weights]:
            return weights.astype(np.float32)
        case "CONV_2D", [x, kernel, bias]:
            steps, padding = (options.strideH, options.strideW), _PADDING[options.padding]
            x = tf.nn.conv2d(x, kernel.transpose(1, 2, 3, 0), steps, padding) + bias
        case "DEPTHWISE_CONV_2D", [x, kernel, bias]:
            steps = (1, options.strideH, options.strideW, 1)
            x = (
                tf.nn.depthwise_conv2d(x, kernel.transpose(1, 2, 3, 0), steps, _PADDING[options.padding])
                + bias
            )
        case "HARD_SWISH", [x]:
            return x * tf.nn.relu6(x + 3.0) * (1.0 / 6.0)
        case "ADD", [x, y]:
            x = x + y
        case "MUL", [x, y]:
            x = x * y
        case "MEAN", [x, axes]:
            return tf.reduce_mean(x, axes, keepdims=options.keepDims)
        case "RESIZE_BILINEAR", [x, size]:
            return tf.raw_ops.ResizeBilinear(
                images=x,
                size=size,
                align_corners=options.alignCorners,
                half_pixel_centers=options.halfPixelCenters,
            )
        case "CONCATENATION", parts:
            return tf.concat(parts, options.axis)
        case "RELU", [x]:
            return tf.nn.relu(x)
        case "LOGISTIC", [x]:
            return tf.sigmoid(x)
        case _:
            raise AssertionError(f"the default model has no {name}")
    fused = getattr(options, "fusedActivationFunction", 0)
    return {0: lambda: x, 1: lambda: tf.nn.relu(x), 3: lambda: tf.nn.relu6(x)}[fused]()


def detect_as_od_api(image: Any) -> dict[str, Any]:
    """Return what a graph of the TF Object Detection API returns for `image`, (1, H, W, 3) uint8 RGB.

    Boxes y_min, x_min, y_max, x_max as fractions, classes from 1, everything filled up to 100.
    """
    tf = tensorflow()
    resized = tf.image.resize(tf.cast(image, tf.float32), (SIDE, SIDE))
    raw = DefaultNetwork()(tf.reshape(resized, (1, SIDE, SIDE, 3)))
    heat = tf.sigmoid(raw["logits"])
    peaks = tf.where(heat >= tf.nn.max_pool2d(heat, 3, 1, "SAME"), heat, 0.0)
    scores, index = tf.math.top_k(tf.reshape(peaks, (-1,)), CANDIDATES)
    cells, classes = index // CLASSES, index % CLASSES
    columns = heat.shape[2]
    corner = tf.cast(tf.stack((cells // columns, cells % columns), 1), tf.float32) * (SIDE / columns)
    left, top, right, bottom = tf.unstack(tf.gather(tf.reshape(raw["distances"], (-1, 4)), cells), axis=1)
    boxes = tf.concat(
        (corner - tf.stack((top, left), 1), corner + tf.stack((bottom, right), 1)), axis=1
    ) / float(SIDE)
    found = tf.image.combined_non_max_suppression(
        boxes[tf.newaxis, :, tf.newaxis],
        (tf.one_hot(classes, CLASSES) * scores[:, tf.newaxis])[tf.newaxis],
        max_output_size_per_class=MOST,
        max_total_size=MOST,
        iou_threshold=IOU,
    )
    return {
        "detection_boxes": found.nmsed_boxes,
        "detection_scores": found.nmsed_scores,
        "detection_classes": found.nmsed_classes + 1,
        "num_detections": tf.cast(found.valid_detections, tf.float32),
        "raw_detection_boxes": boxes[tf.newaxis],
        "raw_detection_scores": scores[tf.newaxis, :, tf.newaxis],
    }


def save_as_saved_model(path: Path) -> Path:
    """Write the default model as the Object Detection API exports it, for any size, and return `path`."""
    tf = tensorflow()
    module = tf.Module()
    spec = tf.TensorSpec((1, None, None, 3), tf.uint8, name="input_tensor")
    module.detect = tf.function(
        lambda input_tensor: detect_as_od_api(input_tensor), input_signature=[spec], autograph=False
    )
    tf.saved_model.save(module, str(path), signatures=module.detect)
    return path


def save_as_frozen_graph(path: Path) -> Path:
    """Write the default model as TensorFlow 1's `frozen_inference_graph.pb`; return `path`."""
    tf = tensorflow()
    with tf.Graph().as_default() as graph:
        image = tf.compat.v1.placeholder(tf.uint8, (None, None, None, 3), name="image_tensor")
        for name, tensor in detect_as_od_api(image).items():
            tf.identity(tensor, name=name)
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


def save_quantised(path: Path, photos: list[BGRImage]) -> Path:
    """Write the default model with int8 throughout, calibrated on `photos`, and return `path`.

    Without photos: int8 weights, all else float.
    """
    tf = tensorflow()
    module = tf.Module()
    spec = tf.TensorSpec((1, SIDE, SIDE, 3), tf.float32, name="image")
    module.detect = tf.function(DefaultNetwork().__call__, input_signature=[spec], autograph=False)
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [module.detect.get_concrete_function()], module
    )
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if photos:
        converter.representative_dataset = lambda: ([array] for array in _inputs(photos))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    path.write_bytes(converter.convert())
    return path


def _inputs(photos: list[BGRImage]) -> Iterator[NDArray[Any]]:
    preprocessor = Preprocessor(ImageInput((SIDE, SIDE), np.dtype(np.float32)), Preprocessing(), (SIDE, SIDE))
    for photo in photos:
        yield preprocessor.prepare([photo])[0].copy()
