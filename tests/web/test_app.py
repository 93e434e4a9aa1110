"""Pages, API and pictures as the application answers for them, behind an engine that runs."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from stream_server.cameras.camera import CameraState
from stream_server.config import Config, NeededCameras
from stream_server.diagnostics.cameras import CameraInfo, CameraList
from stream_server.diagnostics.readiness import has_cameras
from stream_server.engine import Engine
from stream_server.schemas.detections import DetectionList
from stream_server.streaming.multipart import CANONICAL
from stream_server.web.app import create_app
from tests.support.cameras.http import HTTPCamera, numbered_jpeg
from tests.support.leaks import wait_until
from tests.support.patience import soon
from tests.support.viewers import BOUNDARY_LINE, StrictParser

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
POLICY = {
    "default-src 'self'",
    "img-src 'self' blob: data:",
    "media-src 'self' blob:",
    "frame-ancestors 'self'",
    "base-uri 'none'",
    "form-action 'self'",
}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """A demo that is analysed, a second one that is not, and a camera that nobody can reach."""
    with HTTPCamera() as gone:
        address = gone.url
    small = {"source": "demo:", "width": 640, "height": 360, "fps": 10}
    config = Config.load(
        None,
        cameras={
            "demo": {**small, "detect": {"fps": 4}},
            "plain": {**small, "detect": {"enabled": False}, "stream": {"width": 320}},
            "lost": {"source": address, "detect": {"enabled": False}},
        },
        detector={"workers": 1},
    )
    with Engine(config) as engine:
        assert wait_until(lambda: engine.pipelines["demo"].detections_per_s > 0, 30)
        assert wait_until(lambda: engine.pipelines["lost"].camera.state == "offline")
        yield engine


@pytest.fixture
def client(engine: Engine) -> Iterator[FlaskClient]:
    with create_app(engine).test_client() as client:
        yield client


def _image(answer: TestResponse) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(answer.data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return np.asarray(image)


# Pages.


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("/", "Cameras · stream-server"),
        ("/cameras/demo", "demo · stream-server"),
        ("/cameras/lost", "lost · stream-server"),
    ],
)
def test_page_has_its_title(client: FlaskClient, path: str, title: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.content_type == "text/html; charset=utf-8"
    assert f"<title>{title}</title>" in answer.text
    assert '<meta name="viewport"' in answer.text
    assert '<html lang="en">' in answer.text


def test_all_cameras_are_on_the_first_page(client: FlaskClient) -> None:
    text = client.get("/").text
    for name in ("demo", "plain", "lost"):
        assert f'href="/cameras/{name}"' in text


def test_page_without_cameras_says_how_to_get_one() -> None:
    with Engine(Config()) as engine, create_app(engine).test_client() as client:
        assert "Add your first camera" in client.get("/").text
        assert client.get("/api/v1/cameras").json == {"cameras": []}
        assert client.get("/video_feed").status_code == 404


def test_every_file_a_page_names_is_there(client: FlaskClient) -> None:
    pages = client.get("/").text + client.get("/cameras/demo").text
    files = set(re.findall(r'"(/static/[^"]+)"', pages))
    assert len(files) >= 4
    for file in files:
        with client.get(file) as answer:
            assert answer.status_code == 200, file


@pytest.mark.parametrize("path", ["/nothing", "/cameras/nobody", "/cameras/nobody/stream.mjpg"])
def test_browser_gets_a_page_for_what_is_not_there(client: FlaskClient, path: str) -> None:
    answer = client.get(path, headers=BROWSER)
    assert answer.status_code == 404
    assert answer.content_type == "text/html; charset=utf-8"
    assert "<title>Not Found · stream-server</title>" in answer.text


def test_names_in_pages_are_escaped(client: FlaskClient) -> None:
    answer = client.get("/cameras/<script>alert(1)<script>", headers=BROWSER)
    assert answer.status_code == 404
    assert "&lt;script&gt;alert(1)&lt;script&gt;" in answer.text
    assert "<script>alert" not in answer.text


@pytest.mark.parametrize(
    "path",
    ["/", "/cameras/demo", "/nothing", "/api/v1/cameras", "/cameras/demo/snapshot.jpg", "/static/style.css"],
)
def test_every_answer_carries_the_security_headers(client: FlaskClient, path: str) -> None:
    with client.get(path) as answer:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert set(answer.headers["Content-Security-Policy"].split("; ")) == POLICY
        assert "Access-Control-Allow-Origin" not in answer.headers


# API.


def test_api_lists_the_cameras_in_their_order(client: FlaskClient) -> None:
    answer = client.get("/api/v1/cameras")
    assert answer.content_type == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    cameras = CameraList.model_validate_json(answer.data, strict=True).cameras
    assert [camera.name for camera in cameras] == ["demo", "plain", "lost"]
    assert set(answer.json["cameras"][0]) == set(CameraInfo.model_fields)
    demo, plain, lost = cameras
    assert (demo.state, demo.reason, demo.width, demo.height) == ("online", "", 640, 360)
    assert demo.detects
    assert demo.objects.keys() & {"person", "cat"}
    assert not plain.detects
    assert plain.objects == {}
    assert lost.state == "offline"
    assert "connection refused" in lost.reason


def test_api_shows_one_camera(client: FlaskClient) -> None:
    info = CameraInfo.model_validate_json(client.get("/api/v1/cameras/demo").data, strict=True)
    assert info.name == "demo"
    assert info.fps == pytest.approx(10, abs=5)
    assert 0 < info.detection_fps <= 7


def test_api_shows_the_newest_detections(client: FlaskClient) -> None:
    answer = DetectionList.model_validate_json(
        client.get("/api/v1/cameras/demo/detections").data, strict=True
    )
    assert (answer.camera, answer.width, answer.height) == ("demo", 640, 360)
    assert answer.captured_at is not None
    assert answer.captured_at.tzinfo is not None
    for found in answer.detections:
        pixels, relative = found.box, found.box_relative
        assert relative.x_min == pytest.approx(pixels.x_min / 640, abs=2e-4)
        assert relative.y_max == pytest.approx(pixels.y_max / 360, abs=2e-4)
        assert 0 <= pixels.x_min < pixels.x_max <= 640
        assert 0 <= pixels.y_min < pixels.y_max <= 360


def test_camera_without_detection_has_an_empty_list(client: FlaskClient) -> None:
    assert client.get("/api/v1/cameras/plain/detections").json == {
        "camera": "plain",
        "sequence": None,
        "captured_at": None,
        "width": 0,
        "height": 0,
        "detections": [],
        "tracks": None,
    }


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/cameras/nobody",
        "/api/v1/cameras/nobody/detections",
        "/cameras/nobody",
        "/cameras/nobody/stream.mjpg",
        "/cameras/nobody/snapshot.jpg",
    ],
)
def test_unknown_camera_is_a_problem_that_names_it(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.content_type == "application/problem+json"
    assert answer.json == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "there is no camera 'nobody'; /api/v1/cameras lists those there are",
    }


def test_api_answers_a_browser_in_json_too(client: FlaskClient) -> None:
    assert client.get("/api/v1/nothing", headers=BROWSER).content_type == "application/problem+json"


def test_wrong_method_is_told_with_the_right_ones(client: FlaskClient) -> None:
    answer = client.post("/api/v1/cameras")
    assert answer.status_code == 405
    assert {"GET", "HEAD", "OPTIONS"} == set(answer.headers["Allow"].split(", "))


# Parameters of streams and snapshots.


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("fps=0", "fps: got '0', expected more than 0, up to 120"),
        ("fps=-1", "fps: got '-1', expected more than 0, up to 120"),
        ("fps=1e9", "fps: got '1e9', expected more than 0, up to 120"),
        ("fps=nan", "fps: got 'nan', expected more than 0, up to 120"),
        ("fps=", "fps: got '', expected a number, more than 0, up to 120"),
        ("width=-1", "width: got '-1', expected 16 to 7680"),
        ("width=15", "width: got '15', expected 16 to 7680"),
        ("width=100000", "width: got '100000', expected 16 to 7680"),
        ("quality=abc", "quality: got 'abc', expected a whole number, 1 to 100"),
        ("quality=0", "quality: got '0', expected 1 to 100"),
        ("quality=101", "quality: got '101', expected 1 to 100"),
        ("overlay=nice", "overlay: got 'nice', expected 'live', 'exact' or 'none'"),
        ("labels=maybe", "labels: got 'maybe', expected true or false"),
        (
            "fps=0&width=x",
            "width: got 'x', expected a whole number, 16 to 7680; "
            "fps: got '0', expected more than 0, up to 120",
        ),
    ],
)
@pytest.mark.parametrize("resource", ["stream.mjpg", "snapshot.jpg"])
def test_wrong_parameter_is_named_with_its_range(
    client: FlaskClient, resource: str, query: str, detail: str
) -> None:
    answer = client.get(f"/cameras/demo/{resource}?{query}")
    assert answer.status_code == 400
    assert answer.json["detail"] == detail


@pytest.mark.parametrize("query", ["", "1700000000", "t=1700000000&x=", "action=stream", "%ff=%fe", "&&=&"])
def test_parameters_nobody_knows_are_ignored(client: FlaskClient, query: str) -> None:
    with client.get(f"/cameras/demo/stream.mjpg?{query}") as stream:
        assert stream.status_code == 200
        assert next(stream.iter_encoded()).startswith(BOUNDARY_LINE)
    assert client.get(f"/cameras/demo/snapshot.jpg?{query}").status_code == 200


# Pictures.


@pytest.mark.parametrize(
    ("query", "size_hw"),
    [
        ("", (360, 640)),
        ("width=320", (180, 320)),
        ("width=7680", (360, 640)),
        ("width=160&overlay=none", (90, 160)),
    ],
)
def test_snapshot_is_one_jpeg_of_the_size_asked_for(
    client: FlaskClient, query: str, size_hw: tuple[int, int]
) -> None:
    answer = client.get(f"/cameras/demo/snapshot.jpg?{query}")
    assert answer.status_code == 200
    assert answer.content_type == "image/jpeg"
    assert answer.headers["Cache-Control"] == "no-store"
    assert _image(answer).shape == (*size_hw, 3)


def test_camera_decides_where_the_address_says_nothing(client: FlaskClient) -> None:
    assert _image(client.get("/cameras/plain/snapshot.jpg")).shape == (180, 320, 3)
    assert _image(client.get("/cameras/plain/snapshot.jpg?width=640")).shape == (360, 640, 3)


def test_lower_quality_is_smaller(client: FlaskClient) -> None:
    low, high = (len(client.get(f"/cameras/plain/snapshot.jpg?quality={q}").data) for q in (10, 95))
    assert low < high / 3


def test_lost_camera_shows_why_at_the_streams_size(client: FlaskClient) -> None:
    with soon():
        answer = client.get("/cameras/lost/snapshot.jpg?width=640")
        assert answer.status_code == 503
        assert answer.content_type == "image/jpeg"
    image = _image(answer)
    assert image.shape == (360, 640, 3)
    assert image.std() > 5  # something is written on it


def test_stream_of_a_lost_camera_repeats_the_reason_every_second(client: FlaskClient) -> None:
    with client.get("/cameras/lost/stream.mjpg?width=320") as stream:
        assert stream.status_code == 200
        parser, parts = StrictParser(), []
        for data in stream.iter_encoded():
            parts += parser.feed(data)
            if len({part["X-Timestamp"] for part in parts}) == 3:
                break
    times = sorted({float(part["X-Timestamp"]) for part in parts})
    assert times[-1] - times[0] < 4


def test_tutorials_address_shows_the_first_camera(client: FlaskClient) -> None:
    with client.get("/video_feed?width=320") as stream:
        assert stream.content_type == CANONICAL.content_type
        (part, *_) = StrictParser().feed(next(stream.iter_encoded()))
    image = cv2.imdecode(np.frombuffer(part.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape == (180, 320, 3)


def test_viewer_is_forgotten_when_the_answer_is_closed(client: FlaskClient, engine: Engine) -> None:
    assert engine.viewers == 0
    with client.get("/cameras/demo/stream.mjpg"):
        assert engine.viewers == 1
    assert engine.viewers == 0


def test_viewer_of_a_wrong_request_is_none(client: FlaskClient, engine: Engine) -> None:
    client.get("/cameras/demo/stream.mjpg?fps=0")
    client.head("/cameras/demo/stream.mjpg")
    client.get("/cameras/demo/snapshot.jpg")
    assert engine.viewers == 0


# Health.


def test_process_is_healthy_though_a_camera_is_lost(client: FlaskClient) -> None:
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json) == (200, {"status": "ok"})


def test_readiness_names_the_camera_that_is_lost(client: FlaskClient) -> None:
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json["status"]) == (200, "ready")
    (trouble,) = answer.json["troubles"]
    assert trouble.startswith("camera lost: offline: ")


@pytest.mark.parametrize(
    ("needed", "states", "expected"),
    [
        ("none", [], True),
        ("any", [], True),
        ("all", [], True),
        ("none", ["offline", "stalled"], True),
        ("any", ["offline", "auth_failed"], False),
        ("any", ["offline", "online"], True),
        ("all", ["offline", "online"], False),
        ("all", ["online", "idle", "waiting", "ended"], True),
        ("all", ["connecting"], False),
    ],
)
def test_readiness_needs_the_cameras_that_the_configuration_says(
    needed: NeededCameras, states: list[CameraState], expected: bool
) -> None:
    assert has_cameras(states, needed) is expected


def test_server_that_needs_all_cameras_is_not_ready_without_one(tmp_path: Path) -> None:
    cameras = {
        "demo": {"source": "demo:"},
        "lost": {"source": str(tmp_path / "none.mp4")},
        "phone": {"source": "push:"},
    }
    sections: dict[str, Any] = {
        "cameras": cameras,
        "detector": {"workers": 0},
        "server": {"ready_cameras": "all"},
    }
    with Engine(Config.load(None, **sections)) as engine, create_app(engine).test_client() as client:
        states = lambda: {name: p.camera.state for name, p in engine.pipelines.items()}  # noqa: E731
        expected = {"demo": "online", "lost": "offline", "phone": "waiting"}
        assert wait_until(lambda: states() == expected), states()
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json["status"]) == (503, "not ready")
        assert [line.split(":")[0] for line in answer.json["troubles"]] == ["camera lost"]
        assert client.get("/api/v1/status").json["is_ready"] is False


def test_closed_engine_is_not_healthy() -> None:
    config = Config.load(None, cameras={"demo": {"source": "demo:"}}, detector={"workers": 0})
    with Engine(config) as engine, create_app(engine).test_client() as client:
        assert client.get("/healthz").status_code == 200
        engine.close()
        answer = client.get("/healthz")
        assert (answer.status_code, answer.json) == (503, {"status": "broken"})
        with client.get("/cameras/demo/stream.mjpg") as stream:
            assert b"".join(stream.iter_encoded()) == b""


def test_detector_that_is_being_restarted_is_told_as_busy() -> None:
    config = Config.load(None, cameras={"demo": {"source": "demo:"}}, detector={"workers": 1})
    with Engine(config) as engine, create_app(engine).test_client() as client:
        assert engine.pool
        engine.pool.close()
        for path, kind in (("/api/v1/detect", "image/jpeg"), ("/image", "application/json")):
            data = numbered_jpeg(0)
            body = json.dumps({"data": base64.b64encode(data).decode()}) if path == "/image" else data
            answer = client.post(path, data=body, content_type=kind)
            assert answer.status_code == 503, answer.text
            assert answer.headers["Retry-After"]
