"""Which tensors a model may take images by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from detector.backends import ImageInput
from detector.errors import ModelError

SUPPORTED = "one image (1, H, W, 3) or (1, 3, H, W), float32, float16, uint8 or int8"

_TYPES = ("float32", "float16", "uint8", "int8")


def image_input_of(
    shape: Sequence[int | None], dtype: Any, quantization: tuple[float, int] = (0.0, 0)
) -> ImageInput | None:
    """Return how images go into a tensor; None when it is not made for images.

    shape: None for a side that may be any. dtype: anything NumPy takes for one.
    quantization: scale and zero point; scale 0: the values stand for themselves.
    """
    kind = np.dtype(dtype)
    if len(shape) != 4 or kind.name not in _TYPES:
        return None
    channels_first = shape[3] != 3 and shape[1] == 3
    height, width = shape[2:] if channels_first else shape[1:3]
    if (not channels_first and shape[3] != 3) or (height is None) != (width is None):
        return None
    scale, zero_point = quantization if quantization[0] else (1.0, 0)
    size_wh = None if height is None or width is None else (width, height)
    return ImageInput(size_wh, kind, channels_first, shape[0], float(scale), int(zero_point))


def unsupported_input(found: Iterable[tuple[str, Sequence[int | None] | None, Any]]) -> ModelError:
    """Return the error for a model whose inputs are these: name, shape if it is known, type."""
    inputs = ", ".join(
        f"{name} {'of any rank' if shape is None else _text(shape)} {np.dtype(kind).name}"
        for name, shape, kind in found
    )
    return ModelError(f"the input is {inputs or 'missing'}; supported: {SUPPORTED}")


def _text(shape: Sequence[int | None]) -> str:
    return f"({', '.join('any' if side is None else str(side) for side in shape)})"
