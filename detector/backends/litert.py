"""Runs `.tflite` files with LiteRT."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from detector.backends import Arrays, ImageInput, ModelInput, Shapes
from detector.backends.image_input import image_input_of, unsupported_input
from detector.backends.quiet import messages_to
from detector.backends.resizing import with_resizes_for
from detector.backends.tflite_metadata import read_metadata
from detector.errors import DetectorError, ModelError
from detector.model_file import SizeWH

_LOG = logging.getLogger(__name__)

_MAX_ELEMENTS = (
    1 << 28
)  # of one tensor, 1 GiB as float32; beyond, the runtime may overflow instead of refusing


class LiteRTBackend:
    """A `.tflite` file in a LiteRT interpreter; for one thread."""

    def __init__(self, path: Path, *, threads: int = 1, input_wh: SizeWH | None = None) -> None:
        """Load the model.

        threads: of the runtime, 1 and up.
        input_wh: size to work at, for a model that is known to allow it; default: its own.

        Raises ModelError that names the file, what was found and what is supported.
        """
        try:
            content = path.read_bytes()
            with messages_to(_LOG):
                self._interpreter: Interpreter | None = _load(content, threads, input_wh)
            self._input_index, self.image_input = _find_input(self._interpreter)
            self._outputs = _find_outputs(self._interpreter)
        except ModelError as exc:
            raise ModelError(f"{path}: {exc}") from exc
        except (OSError, ValueError, RuntimeError) as exc:
            reason = " ".join(str(exc).split())
            raise ModelError(f"{path}: LiteRT cannot load it: {reason}") from exc
        self.outputs: Shapes = {output.name: output.shape for output in self._outputs}
        self.metadata = read_metadata(content)
        self._shape: tuple[int, ...] = tuple(self._interpreter.get_input_details()[0]["shape"])

    def run(self, images: ModelInput) -> Arrays:
        """Return the outputs by name, views of the runtime's memory or copies of it. Raises DetectorError."""
        if self._interpreter is None:
            raise DetectorError("the detector is closed")
        try:
            if images.shape != self._shape:
                self._resize(self._interpreter, images.shape)
            self._interpreter.set_tensor(self._input_index, images)
            self._interpreter.invoke()
            # Views, not get_tensor: copying the default model's heat map out (5.2 MB) costs 1 ms.
            return {
                output.name: output.real_numbers(self._interpreter.tensor(output.index)())
                for output in self._outputs
            }
        except (ValueError, RuntimeError) as exc:
            raise DetectorError(f"LiteRT cannot run the model: {exc}") from exc

    def close(self) -> None:
        """Free the model; may be called twice."""
        self._interpreter = None

    def _resize(self, interpreter: Interpreter, shape: tuple[int, ...]) -> None:
        self._shape = ()  # until it has worked
        interpreter.resize_tensor_input(self._input_index, shape)
        interpreter.allocate_tensors()
        self._shape = shape


@dataclass(frozen=True, slots=True)
class _Output:
    """An output tensor; of integers that stand for (integer - zero_point) * scale when scale is not 0."""

    name: str
    index: int
    shape: tuple[int | None, ...]
    scale: float
    zero_point: int

    def real_numbers(self, array: NDArray[Any]) -> NDArray[np.float32]:
        """Return what the stored values stand for; `array` itself where it is that already."""
        if self.scale == 0 or not np.issubdtype(array.dtype, np.integer):
            return array.astype(np.float32, copy=False)
        if array.dtype.itemsize > 1:
            return (array.astype(np.float32) - np.float32(self.zero_point)) * np.float32(self.scale)
        stored = np.arange(256, dtype=np.uint8).view(array.dtype)
        return ((stored.astype(np.float32) - self.zero_point) * np.float32(self.scale))[array.view(np.uint8)]


def _load(content: bytes, threads: int, input_wh: SizeWH | None) -> Interpreter:
    if input_wh is not None:
        content = with_resizes_for(content, input_wh)
    try:
        return _allocated(Interpreter(model_content=content, num_threads=threads), input_wh)
    except RuntimeError as exc:
        if "XNNPack" not in str(exc):
            raise
        # It takes an operation and fails to prepare it, e.g. for an unusual scale of integers.
        _LOG.warning("XNNPACK cannot run this model, which is slower without: %s", " ".join(str(exc).split()))
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=content, num_threads=threads, experimental_op_resolver_type=plain)
    return _allocated(interpreter, input_wh)


def _allocated(interpreter: Interpreter, input_wh: SizeWH | None) -> Interpreter:
    for tensor in interpreter.get_tensor_details():
        shape = [int(side) for side in tensor["shape"]]
        if math.prod(shape) > _MAX_ELEMENTS or any(side < 0 for side in shape):
            raise ModelError(f"the tensor {tensor['name']!r} has the shape {shape}, which is too large")
    if input_wh is not None:
        index = interpreter.get_input_details()[0]["index"]
        interpreter.resize_tensor_input(index, [1, input_wh[1], input_wh[0], 3])
    interpreter.allocate_tensors()
    return interpreter


def _find_input(interpreter: Interpreter) -> tuple[int, ImageInput]:
    details = interpreter.get_input_details()
    if len(details) == 1:
        (detail,) = details
        image_input = image_input_of(_shape(detail), detail["dtype"], detail["quantization"])
        if image_input is not None:
            return int(detail["index"]), image_input
    raise unsupported_input((str(detail["name"]), _shape(detail), detail["dtype"]) for detail in details)


def _find_outputs(interpreter: Interpreter) -> list[_Output]:
    """Return the outputs in the order of the graph, named as in its first signature if there is one."""
    names = {}
    for signature in list(interpreter.get_signature_list())[:1]:
        details = interpreter.get_signature_runner(signature).get_output_details()
        names = {int(detail["index"]): name for name, detail in details.items()}
    outputs = []
    for detail in interpreter.get_output_details():
        index = int(detail["index"])
        scale, zero_point = detail["quantization"]
        name = names.get(index, detail["name"])
        outputs.append(_Output(name, index, _shape(detail), float(scale), int(zero_point)))
    return outputs


def _shape(detail: Mapping[str, Any]) -> tuple[int | None, ...]:
    """Return the shape of a tensor, None for the sides that may change."""
    sides = [int(side) for side in detail["shape"]]
    signature = [int(side) for side in detail["shape_signature"]]
    if len(signature) != len(sides):
        return tuple(sides)
    return tuple(None if may_be < 0 else side for side, may_be in zip(sides, signature, strict=True))
