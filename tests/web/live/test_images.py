"""Frames over a WebSocket to the detector, and their answers."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wsproto.events import BytesMessage, TextMessage

import stream_server
from stream_server.web.live.images import MAX_WAITING
from tests.support.server import Server
from tests.support.websockets import Client

CAT = (Path(stream_server.__file__).parent / "assets/demo/cat.jpg").read_bytes()
BLIND = "cameras.blind={source: 'demo:', width: 320, height: 180, fps: 1, detect: {enabled: false}}"
ALL_AT_ONCE = 3 * MAX_WAITING


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A detector with nothing else to do."""
    model = "api.models=[centernet-mobilenetv3]"
    with Server("--set", BLIND, "--set", model, "--set", "detector.workers=1") as server:
        with _connect(server) as client:
            while True:  # until the model is loaded
                client.send(BytesMessage(CAT))
                if "result" in client.text(30):
                    break
        yield server


def _connect(server: Server, query: str = "") -> Client:
    return Client.connect(server.port, path=f"/api/v1/detect/ws{query}")


def _labels(answer: dict[str, Any]) -> set[str]:
    return {found["label"] for found in answer["result"]["detections"]}


def test_frame_is_answered_under_its_number(server: Server) -> None:
    with _connect(server) as client:
        assert client.is_quiet(0.1)
        for number in (1, 2):
            client.send(BytesMessage(CAT))
            answer = client.text()
            assert answer["id"] == number
            assert "cat" in _labels(answer)
            assert (answer["result"]["width"], answer["result"]["height"]) == (451, 300)


@pytest.mark.parametrize("id", ["x", 7, ""])
def test_frame_is_answered_under_the_id_given_to_it(server: Server, id: str | int) -> None:
    with _connect(server) as client:
        client.say(id=id)
        client.send(BytesMessage(CAT))
        assert client.text()["id"] == id
        client.say(id=id, image=base64.b64encode(CAT).decode())
        answer = client.text()
        assert (answer["id"], "cat" in _labels(answer)) == (id, True)
        client.send(BytesMessage(CAT))
        assert client.text()["id"] == 3


def test_url_says_how_frames_are_looked_at(server: Server) -> None:
    with _connect(server, "?classes=dog,person&token=x") as client:
        client.send(BytesMessage(CAT))
        assert "cat" not in _labels(client.text())


def test_frames_need_not_wait_for_answers(server: Server) -> None:
    with _connect(server) as client:
        for _ in range(MAX_WAITING):
            client.send(BytesMessage(CAT))
        answers = [client.text() for _ in range(MAX_WAITING)]
    assert sorted(answer["id"] for answer in answers) == list(range(1, MAX_WAITING + 1))
    assert all("cat" in _labels(answer) for answer in answers)


def test_answer_is_sent_when_it_is_ready(server: Server) -> None:
    waits = []
    with _connect(server) as client:
        for _ in range(7):
            client.send(BytesMessage(CAT))
            waits.append(client.text()["result"]["timings"]["wait_ms"])
    assert sorted(waits)[3] < 50, waits


def test_line_has_an_end(server: Server) -> None:
    with _connect(server) as client:
        frames = b"".join(client.protocol.send(BytesMessage(CAT)) for _ in range(ALL_AT_ONCE))
        client.sock.sendall(frames)
        answers = [client.text() for _ in range(ALL_AT_ONCE)]
    assert sorted(answer["id"] for answer in answers) == list(range(1, ALL_AT_ONCE + 1))
    errors = {answer["error"] for answer in answers if "error" in answer}
    assert errors <= {f"{MAX_WAITING} frames are under way already"}


def test_newest_wins_if_asked(server: Server) -> None:
    with _connect(server, "?newest=1") as client:
        frames = b"".join(client.protocol.send(BytesMessage(CAT)) for _ in range(ALL_AT_ONCE))
        client.sock.sendall(frames)
        answers = {answer["id"]: answer for answer in (client.text() for _ in range(ALL_AT_ONCE))}
    assert answers.keys() == set(range(1, ALL_AT_ONCE + 1))
    assert not any("error" in answer for answer in answers.values())
    assert sum("dropped" in answer for answer in answers.values()) > ALL_AT_ONCE / 4
    assert "result" in answers[ALL_AT_ONCE]


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "empty"), (b"hello", "is no JPEG"), (CAT[:2000], "cut off")],
)
def test_bad_frame_is_said_to_be_and_the_talk_goes_on(server: Server, data: bytes, reason: str) -> None:
    with _connect(server) as client:
        client.send(BytesMessage(data))
        answer = client.text()
        assert answer["id"] == 1
        assert reason in answer["error"]
        client.send(BytesMessage(CAT))
        assert "result" in client.text()


@pytest.mark.parametrize("text", ["", "hello", "[]", "{}", json.dumps({"id": [1]})])
def test_text_that_says_nothing_ends_the_talk(server: Server, text: str) -> None:
    with _connect(server) as client:
        client.send(TextMessage(text))
        assert client.wait_for_close()[0] == 1008


@pytest.mark.parametrize("query", ["?score_threshold=2", "?neither=1"])
def test_wrong_parameter_is_refused(server: Server, query: str) -> None:
    with _connect(server, query) as client:
        assert client.status == 400


def test_who_leaves_early_does_no_harm(server: Server) -> None:
    lines = len(server.log)
    for _ in range(3):
        with _connect(server) as client:
            for _ in range(4):
                client.send(BytesMessage(CAT))
    with _connect(server) as client:
        client.send(BytesMessage(CAT))
        assert "result" in client.text()
    assert not [line for line in server.log[lines:] if "ERROR" in line or "Traceback" in line]
    assert server.get("/api/v1/detect/ws").status == 400
