"""The network that finds red spots as SavedModel, frozen graph and Keras model."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.models.runtime import tensorflow
from tests.support.models.spots import SCORE, SIDE, STRIDE, network

MOST = 10


def detect_spot(images: Any) -> dict[str, Any]:
    """Return the outputs of the Object Detection API for the spot in each of `images`, uint8 or 0..255.

    (N, H, W, 3) RGB. Each gets its best cell as class 3, filled up to ten detections with zeros.
    """
    tf = tensorflow()
    raw = network(255.0)(tf.cast(images, tf.float32))
    shape = tf.shape(raw["logits"])
    logits = tf.reshape(raw["logits"], (shape[0], -1))
    best = tf.argmax(logits, axis=1, output_type=tf.int32)
    corners = tf.cast(tf.stack((best // shape[2], best % shape[2]), 1), tf.float32) * STRIDE - STRIDE
    size_hw = tf.cast(tf.shape(images)[1:3], tf.float32)
    boxes = tf.concat((corners / size_hw, (corners + SIDE) / size_hw), axis=1)
    scores = tf.sigmoid(tf.reduce_max(logits, axis=1))
    rest = ((0, 0), (0, MOST - 1))
    return {
        "detection_boxes": tf.pad(boxes[:, tf.newaxis], (*rest, (0, 0))),
        "detection_classes": tf.pad(tf.fill((shape[0], 1), 3.0), rest),
        "detection_scores": tf.pad(scores[:, tf.newaxis], rest),
        "num_detections": tf.fill((shape[0],), 1.0),
    }


def save(path: Path, signatures: dict[str, tuple[Callable[..., Any], Any]], *variables: Any) -> Path:
    """Write a SavedModel whose signatures run these functions for inputs of these specifications.

    variables: those that the functions use.
    """
    tf = tensorflow()
    module = tf.Module()
    module.kept = variables
    module.functions = {
        name: tf.function(run, input_signature=[spec], autograph=False)
        for name, (run, spec) in signatures.items()
    }
    tf.saved_model.save(module, str(path), signatures=module.functions)
    return path


def pixels(*shape: int | None, dtype: str = "uint8", name: str = "input_tensor") -> Any:
    """Return the specification of an input."""
    return tensorflow().TensorSpec(shape or (1, None, None, 3), dtype, name=name)


def freeze(path: Path, shape: tuple[int | None, ...], names: dict[str, str]) -> Path:
    """Write the network as a frozen graph, its tensors called as `names` says."""
    tf = tensorflow()
    with tf.Graph().as_default() as graph:
        name = names.get("image_tensor", "image_tensor")
        image = tf.compat.v1.placeholder(tf.uint8, shape, name=name)
        for name, tensor in detect_spot(image).items():
            tf.identity(tensor, name=names.get(name, name))
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


def save_keras(path: Path, *layers: Any) -> Path:
    """Write the network as a Keras model with `layers` before it, and return `path`."""
    tensorflow()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Keras' use of NumPy
        _build_keras(layers).save(path)
    return path


def _build_keras(layers: tuple[Any, ...]) -> Any:
    import keras

    image = keras.Input((64, 64, 3), name="image")
    x: Any = image
    for layer in layers:
        x = layer(x)
    cells = keras.layers.AveragePooling2D(STRIDE)(x)
    logits = keras.layers.Conv2D(1, 3, padding="same", name="logits")
    distances = keras.layers.Conv2D(4, 1, name="distances")
    model = keras.Model(image, {"logits": logits(cells), "distances": distances(cells)})
    spread = np.zeros((3, 3, 3, 1), np.float32)
    spread[:, :, 0], spread[:, :, 1:] = 12 / 9 / 255, -12 / 9 / 255
    logits.set_weights([spread, np.array([math.log(SCORE / (1 - SCORE)) - 12], np.float32)])
    reach = np.array([STRIDE, STRIDE, SIDE - STRIDE, SIDE - STRIDE], np.float32)
    distances.set_weights([np.zeros((1, 1, 3, 4), np.float32), reach])
    return model
