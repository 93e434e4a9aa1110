"""Settings of a real server: over its API, by SIGHUP and by edits, with viewers who notice none of it."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.support.cameras.http import HTTPCamera
from tests.support.leaks import open_descriptors, threads, wait_until
from tests.support.paths import CHECKOUT
from tests.support.posts import post_json
from tests.support.server import Answer, Server
from tests.support.viewers import Viewer
from tests.support.websockets import Client

SMALL = "source: 'demo:', width: 320, height: 180"
TEXT = f"""\
# the house
detector: {{workers: 1}}
cameras:
  front: {{{SMALL}, fps: 10}}   # stays as it is
  back: {{{SMALL}, fps: 5, detect: {{enabled: false}}}}
"""
RELOADS = 100
WITHIN_S = 20.0


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("settings") / "config.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def server(file: Path) -> Iterator[Server]:
    with Server("--config", str(file)) as running:
        yield running


@pytest.fixture(autouse=True)
def as_before(server: Server, file: Path) -> Iterator[None]:
    yield
    if file.read_text(encoding="utf-8") != TEXT:
        reload(server, file, TEXT)


def reload(server: Server, file: Path, text: str, answer: str = "configuration read again: ") -> None:
    """Change the file, have it read, and wait for what the server says."""
    lines = len(server.log)
    file.write_text(text, encoding="utf-8")
    server.process.send_signal(signal.SIGHUP)
    server.wait_for_line(answer, since=lines)


def ask(server: Server, method: str, path: str, body: object = None, **headers: str) -> Answer:
    """Return the answer of the settings API."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return post_json(server.port, f"/api/v1/settings{path}", body, named, method=method)


def test_cameras_are_made_changed_and_removed(server: Server, file: Path) -> None:
    section = {"source": "demo:", "width": 160, "detect": {"enabled": False}}
    made = ask(server, "PUT", "/cameras/garden", section)
    assert (made.status, made.json) == (201, section)
    server.wait_for_camera(lambda info: info["width"] == 160, WITHIN_S, "garden")
    changed = ask(server, "PATCH", "/cameras/garden", {"width": None, "height": 120})
    assert (changed.status, changed.json) == (
        200,
        {"source": "demo:", "detect": {"enabled": False}, "height": 120},
    )
    assert ask(server, "PUT", "/cameras/garden", section).status == 200
    shown = server.get("/api/v1/settings").json
    assert shown == {
        "file": "config.yaml",
        "is_writable": True,
        "reason": None,
        "error": None,
        "needs_restart": [],
        "cameras": shown["cameras"],
        "fixed": [],
    }
    assert shown["cameras"]["garden"] == section
    assert ask(server, "DELETE", "/cameras/garden").status == 204
    assert ask(server, "DELETE", "/cameras/garden").status == 404
    assert server.get("/cameras/garden/stream.mjpg").status == 404
    assert file.read_text(encoding="utf-8") == TEXT


@pytest.mark.parametrize(
    ("method", "body", "headers", "status", "detail"),
    [
        ("PATCH", {"stream": {"fps": 0}}, {}, 422, "cameras.front.stream.fps: got 0, expected more than 0"),
        ("PATCH", {"fps": 0, "fsp": 1}, {}, 422, "cameras.front.fps: got 0.*\ncameras.front.fsp: unknown"),
        ("PATCH", {"detect": {"classes": ["dgo"]}}, {}, 422, "cameras.front.detect.classes: .*dgo"),
        (
            "PATCH",
            {"detect": {"model": "x"}},
            {},
            422,
            "cameras.front.detect.model: x: no model of this name",
        ),
        (
            "PATCH",
            {"detect": {"model": str(CHECKOUT / "detector/models/centernet-mobilenetv3-512.tflite")}},
            {},
            422,
            "detect.model: got '.*', which was not loaded at the start; restart",
        ),
        ("PATCH", [1], {}, 422, ""),
        ("PATCH", {"fps": 9}, {"Content_Type": "text/plain"}, 415, "expected Content-Type: application/json"),
        ("PUT", {"source": "demo:"}, {"Origin": "https://evil.example"}, 403, "another site"),
        ("PUT", {"source": "x" * 70000}, {}, 413, "too long"),
    ],
)
def test_what_is_wrong_is_said_and_changes_nothing(
    server: Server, file: Path, method: str, body: object, headers: dict[str, str], status: int, detail: str
) -> None:
    answer = ask(server, method, "/cameras/front", body, **headers)
    assert answer.status == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert re.search(detail, answer.json["detail"], re.DOTALL)
    assert file.read_text(encoding="utf-8") == TEXT


def test_other_classes_are_looked_for_while_viewers_watch(server: Server) -> None:
    with Viewer(server.port, "/cameras/front/stream.mjpg") as viewer:
        seen = server.wait_for_camera(lambda info: "cat" in info["objects"], 30, "front")
        assert ask(server, "PATCH", "/cameras/front", {"detect": {"classes": ["person"]}}).status == 200
        found = server.wait_for_camera(lambda info: set(info["objects"]) == {"person"}, WITHIN_S, "front")
        assert found["frames"] > seen["frames"]  # it counts on
        viewer.read(5)
        assert ask(server, "PATCH", "/cameras/front", {"detect": None}).status == 200
        server.wait_for_camera(lambda info: "cat" in info["objects"], WITHIN_S, "front")
        viewer.read(len(viewer.parts) + 5)


