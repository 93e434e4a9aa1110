"""A network that finds red spots: small enough to be made in every form, with answers known beforehand.

A square of 12 pixels, pure red on black, whose corner's coordinates divide by 4, is one object of class 0 in
the square's place, with a score of 0.75. It is a CenterNet to `detector.heads`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from detector import BGRImage
from tests.support.models.runtime import tensorflow

STRIDE, SIDE = 4, 12
SCORE = 0.75


def spot(size_wh: tuple[int, int], corner_xy: tuple[int, int]) -> BGRImage:
    """Return a black image with a red spot."""
    image = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    x, y = corner_xy
    image[y : y + SIDE, x : x + SIDE] = (0, 0, 255)
    return image


def box(corner_xy: tuple[int, int]) -> list[float]:
    """Return the box that is to be found there."""
    return [*corner_xy, *(side + SIDE for side in corner_xy)]


def network(full: float) -> Callable[[Any], dict[str, Any]]:
    """Return the network for images (N, H, W, 3) RGB, 0 to `full`."""
    tf = tensorflow()
    # The mean red of 3x3 cells around one, less green and blue: 1 in the middle of a spot, 2/3 beside it.
    spread = np.zeros((3, 3, 3, 1), np.float32)
    spread[:, :, 0], spread[:, :, 1:] = 1 / 9 / full, -1 / 9 / full
    top = math.log(SCORE / (1 - SCORE))

    def find(images: Any) -> dict[str, Any]:
        cells = tf.nn.avg_pool2d(images, STRIDE, STRIDE, "VALID")
        red = tf.nn.conv2d(cells, spread, 1, "SAME")
        logits = 12 * red + (top - 12)
        # From the middle cell's corner, which is 4 pixels from the spot's, to its four sides.
        reach = np.array([STRIDE, STRIDE, SIDE - STRIDE, SIDE - STRIDE], np.float32)
        distances = tf.nn.conv2d(cells, np.zeros((1, 1, 3, 4), np.float32), 1, "VALID") + reach
        return {"logits": logits, "distances": distances}

    return find


def convert(
    path: Path,
    shape: tuple[int | None, ...],
    *,
    dtype: str = "float32",
    full: float = 255.0,
    integers: str | None = None,
) -> Path:
    """Write the network as a `.tflite` file that takes `shape`, and return its path.

    full: the value of a full pixel. integers: `int8` or `uint8`, calibrated, throughout.
    """
    tf = tensorflow()
    find = network(full)

    def run(image: Any) -> dict[str, Any]:
        real = tf.cast(image, tf.float32)
        return find(tf.transpose(real, (0, 2, 3, 1)) if shape[1] == 3 else real)

    module = tf.Module()
    module.run = tf.function(run, autograph=False)
    signature = module.run.get_concrete_function(tf.TensorSpec(shape, dtype, name="image"))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([signature], module)
    if integers:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: _examples(shape, full)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = getattr(tf, integers)
    path.write_bytes(converter.convert())
    return path


def _examples(shape: tuple[int | None, ...], full: float) -> Iterator[list[np.ndarray[Any, Any]]]:
    size_wh = (shape[2] or 64, shape[1] or 64)
    for corner_xy in ((0, 0), (8, 20), (20, 8)):
        image = spot(size_wh, corner_xy)[:, :, ::-1].astype(np.float32) * (full / 255)
        yield [image[np.newaxis]]
