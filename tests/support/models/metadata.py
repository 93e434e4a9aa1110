"""Puts metadata into `.tflite` files, as tflite-support and Ultralytics do."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence

from ai_edge_litert import schema_py_generated as schema
from flatbuffers import Builder  # type: ignore[import-untyped]


def with_metadata(model: bytes, metadata: bytes | None, files: Mapping[str, str] | None = None) -> bytes:
    """Return `model` with a buffer of metadata in it and a ZIP archive of `files` behind it."""
    if metadata is not None:
        changed = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))
        buffer, entry = schema.BufferT(), schema.MetadataT()
        buffer.data = list(metadata)
        changed.buffers.append(buffer)
        entry.name, entry.buffer = "TFLITE_METADATA", len(changed.buffers) - 1
        changed.metadata = [*(changed.metadata or []), entry]
        builder = Builder(len(model) + 100_000)
        builder.Finish(changed.Pack(builder), b"TFL3")
        model = bytes(builder.Output())
    archive = io.BytesIO()
    if files:
        with zipfile.ZipFile(archive, "w") as writer:
            for name, text in files.items():
                writer.writestr(name, text)
    return model + archive.getvalue()


def metadata_of(labels: str | None = None, mean: Sequence[float] = (), std: Sequence[float] = ()) -> bytes:
    """Return a ModelMetadata of metadata_schema.fbs: the name of the labels' file, and how to normalise."""
    builder = Builder(1024)
    inputs = _vector(builder, [_input(builder, mean, std)])
    outputs = _vector(builder, [_output(builder, labels)])
    graph = _table(builder, {2: inputs, 3: outputs})
    builder.Finish(_table(builder, {0: builder.CreateString("made"), 3: _vector(builder, [graph])}), b"M001")
    return bytes(builder.Output())


def _input(builder: Builder, mean: Sequence[float], std: Sequence[float]) -> int:
    options = _table(builder, {0: _floats(builder, mean), 1: _floats(builder, std)})
    unit = _table(builder, {1: options}, {0: 1})  # 1: NormalizationOptions
    return _table(builder, {0: builder.CreateString("image"), 4: _vector(builder, [unit] if mean else [])})


def _output(builder: Builder, labels: str | None) -> int:
    files = []
    if labels is not None:
        other = _table(builder, {0: builder.CreateString("notes.txt")}, {2: 1})  # 1: DESCRIPTIONS
        files = [other, _table(builder, {0: builder.CreateString(labels)}, {2: 3})]  # 3: TENSOR_VALUE_LABELS
    return _table(builder, {0: builder.CreateString("category"), 6: _vector(builder, files)})


def _table(builder: Builder, parts: Mapping[int, int], bytes_: Mapping[int, int] | None = None) -> int:
    builder.StartObject(8)
    for field, offset in parts.items():
        builder.PrependUOffsetTRelativeSlot(field, offset, 0)
    for field, value in (bytes_ or {}).items():
        builder.PrependUint8Slot(field, value, 0)
    return int(builder.EndObject())


def _vector(builder: Builder, tables: Sequence[int]) -> int:
    builder.StartVector(4, len(tables), 4)
    for offset in reversed(tables):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _floats(builder: Builder, values: Sequence[float]) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependFloat32(value)
    return int(builder.EndVector())