def test_camera_that_goes_ends_its_streams_and_no_others(server: Server, file: Path) -> None:
    with (
        Client.connect(server.port) as wall,
        Viewer(server.port, "/cameras/back/stream.mjpg") as gone,
        Viewer(server.port, "/cameras/front/stream.mjpg") as stays,
    ):
        wall.watch({"id": 1, "camera": "back"}, {"id": 2, "camera": "front"})
        gone.read(2)
        stays.read(2)
        assert ask(server, "DELETE", "/cameras/back").status == 204
        gone.read_to_end()
        assert not gone.was_reset
        stays.read(len(stays.parts) + 5)
        while not wall.is_text_next():
            wall.picture()
        assert wall.text() == {"ended": 1}
    assert "back" not in file.read_text(encoding="utf-8")


def test_camera_that_goes_ends_what_tells_of_its_objects(server: Server) -> None:
    with (
        closing(HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection,
        Client.connect(server.port, path="/api/v1/cameras/front/ws") as detections,
    ):
        connection.request("GET", "/api/v1/cameras/front/events")
        events = connection.getresponse()
        assert events.status == 200
        assert detections.text(30)["camera"] == "front"
        assert ask(server, "DELETE", "/cameras/front").status == 204
        assert detections.wait_for_close() == (1001, "the camera has ended")
        assert b"event: detections" in events.read()


def test_web_worker_that_is_replaced_runs_what_the_file_says(server: Server) -> None:
    assert ask(server, "PUT", "/cameras/garden", {"source": "demo:", "width": 160}).status == 201
    worker, lines = server.web_worker, len(server.log)
    os.kill(worker, signal.SIGKILL)
    server.wait_for_line("Serving|Watch at", 30, since=lines)
    assert wait_until(lambda: server.get("/api/v1/cameras/garden").status == 200, WITHIN_S)


# A camera is tried.


def test_camera_that_works_is_described(server: Server) -> None:
    answer = ask(server, "POST", "/test", {"source": "demo:", "width": 640})
    assert answer.status == 200
    found = answer.json
    assert (found["width"], found["height"], found["description"]) == (640, 360, "demo scene")
    assert 5 < found["fps"] < 40
    assert found["took_ms"] < 5000


def test_camera_that_is_open_is_not_opened_twice(server: Server) -> None:
    server.wait_for_camera(lambda info: info["state"] == "online", WITHIN_S, "front")
    section = server.get("/api/v1/settings").json["cameras"]["front"]
    answer = ask(server, "POST", "/test", {**section, "name": "front"})
    assert (answer.json["width"], answer.json["took_ms"]) == (320, 0)


def test_stored_password_is_used_and_wrong_ones_are_told(server: Server) -> None:
    with HTTPCamera(authentication="basic", users={"me": "hunter22"}) as camera:
        source = camera.url
        section = {"source": source, "username": "me", "password": "hunter22", "enabled": False}
        assert ask(server, "PUT", "/cameras/door", section).status == 201
        right = ask(server, "POST", "/test", {**section, "password": "***", "name": "door"})
        assert right.status == 200, right.text
        wrong = ask(server, "POST", "/test", {**section, "password": "swordfish", "name": "door"})
    assert wrong.status == 422
    assert "password" in wrong.json["detail"]
    assert not any("hunter22" in text or "swordfish" in text for text in (wrong.text, *server.log))


@pytest.mark.parametrize(
    ("source", "detail"),
    [
        ("rtsp://127.0.0.1:1/x", "connection refused"),
        ("push:", "nothing to open"),
        ("file:///etc/passwd", "source: .*not allowed"),
        ("rtsp://a:***@127.0.0.1/x", "no password is stored"),
    ],
)
def test_camera_that_does_not_work_says_why(server: Server, source: str, detail: str) -> None:
    answer = ask(server, "POST", "/test", {"source": source})
    assert answer.status == 422
    assert re.search(detail, answer.json["detail"])


# Reloads under load.


def test_hundred_reloads_leave_no_trace_and_hold_up_nobody(server: Server, file: Path) -> None:
    back = f"  back: {{{SMALL}, fps: 5"
    texts = [
        (TEXT.replace(back, back.replace("fps: 5", "fps: 6")), "read again: changed back"),
        (TEXT.replace("fps: 5", "fps: 0"), "stays as it was: .*cameras.back.fps: got 0"),
        (TEXT + f"  extra: {{{SMALL}}}\n", "read again: .*added extra"),
        (TEXT + "  : [}", "stays as it was: .*is not valid YAML"),
        (TEXT, "read again: removed extra"),
    ]
    worker = server.web_worker

    def reload_all(times: int) -> None:
        for number in range(times):
            reload(server, file, *texts[number % len(texts)])

    with Viewer(server.port, "/cameras/front/stream.mjpg") as viewer:
        viewer.read(10)
        reload_all(len(texts))
        before = threads(worker), open_descriptors(worker)
        watched_from = len(viewer.parts)
        while_it(lambda: reload_all(RELOADS), viewer.read_some)
        assert wait_until(lambda: threads(worker) <= before[0], WITHIN_S)
        assert wait_until(lambda: open_descriptors(worker) <= before[1], WITHIN_S)
        came = viewer.arrived_at[watched_from:]
    assert server.web_worker == worker
    # Of 10 a second, and on a machine that others use as well.
    assert max(later - earlier for earlier, later in pairwise(came)) < 2
    assert len(came) / (came[-1] - came[0]) > 5


def while_it(work: Callable[[], Any], step: Callable[[], None]) -> None:
    """Do `step` again and again until `work`, on another thread, is done; raises what that raised."""
    trouble: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as exc:
            trouble.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive():
        step()
    thread.join()
    if trouble:
        raise trouble[0]
