"""What a worker and its owner say to each other.

The owner's words, Setup and Job, are pickled: workers have nothing to fear from it. A worker runs models,
which may come from anywhere, so nothing that it says is unpickled: Ready, LoadFailure and Answer travel in a
fixed form of numbers and text, and are checked on arrival.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from detector.detections import BGRImage, Detections
from detector.errors import DetectorError, ModelError
from detector.model_file import ModelFile

MAX_BYTES = 4 * 2**20
"""Of a worker's message; the labels of 20,000 classes are a tenth of it."""

Model: TypeAlias = str | ModelFile
"""A known model's name, a path, or all that is known about a file."""


class ImageDetector(Protocol):
    """What a loader returns. It may have `detect_batch` as well: see `BatchDetector`."""

    @property
    def labels(self) -> Mapping[int, str]:
        """The names of the class ids."""

    def detect(
        self,
        image: BGRImage,
        *,
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
        classes: Collection[str] | None = None,
        max_detections: int | None = None,
    ) -> Detections:
        """Return what is in `image`."""


Loader: TypeAlias = Callable[[Model], ImageDetector]


@dataclass(frozen=True, slots=True)
class DetectOptions:
    """How one image is looked at; None is the detector's own default."""

    score_threshold: float | None = None
    iou_threshold: float | None = None
    classes: tuple[str, ...] | None = None
    max_detections: int | None = None


@dataclass(frozen=True, slots=True)
class Setup:
    """The first message: `loader`, itself or its "module:function", returns a detector for each of `models`.

    threads: that the runtime uses for one image; the loader is told of several. max_batch: images looked at
    together, at most. max_wait_s: how long the first of them waits for others.
    """

    loader: Loader | str
    models: tuple[Model, ...]
    threads: int = 1
    max_batch: int = 1
    max_wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class InferenceJob:
    """An image of this shape is in the slot of that number, for the model of that name."""

    id: int
    slot: int
    shape: tuple[int, ...]
    model: str
    options: DetectOptions


@dataclass(frozen=True, slots=True)
class Ready:
    """All models are loaded. labels: by the model's name, then by class id."""

    labels: dict[str, dict[int, str]]


@dataclass(frozen=True, slots=True)
class LoadFailure:
    """A model cannot be loaded, for this reason in one line; the worker ends."""

    error: DetectorError


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of the job `id`: detections, or why there are none, in one line.

    inference_ms: time spent in the detector, of a batch an equal part. memory_bytes: the worker's own memory,
    shared pages left out.
    """

    id: int
    result: Detections | DetectorError
    inference_ms: float
    memory_bytes: int


Message: TypeAlias = Ready | LoadFailure | Answer


def name_of(model: Model) -> str:
    """Return what `model` is called in jobs and answers."""
    return model if isinstance(model, str) else model.name


# A kind, then: JSON | an error | number, times and one of: detections, an error.
_READY, _LOAD_FAILURE, _FOUND, _FAILED = range(4)
_KIND = struct.Struct("<B")
_ANSWER = struct.Struct("<BQdQ")
_BYTES_PER_OBJECT = 4 * 4 + 4 + 8  # box, score, class id
_ERRORS = (DetectorError, ModelError)


def encode(message: Message) -> bytes:
    """Return the form in which `message` travels to the owner."""
    match message:
        case Ready(labels):
            return _KIND.pack(_READY) + json.dumps(labels).encode()
        case LoadFailure(error):
            return _KIND.pack(_LOAD_FAILURE) + _encode_error(error)
        case Answer(id, DetectorError() as error, inference_ms, memory_bytes):
            return _ANSWER.pack(_FAILED, id, inference_ms, memory_bytes) + _encode_error(error)
        case Answer(id, Detections() as found, inference_ms, memory_bytes):
            return _ANSWER.pack(_FOUND, id, inference_ms, memory_bytes) + _encode_detections(found)
    raise TypeError(f"not a message: {message!r}")


def decode(data: bytes) -> Message:
    """Return the message that `data` stands for. Raises ValueError when it is none."""
    kind = data[0] if data else None
    if kind == _READY:
        return Ready(_decode_labels(data[_KIND.size :]))
    if kind == _LOAD_FAILURE:
        return LoadFailure(_decode_error(data[_KIND.size :]))
    if kind not in (_FOUND, _FAILED) or len(data) < _ANSWER.size:
        raise ValueError(f"no message: {data[:20]!r}")
    _, number, inference_ms, memory_bytes = _ANSWER.unpack_from(data)
    if not 0 <= inference_ms < float("inf"):
        raise ValueError(f"an inference of {inference_ms} ms")
    rest = data[_ANSWER.size :]
    result = _decode_detections(rest) if kind == _FOUND else _decode_error(rest)
    return Answer(number, result, inference_ms, memory_bytes)


def _encode_error(error: DetectorError) -> bytes:
    return bytes([isinstance(error, ModelError)]) + str(error).encode(errors="replace")


def _decode_error(data: bytes) -> DetectorError:
    if not data or data[0] >= len(_ERRORS):
        raise ValueError("an error of no known kind")
    return _ERRORS[data[0]](one_line(data[1:].decode(errors="replace")))


def one_line(text: str) -> str:
    """Return `text` without line breaks, 500 characters at most."""
    return " ".join(text.split())[:500]


def _encode_detections(found: Detections) -> bytes:
    columns = (found.boxes.astype("<f4"), found.scores.astype("<f4"), found.class_ids.astype("<i8"))
    return b"".join(column.tobytes() for column in columns)


def _decode_detections(data: bytes) -> Detections:
    count, rest = divmod(len(data), _BYTES_PER_OBJECT)
    if rest:
        raise ValueError(f"{len(data)} bytes of detections")
    boxes = np.frombuffer(data, "<f4", 4 * count).reshape(count, 4)
    scores = np.frombuffer(data, "<f4", count, offset=16 * count)
    class_ids = np.frombuffer(data, "<i8", count, offset=20 * count)
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise ValueError("boxes or scores that are no numbers")
    return Detections(boxes.astype(np.float32), scores.astype(np.float32), class_ids.astype(np.int64))


def _decode_labels(data: bytes) -> dict[str, dict[int, str]]:
    try:
        return {
            str(model): {int(class_id): str(label) for class_id, label in labels.items()}
            for model, labels in json.loads(data).items()
        }
    except (AttributeError, RecursionError, TypeError) as exc:
        raise ValueError("labels of another form") from exc
