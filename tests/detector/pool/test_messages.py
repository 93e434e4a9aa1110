"""What workers say travels as numbers and text, and what is no message is told apart."""

from __future__ import annotations

import pickle
import struct

import numpy as np
import pytest

from detector import Detections, DetectorError, ModelError
from detector.pool.messages import Answer, LoadFailure, Message, Ready, decode, encode

FOUND = Detections(
    np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32),
    np.array([0.9, 0.5], np.float32),
    np.array([7, 2**40], np.int64),
)


def test_nothing_found_arrives_as_empty_arrays() -> None:
    answer = decode(encode(Answer(1, Detections.none(), 0.0, 0)))
    assert isinstance(answer, Answer)
    assert isinstance(answer.result, Detections)
    assert (answer.result.boxes.shape, len(answer.result)) == ((0, 4), 0)


def test_detections_arrive_as_they_were_sent() -> None:
    answer = decode(encode(Answer(2**60, FOUND, 12.5, 1 << 30)))
    assert isinstance(answer, Answer)
    assert (answer.id, answer.inference_ms, answer.memory_bytes) == (2**60, 12.5, 1 << 30)
    assert isinstance(answer.result, Detections)
    for name in ("boxes", "scores", "class_ids"):
        received, sent = getattr(answer.result, name), getattr(FOUND, name)
        assert (received.dtype, received.tolist()) == (sent.dtype, sent.tolist())
        assert received.flags.writeable


@pytest.mark.parametrize("error", [DetectorError("too\ndark"), ModelError("no such label: Ä")])
@pytest.mark.parametrize("make", [LoadFailure, lambda error: Answer(1, error, 0.0, 0)])
def test_errors_arrive_with_their_kind_in_one_line(error: DetectorError, make: type[LoadFailure]) -> None:
    message = decode(encode(make(error)))
    received = message.result if isinstance(message, Answer) else message.error  # type: ignore[union-attr]
    assert type(received) is type(error)
    assert str(received) == str(error).replace("\n", " ")


def test_labels_arrive_by_model_and_number() -> None:
    labels = {"near": {0: "person", 17: "Käse"}, "far": {}}
    assert decode(encode(Ready(labels))) == Ready(labels)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x09",
        pickle.dumps(FOUND),
        b"\x00",
        b"\x00[]",
        b'\x00{"m": 1}',
        b'\x00{"m": {"person": "x"}}',
        b"\x00" + b"[" * 100_000,
        b"\x01",
        b"\x01\x07what",
        b"\x02",
        struct.pack("<BQdQ", 2, 1, 0.0, 0) + b"odd",
        struct.pack("<BQdQ", 2, 1, float("nan"), 0),
        struct.pack("<BQdQ", 2, 1, -1.0, 0),
        struct.pack("<BQdQ5fq", 2, 1, 0.0, 0, *[float("inf")] * 5, 1),
        struct.pack("<BQdQ", 3, 1, 0.0, 0),
    ],
    ids=lambda data: repr(data[:24]),
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of whatever kind
        decode(data)


@pytest.mark.parametrize("message", [Ready({}), LoadFailure(DetectorError("")), Answer(1, FOUND, 1.0, 1)])
def test_a_message_cut_short_is_refused_or_says_less(message: Message) -> None:
    data = encode(message)
    for length in range(len(data)):
        try:
            decode(data[:length])
        except ValueError:
            continue
