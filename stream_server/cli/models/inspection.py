"""Looks into a model file; in a process of its own, since the runtime may crash on a file that is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from detector.backends.loading import kind_of, load_backend
from detector.checksums import sha256_of
from detector.errors import DetectorError, ModelError
from detector.heads import family_of
from detector.inference.network import Network
from detector.labels import labels_for
from detector.model_file import ModelFile
from detector.zoo.catalog import find_model

LOAD_TIMEOUT_S = 120.0
_FEW = 5
_BACKENDS = {
    "tflite": "LiteRT",
    "saved-model": "TensorFlow, SavedModel",
    "frozen-graph": "TensorFlow, frozen graph",
    "keras": "TensorFlow, Keras",
}


class ModelInfo(BaseModel):
    """What is known of a model file."""

    model_config = ConfigDict(frozen=True)

    name: str
    path: str
    size_bytes: int
    sha256: str
    backend: str
    input: str = Field(description="Shape and type of the image it takes.")
    input_sizes: tuple[tuple[int, int], ...] = Field(description="Widths and heights it is used at.")
    outputs: dict[str, tuple[int | None, ...]] = Field(description="Shapes by name.")
    head: str = Field(description="The family of models whose outputs these are.")
    labels: dict[int, str] = Field(description="Words by class number.")
    preprocessing: str


class _Answer(BaseModel):
    """What the process says: one of both."""

    info: ModelInfo | None = None
    error: str = ""


def inspect_model(name_or_path: str) -> ModelInfo:
    """Return what is known of a model, by its name or path.

    Raises ModelError that says what is wrong with the file.
    """
    search_path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    try:
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-m", __name__, name_or_path],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LOAD_TIMEOUT_S,
            env={**os.environ, "PYTHONPATH": search_path},
            check=False,
        )
        answer = _Answer.model_validate_json(done.stdout)
    except subprocess.TimeoutExpired:
        raise ModelError(f"{name_or_path}: could not be loaded within {LOAD_TIMEOUT_S:.0f} s") from None
    except ValidationError:
        raise ModelError(f"{name_or_path}: its runtime crashes on it (exit code {done.returncode})") from None
    if answer.info is None:
        raise ModelError(answer.error)
    return answer.info


def as_lines(info: ModelInfo) -> Iterator[str]:
    """Yield the information for a terminal."""
    words = list(info.labels.values())
    labels = ", ".join(words[:_FEW]) + (", …" if len(words) > _FEW else "")
    rows = {
        "file": info.path,
        "size": f"{info.size_bytes / 1e6:.1f} MB",
        "SHA-256": info.sha256,
        "backend": info.backend,
        "input": info.input,
        "used at": ", ".join(f"{width}x{height}" for width, height in info.input_sizes) or "any size",
        "outputs": ", ".join(f"{name} {_shape(shape)}" for name, shape in info.outputs.items()),
        "head": info.head,
        "labels": f"{len(words)}: {labels}" if words else "none",
        "preprocessing": info.preprocessing,
    }
    for name, value in rows.items():
        yield f"{name + ':':<15}{value}"


def main(name_or_path: str) -> None:
    """Print the answer as JSON."""
    try:
        answer = _Answer(info=_look_into(find_model(name_or_path)))
    except DetectorError as exc:
        answer = _Answer(error=" ".join(str(exc).split()))
    sys.stdout.write(answer.model_dump_json())


def _look_into(file: ModelFile) -> ModelInfo:
    usual_wh = file.inputs_wh[0] if file.inputs_wh else None
    backend = load_backend(file, input_wh=usual_wh)
    try:
        try:
            network = Network(backend, file, usual_wh)
        except ModelError as exc:
            raise ModelError(f"{file.path}: {exc}") from exc
        image_input, preprocessing = backend.image_input, network.preprocessing
        size_wh = (image_input.size_wh,) if image_input.size_wh else ()
        layout = "N 3 H W" if image_input.channels_first else "N H W 3"
        return ModelInfo(
            name=file.name,
            path=str(file.path),
            size_bytes=_size(file.path),
            sha256=sha256_of(file.path),
            backend=_BACKENDS[kind_of(file.path)],
            input=f"{layout}, {image_input.dtype}, {image_input.batch or 'any number of'} at a time",
            input_sizes=file.inputs_wh or size_wh,
            outputs=dict(backend.outputs),
            head=file.head or family_of(network.input_wh, backend.outputs) or "",
            labels=labels_for(file, network.head, backend.metadata.labels),
            preprocessing=f"{preprocessing.resize}, {preprocessing.channels}, "
            f"(pixel - {_numbers(preprocessing.mean)}) / {_numbers(preprocessing.std)}",
        )
    finally:
        backend.close()


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(part.stat().st_size for part in path.rglob("*") if part.is_file())
    return path.stat().st_size


def _numbers(values: tuple[float, ...]) -> str:
    words = [f"{value:g}" for value in values]
    return words[0] if len(set(words)) == 1 else f"[{', '.join(words)}]"


def _shape(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('?' if side is None else str(side) for side in shape)})"


if __name__ == "__main__":
    main(sys.argv[1])
