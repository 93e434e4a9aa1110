"""Loads a model file into the runtime that runs it."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Literal

from detector.backends import Backend
from detector.checksums import check_sha256
from detector.errors import ModelError
from detector.model_file import BackendName, ModelFile, SizeWH

Kind = Literal["tflite", "saved-model", "frozen-graph", "keras"]

SUPPORTED = (
    "LiteRT (TensorFlow Lite) models (.tflite) and, with stream-server[tensorflow], "
    "SavedModel folders, frozen graphs (.pb) and .keras files"
)

_TFLITE_IDENTIFIER = b"TFL3"  # bytes 4..8 of every file, `file_identifier` in the runtime's schema.fbs


def load_backend(file: ModelFile, *, threads: int = 1, input_wh: SizeWH | None = None) -> Backend:
    """Return the model loaded into its runtime.

    threads: of the runtime, 1 and up.
    input_wh: size to work at, for a model that is known to allow it; default: its own.

    Raises ModelError that names the file, what was found and what is supported.
    """
    kind = kind_of(file.path)
    backend: BackendName = "litert" if kind == "tflite" else "tensorflow"
    if file.backend not in (None, backend):
        raise ModelError(f"{file.path}: backend: got {file.backend}, but this file needs {backend}")
    if file.sha256 is not None:
        check_sha256(file.path, file.sha256)
    # Imported here: who loads no model shall not pay for it (0.2 s; TensorFlow 3 s and 0.4 GB).
    # ruff: noqa: PLC0415
    if kind == "tflite":
        from detector.backends.litert import LiteRTBackend

        return LiteRTBackend(file.path, threads=threads, input_wh=input_wh)
    if kind == "saved-model":
        from detector.backends.saved_model import load_saved_model

        return load_saved_model(file, threads=threads)
    if kind == "keras":
        from detector.backends.keras_model import load_keras

        return load_keras(file, threads=threads)
    from detector.backends.frozen_graph import load_frozen_graph

    return load_frozen_graph(file, threads=threads)


def kind_of(path: Path) -> Kind:
    """Return what kind of model lies there. Raises ModelError that says what it is instead."""
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            return "saved-model"
        raise ModelError(f"{path}: this is a folder without saved_model.pb; supported: {SUPPORTED}")
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as exc:
        raise ModelError(f"{path}: cannot read the model: {exc.strerror}") from exc
    if start[4:8] == _TFLITE_IDENTIFIER:
        return "tflite"
    if _is_keras(path):
        return "keras"
    if path.suffix == ".pb" and start and path.name != "saved_model.pb":
        return "frozen-graph"
    raise ModelError(f"{path}: {_what_it_is(path, start)}; supported: {SUPPORTED}")


def _is_keras(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return "config.json" in archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return False


def _what_it_is(path: Path, start: bytes) -> str:
    if not start:
        return "the file is empty"
    if path.name == "saved_model.pb":
        return f"this is a part of a SavedModel, whose path is the folder {path.parent}"
    kinds = {
        b"\x89HDF": "a Keras HDF5 file, which may hold programs",
        b"PK\x03\x04": "a ZIP archive, not of Keras or damaged",
        b"vers": "a Git LFS pointer",
        b"\x1f\x8b\x08\x00": "a gzip archive, to be unpacked first",
        b"\x1f\x8b\x08\x08": "a gzip archive, to be unpacked first",
    }
    return f"this is {kinds.get(start[:4], f'an unknown file, {path.stat().st_size} bytes')}"
