"""What a `.tflite` file says about itself: labels and normalisation.

Two things carry it, both optional: a flatbuffer in a buffer of the model named TFLITE_METADATA
(https://github.com/tensorflow/tflite-support/blob/master/tensorflow_lite_support/metadata/metadata_schema.fbs,
whose fields are counted here in their order) and a ZIP archive behind the model with the files it names.
Ultralytics' exports have the archive alone, with the class names as JSON or a Python literal.
"""

from __future__ import annotations

import ast
import io
import json
import logging
import zipfile
from collections.abc import Iterator, Mapping

from ai_edge_litert import schema_py_generated as schema
from flatbuffers import encode, number_types
from flatbuffers.table import Table

from detector.backends import ModelMetadata
from detector.model_file import PerChannel

_LOG = logging.getLogger(__name__)

_NAME = b"TFLITE_METADATA"
_MAX_LABEL_BYTES = 1 << 20
_MAX_LABELS = 100_000
_MAX_ITEMS = 1000  # of a list in the flatbuffer; more is a damaged file
_UNUSED_LABEL = "???"  # Coral's and TF Hub's mark of a class number without a class

# Fields, counted from 0.
_MODEL_SUBGRAPHS, _SUBGRAPH_INPUTS, _SUBGRAPH_OUTPUTS = 3, 2, 3
_TENSOR_UNITS, _TENSOR_FILES = 4, 6
_UNIT_KIND, _UNIT_OPTIONS, _NORMALIZATION_KIND = 0, 1, 1
_NORMALIZATION_MEAN, _NORMALIZATION_STD = 0, 1
_FILE_NAME, _FILE_KIND = 0, 2
_LABEL_KINDS = (2, 3)  # TENSOR_AXIS_LABELS, TENSOR_VALUE_LABELS


def read_metadata(content: bytes) -> ModelMetadata:
    """Return what the model in `content` says about itself; nothing where that is damaged."""
    try:
        graph = _graph_metadata(content)
        mean, std = _normalization(graph) if graph else (None, None)
        return ModelMetadata(_read_labels(content, graph), mean, std)
    except Exception as exc:  # a foreign archive: whatever its readers raise, the model is as good without
        _LOG.warning("the model's metadata is damaged and not used: %s", str(exc) or type(exc).__name__)
        return ModelMetadata()


def _graph_metadata(content: bytes) -> Table | None:
    model = schema.Model.GetRootAs(content, 0)
    for index in range(model.MetadataLength()):
        entry = model.Metadata(index)
        if entry.Name() == _NAME:
            data = model.Buffers(entry.Buffer()).DataAsNumpy()
            if isinstance(data, int):  # flatbuffers' way to say that there is none
                return None
            buffer = data.tobytes()
            root = Table(buffer, encode.Get(number_types.UOffsetTFlags.packer_type, buffer, 0))
            return next(_tables(root, _MODEL_SUBGRAPHS), None)
    return None


def _normalization(graph: Table) -> tuple[PerChannel | None, PerChannel | None]:
    for tensor in _tables(graph, _SUBGRAPH_INPUTS):
        for unit in _tables(tensor, _TENSOR_UNITS):
            kind = _offset(unit, _UNIT_KIND)
            if kind and unit.Get(number_types.Uint8Flags, kind) == _NORMALIZATION_KIND:
                options = Table(unit.Bytes, unit.Indirect(_offset(unit, _UNIT_OPTIONS)))
                mean, std = (_floats(options, field) for field in (_NORMALIZATION_MEAN, _NORMALIZATION_STD))
                if mean and std and all(std):
                    return mean, std
    return None, None


def _read_labels(content: bytes, graph: Table | None) -> Mapping[int, str] | None:
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except zipfile.BadZipFile:
        return None  # there is none: the usual case
    with archive:
        named = list(_label_files(graph)) if graph else []
        for info in sorted(archive.infolist(), key=lambda info: info.filename not in named):
            if info.file_size > _MAX_LABEL_BYTES:
                continue
            is_last_resort = not graph and info.filename.endswith((".txt", ".json"))
            if info.filename in named or is_last_resort:
                text = archive.read(info).decode("utf-8")
                return _names(text) or _lines(text)
    return None


def _label_files(graph: Table) -> Iterator[str]:
    for tensor in _tables(graph, _SUBGRAPH_OUTPUTS):
        for file in _tables(tensor, _TENSOR_FILES):
            kind, name = _offset(file, _FILE_KIND), _offset(file, _FILE_NAME)
            if kind and name and file.Get(number_types.Uint8Flags, kind) in _LABEL_KINDS:
                yield file.String(name).decode("utf-8")


def _names(text: str) -> dict[int, str] | None:
    """Return the `names` of Ultralytics' metadata: a list, or words by class number."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        fields = json.loads(text)
    except ValueError:
        fields = ast.literal_eval(text)
    names = fields["names"]
    pairs = enumerate(names) if isinstance(names, list) else dict(names).items()
    return {int(number): str(word) for number, word in pairs}


def _lines(text: str) -> dict[int, str] | None:
    words = [line.strip() for line in text.splitlines()[:_MAX_LABELS]]
    if words[:1] == [_UNUSED_LABEL]:  # the background, which no output counts
        del words[0]
    return {number: word for number, word in enumerate(words) if word and word != _UNUSED_LABEL} or None


def _offset(table: Table, field: int) -> int:
    """Return where a field lies, 0 when it is not there (https://flatbuffers.dev/internals)."""
    offset = table.Offset(4 + 2 * field)
    return table.Pos + offset if offset else 0


def _tables(table: Table, field: int) -> Iterator[Table]:
    if _offset(table, field):
        relative = table.Offset(4 + 2 * field)
        start = table.Vector(relative)
        for index in range(min(table.VectorLen(relative), _MAX_ITEMS)):
            yield Table(table.Bytes, table.Indirect(start + 4 * index))


def _floats(table: Table, field: int) -> PerChannel | None:
    """Return three numbers: as stored, or the single one for all channels."""
    if not _offset(table, field):
        return None
    relative = table.Offset(4 + 2 * field)
    start, count = table.Vector(relative), table.VectorLen(relative)
    values = [
        float(table.Get(number_types.Float32Flags, start + 4 * index)) for index in range(min(count, 3))
    ]
    match values:
        case [value]:
            return value, value, value
        case [first, second, third]:
            return first, second, third
    return None
