"""What holds for all addresses that take pictures, or a query: each says what is wrong in its own words."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from typing import Any

import pytest
from wsproto.events import BytesMessage, TextMessage

from tests.support.paths import DATA
from tests.support.posts import base64_of, post, post_form, post_json
from tests.support.server import ONE_WORKER, SMALL_DEMO, Server, settings
from tests.support.websockets import Client

DOOR = settings("cameras.door={source: 'push:', detect: {enabled: false}}")
pytestmark = pytest.mark.server(*SMALL_DEMO, *DOOR, *ONE_WORKER, finds=True)

PERSON = (DATA / "astronaut.jpg").read_bytes()
JSON = {"Content-Type": "application/json"}
CAMERA = "/api/v1/cameras/demo"


def _said_over_websocket(server: Server, path: str, message: str | bytes) -> Any:
    with Client.connect(server.port, path=path) as client:
        client.send(BytesMessage(message) if isinstance(message, bytes) else TextMessage(message))
        return client.text()


# Pictures.


def _by_body(server: Server, picture: bytes) -> Any:
    return post(server.port, "/api/v1/detect", picture).json


def _by_form(server: Server, picture: bytes) -> Any:
    return post_form(server.port, "/api/v1/detect", [picture]).json


def _by_json(server: Server, picture: bytes) -> Any:
    return post_json(server.port, "/api/v1/detect", {"image": base64_of(picture)}).json


def _by_frame(server: Server, picture: bytes) -> Any:
    return _said_over_websocket(server, "/api/v1/detect/ws", picture)


def _by_doods(server: Server, picture: bytes) -> Any:
    return post_json(server.port, "/detect", {"data": base64_of(picture), "detect": {"*": 50}}).json


def _by_doods_websocket(server: Server, picture: bytes) -> Any:
    asked = {"data": base64_of(picture), "detect": {"*": 50}}
    return _said_over_websocket(server, "/detect", json.dumps(asked))


def _by_vision(server: Server, picture: bytes) -> Any:
    return post_json(server.port, "/", {"requests": [{"image": {"content": base64_of(picture)}}]}).json


WAYS = [_by_body, _by_form, _by_json, _by_frame, _by_doods, _by_doods_websocket, _by_vision]


@pytest.mark.parametrize("ask", WAYS)
def test_jpeg_may_lack_the_marker_of_its_end(server: Server, ask: Callable[[Server, bytes], Any]) -> None:
    assert '"person"' in json.dumps(ask(server, PERSON[:-2]))


@pytest.mark.parametrize("ask", WAYS)
def test_jpeg_that_ends_within_its_pixels_is_said_to(
    server: Server, ask: Callable[[Server, bytes], Any]
) -> None:
    assert "cut off" in json.dumps(ask(server, PERSON[: len(PERSON) // 2]))


# JSON.

BODIES: dict[str, object] = {
    "/api/v1/detect": {"image": base64_of(PERSON)},
    "/detect": {"data": base64_of(PERSON), "detect": {"person": 50}},
    "/": {"requests": [{"image": {"content": base64_of(PERSON)}}]},
}
BEGINNINGS = {"utf-8": codecs.BOM_UTF8, "utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("encoding", BEGINNINGS)
def test_json_may_begin_with_a_byte_order_mark(server: Server, path: str, encoding: str) -> None:
    body = BEGINNINGS[encoding] + json.dumps(BODIES[path]).encode(encoding)
    answer = post(server.port, path, body, JSON)
    assert (answer.status, '"person"' in answer.text) == (200, True), answer.text


def test_json_over_websockets_may_begin_with_a_byte_order_mark(server: Server) -> None:
    asked = json.dumps(BODIES["/detect"])
    for message in ("\ufeff" + asked, codecs.BOM_UTF8 + asked.encode()):
        assert len(_said_over_websocket(server, "/detect", message)["detections"]) == 1
    frame = "\ufeff" + json.dumps({"id": 7, "image": base64_of(PERSON)})
    assert _said_over_websocket(server, "/api/v1/detect/ws", frame)["id"] == 7


# DOODS.


@pytest.mark.parametrize("id", ["x", "", 7, 0, -1, 2**53])
def test_doods_gives_an_id_back_as_it_came(server: Server, id: str | int) -> None:
    asked = {"id": id, "data": base64_of(PERSON), "detect": {"person": 50}}
    for answer in (
        post_json(server.port, "/detect", asked).json,
        _said_over_websocket(server, "/detect", json.dumps(asked)),
    ):
        assert (answer["id"], type(answer["id"])) == (id, type(id))
        assert len(answer["detections"]) == 1


def test_doods_takes_null_for_what_was_not_said(server: Server) -> None:
    names = ("id", "detector_name", "detect", "regions", "preprocess", "image")
    asked = {"data": base64_of(PERSON), **dict.fromkeys(names)}
    answer = post_json(server.port, "/detect", asked).json
    assert answer.keys() == {"detections"}, answer
    assert "person" in {found["label"] for found in answer["detections"]}
    region = dict.fromkeys(("id", "top", "left", "bottom", "right", "covers")) | {"detect": {"person": 50}}
    answer = post_json(server.port, "/detect", asked | {"regions": [region]}).json
    assert [found["label"] for found in answer["detections"]] == ["person"]
    region["detect"] = None
    assert post_json(server.port, "/detect", asked | {"regions": [region]}).json == {"detections": []}


def test_doods_names_the_field_of_an_unknown_detector(server: Server) -> None:
    asked = {"detector_name": "nope", "data": base64_of(PERSON)}
    wanted = "detector_name: got 'nope', expected one of default, centernet-mobilenetv3"
    for path in ("/detect", "/image"):
        answer = post_json(server.port, path, asked)
        assert (answer.status, answer.json) == (400, {"error": wanted})
    assert _said_over_websocket(server, "/detect", json.dumps(asked))["error"] == wanted


# Queries.

KEYS = {
    "POST /api/v1/detect": "classes, image, images, iou_threshold, max_detections, min_height, min_width, "
    "model, score_threshold, url, urls",
    "WS /api/v1/detect/ws": "classes, iou_threshold, max_detections, min_height, min_width, model, newest, "
    "score_threshold",
    "POST /api/v1/videos": "blur, classes, end_s, every, format, labels, model, name, score, side, start_s, "
    "trails",
}
"""Where unknown keys are refused, and those that are known."""


def _ask(server: Server, at: str, query: str) -> tuple[int, str]:
    """Return the status and the reason with which an address answers a query."""
    method, path = at.split()
    if method == "WS":
        with Client.connect(server.port, path=f"{path}?{query}") as client:
            return client.status, client.refusal()["detail"]
    answer = post(server.port, f"{path}?{query}", PERSON, method=method)
    return answer.status, answer.json["detail"]


@pytest.mark.parametrize("at", KEYS)
def test_unknown_key_is_answered_with_those_of_the_address(server: Server, at: str) -> None:
    status, detail = _ask(server, at, "zzzzzzzz=1")
    assert status in (400, 422)
    assert detail == f"zzzzzzzz: unknown key; expected one of {KEYS[at]}"


WRONG_VALUES = [
    ("POST /api/v1/detect", "score_threshold=2", "score_threshold: got '2', expected 0 to 1"),
    (
        "POST /api/v1/detect",
        "max_detections=x",
        "max_detections: got 'x', expected a whole number, 1 to 1000",
    ),
    ("WS /api/v1/detect/ws", "min_width=-1", "min_width: got '-1', expected 0 to 1"),
    ("WS /api/v1/detect/ws", "newest=maybe", "newest: got 'maybe', expected true or false"),
    ("GET /cameras/demo/stream.mjpg", "fps=x", "fps: got 'x', expected a number, more than 0, up to 120"),
    ("GET /cameras/demo/snapshot.jpg", "quality=0", "quality: got '0', expected 1 to 100"),
    ("GET /embed/demo", "width=1", "width: got '1', expected 16 to 7680"),
    (f"GET {CAMERA}/detections", "tracks=2", "tracks: got '2', expected true or false"),
    (f"GET {CAMERA}/events", "tracks=2", "tracks: got '2', expected true or false"),
    (f"WS {CAMERA}/ws", "width=x", "width: got 'x', expected a whole number, 16 to 7680"),
    (f"GET {CAMERA}/history", "since=x", "since: got 'x', expected"),
    ("GET /api/v1/status", "log_after=x", "log_after: got 'x', expected a whole number"),
    ("POST /api/v1/cameras/door/push", "takeover=x", "takeover: got 'x', expected true or false"),
    ("WS /api/v1/cameras/door/push", "takeover=x", "takeover: got 'x', expected true or false"),
    ("POST /api/v1/videos", "name=a.mp4&every=0", "every: got '0', expected 1 to 10000"),
    ("POST /api/v1/videos", "nmae=a.mp4", "nmae: unknown key; did you mean name?"),
]


@pytest.mark.parametrize(("at", "query", "reason"), WRONG_VALUES)
def test_wrong_value_is_answered_with_what_the_address_takes(
    server: Server, at: str, query: str, reason: str
) -> None:
    status, detail = _ask(server, at, query)
    assert status in (400, 422)
    assert detail.startswith(reason)


@pytest.mark.parametrize(
    ("cameras", "reason"),
    [
        ([{"id": 1, "camera": "demo", "fps": "x"}], "cameras.0.fps: got 'x', expected a number"),
        ([{"id": -1, "camera": "demo"}], "cameras.0.id: got -1, expected 0 to 4294967295"),
        ([{"camera": "demo"}], "cameras.0.id: is missing"),
        ("demo", "cameras: got 'demo', expected a list"),
    ],
)
def test_wall_says_what_is_wrong_with_a_wish(server: Server, cameras: object, reason: str) -> None:
    with Client.connect(server.port) as client:
        client.say(cameras=cameras)
        code, said = client.wait_for_close()
    assert code == 1008
    assert said.startswith(reason)
