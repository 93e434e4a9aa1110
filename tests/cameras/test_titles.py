"""Titles: what people call cameras, in any script, wherever a camera is shown."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from flask.testing import FlaskClient
from markupsafe import escape

from stream_server.config import CameraConfig, Config
from stream_server.engine import Engine
from stream_server.errors import ConfigError
from stream_server.web.app import create_app
from tests.support.leaks import wait_until

TITLE = '<b>Küche</b> & "前門"'


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """A camera with a title and one that goes by its name."""
    demo = {"source": "demo:", "width": 640, "height": 360, "fps": 10}
    cameras = {"kitchen": {**demo, "title": TITLE}, "plain": demo}
    with Engine(Config.load(None, cameras=cameras, detector={"workers": 0})) as engine:
        assert wait_until(lambda: all(p.camera.is_online for p in engine.pipelines.values()), 20)
        yield engine


@pytest.fixture
def client(engine: Engine) -> Iterator[FlaskClient]:
    with create_app(engine).test_client() as client:
        yield client


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Küche", "Küche"),
        ("前門", "前門"),
        (" a \n\tb ", "a b"),
        (12, "12"),
        ("👨\u200d👩", "👨\u200d👩"),
        (None, None),
    ],
)
def test_title_is_any_text(title: object, expected: str | None) -> None:
    assert CameraConfig.model_validate({"source": "demo:", "title": title}).title == expected


@pytest.mark.parametrize(
    ("title", "message"),
    [
        ("", "1 to 100 characters"),
        ("x" * 101, "1 to 100 characters"),
        ("a\x1b[2Jb", "not U+001B"),
        ("gepj\u202e.exe", "not U+202E"),
        ("a\ud800", "not U+D800"),
        (True, "expected text"),
        (["a"], "expected text"),
    ],
)
def test_title_that_cannot_be_shown_is_refused(title: object, message: str) -> None:
    with pytest.raises(ConfigError, match=r"cameras\.a\.title") as caught:
        Config.parse({"cameras": {"a": {"source": "demo:", "title": title}}})
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("path", ["/", "/cameras/kitchen", "/cameras/kitchen/regions", "/embed/kitchen"])
def test_pages_show_the_title_as_text(client: FlaskClient, path: str) -> None:
    page = client.get(path).text
    assert str(escape(TITLE)) in page
    assert "<b>Küche" not in page


def test_lines_to_copy_have_the_title_as_html_takes_it(client: FlaskClient) -> None:
    page = client.get("/cameras/kitchen").text
    assert str(escape(f'alt="{escape(TITLE)}"')) in page


def test_api_tells_the_title_and_the_name(client: FlaskClient) -> None:
    cameras = client.get("/api/v1/cameras").json["cameras"]
    assert [(camera["name"], camera["title"]) for camera in cameras] == [
        ("kitchen", TITLE),
        ("plain", "plain"),
    ]


def test_headers_of_a_camera_with_a_title_are_plain(client: FlaskClient) -> None:
    answer = client.get("/cameras/kitchen/snapshot.jpg")
    assert answer.status_code == 200
    assert all(value.isascii() for _, value in answer.headers)


def test_title_is_on_the_picture(client: FlaskClient) -> None:
    widths = [
        _caption_width(client.get(f"/cameras/{name}/snapshot.jpg").data) for name in ("kitchen", "plain")
    ]
    assert widths[0] > widths[1] + 50, "the longer title takes the wider caption"


def _caption_width(jpeg: bytes) -> int:
    """Return how far the dark ground of the caption reaches into the picture's lower left corner."""
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    darkest = image[-12:, :, 0].min(axis=0)
    return int(np.argmax(darkest > 0.75 * darkest[350:400].mean()))


def test_log_names_the_camera_by_both(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with Engine(Config.load(None, cameras={"phone": {"source": "push:", "title": "前門"}})) as engine:
        assert wait_until(lambda: engine.pipelines["phone"].camera.state == "waiting")
    lines = [record.getMessage() for record in caplog.records if "前門" in record.getMessage()]
    assert "camera phone (前門): waiting: nobody sends pictures" in lines
    assert len(lines) == len(set(lines)), "to wait on is told once"
