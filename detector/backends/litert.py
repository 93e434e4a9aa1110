"""Runs `.tflite` files with LiteRT."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from detector.backends import Arrays, ImageInput, ModelInput, ModelMetadata, Shapes
from detector.backends.resizing import with_resizes_for
from detector.errors import DetectorError, ModelError

_LOG = logging.getLogger(__name__)

_stderr_lock = threading.Lock()  # guards what file descriptor 2 stands for: one detector loads at a time

_IDENTIFIER = b"TFL3"  # bytes 4..8 of every file, `file_identifier` in the runtime's schema.fbs
_MAX_ELEMENTS = (
    1 << 28
)  # of one tensor, 1 GiB as float32; beyond, the runtime may overflow instead of refusing


class LiteRTBackend:
    """A `.tflite` file in a LiteRT interpreter; for one thread."""

    def __init__(
        self,
        path: Path,
        *,
        threads: int = 1,
        sha256: str | None = None,
        input_wh: tuple[int, int] | None = None,
    ) -> None:
        """Load the model.

        threads: of the runtime, 1 and up. sha256: refuse the file unless this is its checksum.
        input_wh: size to work at, for a model that is known to allow it; default: its own.

        Raises ModelError that names the file, what was found and what is supported.
        """
        content = _read(path, sha256)
        try:
            with _runtime_messages():
                self._interpreter: Interpreter | None = _load(content, threads, input_wh)
            self._input_index, input_size_wh = _find_input(self._interpreter)
            outputs = _find_outputs(self._interpreter)
        except ModelError as exc:
            raise ModelError(f"{path}: {exc}") from exc
        except (ValueError, RuntimeError) as exc:
            reason = " ".join(str(exc).split())
            raise ModelError(f"{path}: LiteRT cannot load it: {reason}") from exc
        self._output_indexes = {name: index for name, (index, _) in outputs.items()}
        self.image_input = ImageInput(input_size_wh, np.dtype(np.float32))
        self.outputs: Shapes = {name: shape for name, (_, shape) in outputs.items()}
        self.metadata = ModelMetadata()

    def run(self, images: ModelInput) -> Arrays:
        """Return views of the outputs by name: let go of them before the next `run`. Raises DetectorError."""
        if self._interpreter is None:
            raise DetectorError("the detector is closed")
        try:
            self._interpreter.set_tensor(self._input_index, images)
            self._interpreter.invoke()
            # Views, not get_tensor: copying the default model's heat map out (5.2 MB) costs 1 ms.
            return {name: self._interpreter.tensor(index)() for name, index in self._output_indexes.items()}
        except (ValueError, RuntimeError) as exc:
            raise DetectorError(f"LiteRT cannot run the model: {exc}") from exc

    def close(self) -> None:
        """Free the model; may be called twice."""
        self._interpreter = None


def _read(path: Path, sha256: str | None) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise ModelError(f"{path}: cannot read the model: {exc.strerror}") from exc
    if content[4:8] != _IDENTIFIER:
        raise ModelError(
            f"{path}: {_what_it_is(content)}; supported: LiteRT (TensorFlow Lite) models, .tflite"
        )
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise ModelError(f"{path}: the file is damaged ({len(content)} bytes); install the package again")
    return content


def _what_it_is(content: bytes) -> str:
    if not content:
        return "the file is empty"
    kinds = {
        b"\x89HDF": "a Keras HDF5 file",
        b"PK\x03\x04": "a ZIP archive (a .keras file?)",
        b"vers": "a Git LFS pointer",
    }
    kind = kinds.get(content[:4], f"an unknown file, {len(content)} bytes")
    return f"this is {kind}"


def _load(content: bytes, threads: int, input_wh: tuple[int, int] | None) -> Interpreter:
    if input_wh is not None:
        content = with_resizes_for(content, input_wh)
    interpreter = Interpreter(model_content=content, num_threads=threads)
    for tensor in interpreter.get_tensor_details():
        shape = [int(side) for side in tensor["shape"]]
        if math.prod(shape) > _MAX_ELEMENTS or any(side < 0 for side in shape):
            raise ModelError(f"the tensor {tensor['name']!r} has the shape {shape}, which is too large")
    if input_wh is not None:
        index = interpreter.get_input_details()[0]["index"]
        interpreter.resize_tensor_input(index, [1, input_wh[1], input_wh[0], 3])
    interpreter.allocate_tensors()
    return interpreter


def _find_input(interpreter: Interpreter) -> tuple[int, tuple[int, int]]:
    details = interpreter.get_input_details()
    shapes = [tuple(int(side) for side in detail["shape"]) for detail in details]
    match shapes:
        case [(1, height, width, 3)] if details[0]["dtype"] is np.float32:
            return int(details[0]["index"]), (width, height)
    found = ", ".join(
        f"{shape} {detail['dtype'].__name__}" for shape, detail in zip(shapes, details, strict=True)
    )
    raise ModelError(f"the input is {found or 'missing'}; supported: one image (1, H, W, 3) float32")


def _find_outputs(interpreter: Interpreter) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Return each output's tensor index and shape by its name in the first signature, else in the graph."""
    signatures = list(interpreter.get_signature_list())
    if signatures:
        details = interpreter.get_signature_runner(signatures[0]).get_output_details()
    else:
        details = {detail["name"]: detail for detail in interpreter.get_output_details()}
    return {
        name: (int(detail["index"]), tuple(int(side) for side in detail["shape"]))
        for name, detail in details.items()
    }


@contextlib.contextmanager
def _runtime_messages() -> Iterator[None]:
    """Log what the runtime's C++ code writes to stderr instead of showing it: it has no switch for that.

    What other threads write meanwhile (some 50 ms) goes there too.
    """
    with _stderr_lock, tempfile.TemporaryFile() as messages:
        try:
            stderr = os.dup(2)
        except OSError:  # the process was started without one
            yield
            return
        os.dup2(messages.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            messages.seek(0)
            for line in messages.read().decode(errors="replace").splitlines():
                _LOG.debug("LiteRT: %s", line)
