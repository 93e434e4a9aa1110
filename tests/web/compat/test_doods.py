"""DOODS' and Vision-style clients: their requests, their answers, and their errors."""

from __future__ import annotations

import base64
import json

import cv2
import numpy as np
import pytest
from wsproto.events import TextMessage

from stream_server.web.compat.doods import DoodsRequest
from stream_server.web.compat.google_vision import Feature
from tests.support.paths import DATA
from tests.support.posts import base64_of, post, post_json
from tests.support.server import ONE_WORKER, SMALL_DEMO, Server
from tests.support.viewers import Viewer
from tests.support.websockets import Client

pytestmark = pytest.mark.server(*SMALL_DEMO, *ONE_WORKER, finds=True)

PERSON = base64_of((DATA / "astronaut.jpg").read_bytes())


def test_detectors_are_listed_as_home_assistant_reads_them(server: Server) -> None:
    found = server.get("/detectors").json["detectors"]
    assert [detector["name"] for detector in found] == ["default", "centernet-mobilenetv3"]
    assert all("person" in detector["labels"] and len(detector["labels"]) == 80 for detector in found)
    assert {"width", "height", "type", "model"} <= found[0].keys()


def test_confidence_is_a_percentage_and_boxes_are_parts(server: Server) -> None:
    answer = post_json(server.port, "/detect", {"id": "x", "data": PERSON, "detect": {"*": 50}}).json
    assert answer.keys() == {"id", "detections"}, "Home Assistant takes an `error` for one, even null"
    assert answer["id"] == "x"
    (person,) = answer["detections"]
    assert person["label"] == "person"
    assert 50 <= person["confidence"] <= 100
    assert 0 <= person["left"] < person["right"] <= 1
    assert 0 <= person["top"] < person["bottom"] <= 1


@pytest.mark.parametrize(
    ("detect", "label", "confidence", "counts"),
    [
        ({}, "person", 1, True),
        ({"*": 50}, "person", 50, True),
        ({"*": 50}, "person", 49, False),
        ({"*": 50, "person": 60}, "person", 55, False),
        ({"*": 50, "person": 20}, "person", 30, True),
        ({"car": 10}, "person", 99, False),
    ],
)
def test_named_label_counts_for_more_than_the_star(
    detect: dict[str, float], label: str, confidence: float, counts: bool
) -> None:
    asked = DoodsRequest(detect=detect)
    assert (asked.region_of(label, confidence, (0, 0, 1, 1)) is not None) is counts


@pytest.mark.parametrize(
    ("covers", "box", "region"),
    [
        (True, (0.1, 0.1, 0.4, 0.4), "left"),
        (True, (0.1, 0.1, 0.6, 0.4), None),
        (False, (0.1, 0.1, 0.6, 0.4), "left"),
        (False, (0.6, 0.1, 0.9, 0.4), None),
    ],
)
def test_region_holds_what_it_covers_or_touches(
    covers: bool, box: tuple[float, float, float, float], region: str | None
) -> None:
    left = {"id": "left", "right": 0.5, "detect": {"*": 30}, "covers": covers}
    asked = DoodsRequest.model_validate({"regions": [left]})
    assert asked.region_of("person", 40, box) == region
    assert asked.region_of("person", 20, box) is None
    assert asked.options.score_threshold == pytest.approx(0.3)


def test_region_of_an_object_is_named(server: Server) -> None:
    region = {
        "id": "all",
        "top": 0,
        "left": 0,
        "bottom": 1,
        "right": 1,
        "detect": {"person": 50},
        "covers": True,
    }
    answer = post_json(server.port, "/detect", {"data": PERSON, "regions": [region], "image": "jpg"}).json
    assert [found["region_id"] for found in answer["detections"]] == ["all"]
    assert base64.b64decode(answer["image"]).startswith(b"\xff\xd8")


def test_image_shows_what_counts_alone(server: Server) -> None:
    def shown(detect: dict[str, int]) -> np.ndarray:
        answer = post_json(server.port, "/image", {"data": PERSON, "detect": detect})
        assert answer.headers["content-type"] == "image/jpeg"
        return cv2.imdecode(np.frombuffer(answer.body, np.uint8), 1).astype(int)

    assert np.abs(shown({"person": 50}) - shown({"car": 50})).max() > 60


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"{}", b'{"data": "!"}', b'{"data": "aGVsbG8="}', b'{"data": "http://127.0.0.1/x"}',
        b'{"data": "", "detector_name": "none"}', b'{"data": 1}', b'{"detect": {"*": 101}}',
        b'{"data": "", "preprocess": ["grayscale"]}', b'{"regions": [{"top": 2}]}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/detect", "/image"])
def test_errors_are_400_with_a_reason(server: Server, path: str, body: bytes) -> None:
    answer = post(server.port, path, body)
    assert answer.status == 400
    assert answer.json.keys() == {"error"}
    assert answer.json["error"]


def test_websocket_answers_one_request_after_the_other(server: Server) -> None:
    with Client.connect(server.port, path="/detect") as client:
        for number in range(3):
            client.send(TextMessage(json.dumps({"id": str(number), "data": PERSON, "detect": {"*": 50}})))
            answer = client.text()
            assert (answer["id"], len(answer["detections"])) == (str(number), 1)
        client.send(TextMessage(json.dumps({"id": "bad", "data": "!"})))
        assert client.text().keys() == {"id", "error"}


def test_stream_of_a_request_shows_its_camera(server: Server) -> None:
    with Viewer(server.port, '/stream?detect_request={"data":"demo"}') as viewer:
        viewer.read(2)
    assert server.get('/stream?detect_request={"data":"none"}').json["error"].startswith("data: got 'none'")


# Vision-style.


def ask(server: Server, *requests: object) -> list[list[dict[str, object]]]:
    answer = post_json(server.port, "/", {"requests": requests})
    assert answer.status == 200, answer.text
    return [one["localizedObjectAnnotations"] for one in answer.json["responses"]]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"features": None},
        {"features": []},
        {"features": [None]},
        {"features": [{}]},
        {"features": [{"score_th": None}]},
    ],
)
def test_vision_finds_objects_with_its_own_defaults(server: Server, more: dict[str, object]) -> None:
    ((found, *_),) = ask(server, {"image": {"content": PERSON}, **more})
    assert found["name"] == "person"
    poly = found["boundingPoly"]
    assert isinstance(poly, dict)
    first, second, third, fourth = poly["normalizedVertices"]
    assert first["y"] == second["y"] < third["y"] == fourth["y"]
    assert first["x"] == fourth["x"] < second["x"] == third["x"]


def test_vision_defaults_are_what_its_clients_are_used_to() -> None:
    options = Feature().options
    assert (options.score_threshold, options.iou_threshold, options.max_detections) == (0.3, 0.4, 20)
    assert (options.min_width, options.min_height) == (0.03, 0.03)


def test_vision_answers_each_request_with_its_own_options(server: Server) -> None:
    one = {"image": {"content": PERSON}}
    some, none = ask(server, one, {**one, "features": [{"score_th": 1}]})
    assert some
    assert not none


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"requests": []}, 422),
        ({"requests": [{"image": {}}]}, 422),
        ({"requests": [{"image": {"content": "!"}}]}, 400),
        ({"requests": [{"image": {"content": "aGVsbG8="}}]}, 415),
        ({"requests": [{"image": {"content": PERSON}, "features": [{"score_th": 2}]}]}, 422),
    ],
)
def test_vision_errors_are_problems(server: Server, body: object, status: int) -> None:
    answer = post_json(server.port, "/", body)
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json["field"].startswith("requests")
