"""Cameras that send by themselves: over HTTP and WebSockets, one sender at a time, with limits."""

from __future__ import annotations

import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from wsproto.events import BytesMessage, TextMessage

from stream_server.accounts.grants import Role
from stream_server.accounts.store import Store
from stream_server.cameras.probe import check_camera
from stream_server.config import CameraConfig, Config
from stream_server.engine import Engine
from stream_server.errors import SenderThere, SourceError, SourceWaiting
from stream_server.media.jpeg import picture_of
from stream_server.sources import open_source
from stream_server.sources.push import Inbox, PushSource
from stream_server.web.app import create_app
from stream_server.web.live.push import MAX_PICTURE_BYTES
from tests.support.leaks import wait_until
from tests.support.needs import need
from tests.support.patience import PATIENCE_S, soon
from tests.support.server import Answer, Server, settings
from tests.support.websockets import Client

if TYPE_CHECKING:
    from playwright.sync_api import Page

READ_TIMEOUT_S = 2
MAX_WEBSOCKETS = 2
CAMERAS = [f"phone{number}" for number in range(1, 46)]
DRAW = """
(path) => new Promise((resolve, reject) => {
  const canvas = document.createElement("canvas");
  canvas.width = 200; canvas.height = 100;
  const context = canvas.getContext("2d");
  const socket = new WebSocket(path);
  const send = () => canvas.toBlob((blob) => socket.send(blob), "image/jpeg", 0.9);
  context.fillStyle = "rgb(0, 0, 255)";
  context.fillRect(0, 0, 200, 100);
  socket.onopen = send;
  socket.onerror = reject;
  socket.onmessage = (event) => {
    const told = JSON.parse(event.data);
    if (told.pictures < 3) return send();
    socket.onclose = () => resolve(told);
    socket.close();
  };
})
"""


def jpeg_of(bgr: tuple[int, int, int] = (0, 0, 255), size_wh: tuple[int, int] = (64, 48)) -> bytes:
    image = np.full((size_wh[1], size_wh[0], 3), bgr, np.uint8)
    return cv2.imencode(".jpg", image)[1].tobytes()


RED, BLUE = jpeg_of((0, 0, 255)), jpeg_of((255, 0, 0))
HUGE = RED.replace(struct.pack(">HH", 48, 64), struct.pack(">HH", 65535, 65535), 1)
"""Says that it has 65535 x 65535 pixels."""


PUSHED = f"{{source: 'push:', read_timeout_s: {READ_TIMEOUT_S}, detect: {{enabled: false}}}}"
"""A camera that waits for pictures."""

pytestmark = pytest.mark.server(
    *settings(
        *(f"cameras.{name}={PUSHED}" for name in CAMERAS),
        "cameras.demo={source: 'demo:', width: 320, height: 180, fps: 5, detect: {enabled: false}}",
        f"server.max_websockets={MAX_WEBSOCKETS}",
        "server.embed_origins=['https://home.example']",
    )
)

_unused = iter(CAMERAS)


@pytest.fixture
def camera() -> str:
    """A camera to which nobody has sent yet."""
    return next(_unused)


def path_of(camera: str, query: str = "") -> str:
    return f"/api/v1/cameras/{camera}/push{query}"


def post(server: Server, camera: str, body: bytes, query: str = "", **headers: str) -> Answer:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    started = time.monotonic()
    try:
        connection.request("POST", path_of(camera, query), body, headers)
        answer = connection.getresponse()
        lower = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, lower, answer.read(), time.monotonic() - started)
    finally:
        connection.close()


def shown(server: Server, camera: str) -> bytes:
    answer = server.get(f"/cameras/{camera}/snapshot.jpg?overlay=none")
    return answer.body if answer.status == 200 else b""


def ws(server: Server, camera: str, query: str = "", **headers: str) -> Client:
    return Client.connect(server.port, headers, path=path_of(camera, query))


@contextmanager
def endless(server: Server, camera: str, content_type: str = "", query: str = "") -> Iterator[socket.socket]:
    """Yield a connection on which a body in chunks has begun; see `chunk`."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
        kind = f"Content-Type: {content_type}\r\n" if content_type else ""
        head = f"POST {path_of(camera, query)} HTTP/1.1\r\nHost: 127.0.0.1\r\n{kind}"
        sock.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        yield sock


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def status_of(sock: socket.socket) -> int:
    """Return the status of the answer, once it is there."""
    with sock.makefile("rb") as file:
        return int(file.readline().split()[1])


# One picture.


def test_camera_nobody_sends_to_says_so(server: Server, camera: str) -> None:
    info = server.wait_for_camera(lambda info: info["state"] != "connecting", 30, camera)
    assert (info["state"], info["reason"]) == ("waiting", "nobody sends pictures")


def test_camera_is_online_with_the_first_picture_and_waits_without_the_next(
    server: Server, camera: str
) -> None:
    assert post(server, camera, RED).json == {"camera": camera, "pictures": 1, "rejected": 0}
    info = server.wait_for_camera(lambda info: info["state"] == "online", 30, camera)
    assert (info["width"], info["height"]) == (64, 48)
    assert shown(server, camera) == RED
    info = server.wait_for_camera(lambda info: info["state"] != "online", READ_TIMEOUT_S + 10, camera)
    assert (info["state"], info["reason"]) == ("waiting", "nobody sends pictures")
    assert post(server, camera, BLUE).status == 200
    server.wait_for_camera(lambda info: info["state"] == "online", 30, camera)
    assert shown(server, camera) == BLUE


@pytest.mark.parametrize(
    "arguments",
    [
        ["--data-binary", "@-"],
        ["-H", "Content-Type: image/jpeg", "--data-binary", "@-"],
        ["-F", "image=@-"],
        ["-X", "POST", "-T", "-"],
    ],
)
def test_curl_sends_a_picture(server: Server, camera: str, arguments: list[str]) -> None:
    command = [need("curl"), "-sSf", *arguments, server.url + path_of(camera)]
    done = subprocess.run(command, input=RED, capture_output=True, timeout=10, check=False)
    assert done.returncode == 0, done.stderr
    assert b'"pictures":1' in done.stdout
    assert wait_until(lambda: shown(server, camera) == RED)


@pytest.mark.parametrize(
    ("body", "headers", "status", "word"),
    [
        (b"", {}, 400, "no JPEG"),
        (b"hello", {}, 400, "no JPEG"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), {"Content-Type": "image/png"}, 400, "no JPEG"),
        (RED[:30], {}, 400, "header"),
        (HUGE, {}, 400, "65535x65535"),
        (b"", {"Content-Type": "image/jpeg", "Content-Length": f"{MAX_PICTURE_BYTES + 1}"}, 413, "at most"),
        (RED, {"Origin": "https://elsewhere.example"}, 403, "another site"),
    ],
)  # fmt: skip
def test_what_is_no_picture_is_refused(
    server: Server, camera: str, body: bytes, headers: dict[str, str], status: int, word: str
) -> None:
    answer = post(server, camera, body, **headers)
    assert answer.status == status
    assert word in answer.json["detail"]


def test_camera_with_a_source_of_its_own_takes_nothing(server: Server) -> None:
    assert post(server, "demo", RED).status == 409
    assert post(server, "none", RED).status == 404
    assert server.get(path_of("demo")).status == 409
    assert server.get(path_of(CAMERAS[0])).status == 400
    with ws(server, "demo") as client:
        assert client.status == 409


# Endless bodies.


@pytest.mark.parametrize("form", ["mpjpeg", "mjpeg"])
def test_ffmpeg_is_a_camera(server: Server, camera: str, form: str) -> None:
    command = [
        need("ffmpeg"), "-loglevel", "error", "-re", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=10",
        "-c:v", "mjpeg", "-f", form, "-method", "POST", server.url + path_of(camera),
    ]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as ffmpeg:
        try:
            info = server.wait_for_camera(lambda info: info["fps"] > 8, 30, camera)
            assert (info["width"], info["height"]) == (320, 240)
            refused = post(server, camera, RED)
            assert (refused.status, "takeover" in refused.json["detail"]) == (409, True)
            assert post(server, camera, BLUE, "?takeover=1").status == 200
            assert wait_until(lambda: shown(server, camera) == BLUE)
            assert ffmpeg.wait(30) != 0
        finally:
            ffmpeg.kill()


@pytest.mark.parametrize("kind", ["multipart/x-mixed-replace; boundary=b", "video/x-motion-jpeg", ""])
def test_picture_is_shown_before_the_next_comes(server: Server, camera: str, kind: str) -> None:
    def part(jpeg: bytes) -> bytes:
        return b"--b\r\nContent-Type: image/jpeg\r\n\r\n%b\r\n" % jpeg if "multipart" in kind else jpeg

    with endless(server, camera, kind) as sock:
        for jpeg in (RED, BLUE, RED):
            sock.sendall(chunk(part(jpeg)))
            assert wait_until(lambda jpeg=jpeg: shown(server, camera) == jpeg)  # type: ignore[misc]
        sock.sendall(chunk(b""))
        assert status_of(sock) == 200


def test_more_than_a_request_may_have_comes_in_an_endless_one(server: Server, camera: str) -> None:
    large = jpeg_of(size_wh=(1600, 1200)) + bytes(3 << 20)
    with endless(server, camera) as sock:
        for _ in range(8):
            sock.sendall(chunk(large))
        sock.sendall(chunk(BLUE) + chunk(b""))
        assert status_of(sock) == 200
    assert wait_until(lambda: shown(server, camera) == BLUE)


@pytest.mark.parametrize("sent", [b"", chunk(b"x"), chunk(RED)])
def test_sender_that_stops_is_let_go(server: Server, camera: str, sent: bytes) -> None:
    with endless(server, camera) as sock:
        sock.sendall(sent)
        with soon():
            assert status_of(sock) == (200 if RED in sent else 400)
    assert post(server, camera, RED).status == 200


def test_sender_that_says_nothing_is_told_at_once_that_another_took_over(server: Server, camera: str) -> None:
    with endless(server, camera) as sock:
        sock.sendall(chunk(RED))
        assert wait_until(lambda: shown(server, camera) == RED)
        with soon():
            assert post(server, camera, BLUE, "?takeover=1").status == 200
            assert status_of(sock) == 409


def test_sender_of_many_small_pieces_without_a_picture_is_let_go(server: Server, camera: str) -> None:
    with endless(server, camera) as sock:
        sock.settimeout(0.1)
        until = time.monotonic() + PATIENCE_S
        answer = b""
        while not answer and time.monotonic() < until:
            sock.sendall(chunk(b"x"))
            with suppress(TimeoutError):
                answer = sock.recv(100)
        assert b" 400 " in answer


def test_sender_that_breaks_off_makes_room(server: Server, camera: str) -> None:
    with endless(server, camera) as sock:
        sock.sendall(chunk(RED) + b"ff\r\nhalf")
        assert wait_until(lambda: shown(server, camera) == RED)
        assert post(server, camera, BLUE).status == 409
    assert wait_until(lambda: post(server, camera, BLUE).status == 200)


@pytest.mark.parametrize(
    ("headers", "status"), [("", 411), ("Content-Length: 99999999999\r\nContent-Type: image/jpeg\r\n", 413)]
)
def test_body_without_a_bearable_length_is_refused_unread(
    server: Server, camera: str, headers: str, status: int
) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
        sock.sendall(f"POST {path_of(camera)} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n".encode())
        assert status_of(sock) == status


def test_senders_are_as_many_as_websockets_may_be(server: Server) -> None:
    first, second, third = (next(_unused) for _ in range(3))
    with endless(server, first) as one, endless(server, second) as two:
        for sock in (one, two):
            sock.sendall(chunk(RED))
        assert wait_until(lambda: shown(server, first) == RED and shown(server, second) == RED)
        with endless(server, third) as refused:
            assert status_of(refused) == 503
        assert post(server, third, RED).status == 200


# WebSockets.


def test_each_message_is_a_picture(server: Server, camera: str) -> None:
    with ws(server, camera) as client:
        for number, jpeg in enumerate((RED, BLUE, RED), 1):
            client.send(BytesMessage(jpeg))
            assert client.text() == {"pictures": number, "rejected": 0}
            assert wait_until(lambda jpeg=jpeg: shown(server, camera) == jpeg)  # type: ignore[misc]
        for number, rubbish in enumerate((b"", b"hello", HUGE), 1):
            client.send(BytesMessage(rubbish))
            assert client.text() == {"pictures": 3, "rejected": number}


@pytest.mark.parametrize(
    ("message", "code"),
    [(TextMessage("hello"), 1003), (BytesMessage(bytes(MAX_PICTURE_BYTES + 1)), 1009)],
)
def test_other_messages_end_the_talk(server: Server, camera: str, message: Any, code: int) -> None:
    with ws(server, camera) as client:
        client.send(message)
        assert client.wait_for_close()[0] == code


def test_one_sends_at_a_time_and_another_may_take_over(server: Server, camera: str) -> None:
    with ws(server, camera) as first:
        first.send(BytesMessage(RED))
        first.text()
        with ws(server, camera) as refused:
            assert refused.status == 409
        with ws(server, camera, "?takeover=1") as second:
            assert first.wait_for_close() == (1008, "another one took over, or the camera has ended")
            second.send(BytesMessage(BLUE))
            assert second.text() == {"pictures": 1, "rejected": 0}
    assert wait_until(lambda: post(server, camera, RED).status == 200)


@pytest.mark.parametrize("origin", ["https://home.example", "https://elsewhere.example"])
def test_pages_of_other_sites_may_not_send(server: Server, camera: str, origin: str) -> None:
    with ws(server, camera, Origin=origin) as client:
        assert client.status == 403


@pytest.mark.browser
def test_canvas_in_a_browser_is_a_camera(server: Server, camera: str, page: Page) -> None:
    page.goto(server.url)
    told = page.evaluate(DRAW, server.url.replace("http", "ws") + path_of(camera))
    assert told == {"pictures": 3, "rejected": 0}
    assert wait_until(lambda: bool(shown(server, camera)))
    image = cv2.imdecode(np.frombuffer(shown(server, camera), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape == (100, 200, 3)
    assert np.abs(image[50, 100].astype(int) - (255, 0, 0)).max() < 8


def test_end_of_the_server_ends_senders() -> None:
    phone = "cameras.phone1={source: 'push:', detect: {enabled: false}}"
    with Server(*settings(phone)) as server, endless(server, "phone1") as sock:
        sock.sendall(chunk(RED))
        server.wait_for_camera(lambda info: info["state"] == "online", 30, "phone1")
        assert server.stop(signal.SIGTERM)[0] == 0


@pytest.mark.parametrize(
    ("role", "cameras", "status"),
    [
        ("viewer", None, 403),
        ("viewer", {"one"}, 403),
        ("admin", None, 200),
        ("admin", {"one"}, 200),
        ("admin", {"two"}, 404),
    ],
)
def test_admins_of_the_camera_may_send(
    tmp_path: Path, role: Role, cameras: set[str] | None, status: int
) -> None:
    database = f"sqlite:///{tmp_path}/accounts.db"
    camera = {"source": "push:", "detect": {"enabled": False}}
    config = Config.load(None, cameras={"one": camera, "two": camera}, auth={"database": database})
    with closing(Store.open(database)) as store, Engine(config) as engine:
        token = store.add_token("phone", role, None if cameras is None else frozenset(cameras))
        engine.accounts.refresh()
        with create_app(engine).test_client() as client:
            headers = {"Authorization": f"Bearer {token}"}
            assert client.post(path_of("one"), data=RED, headers=headers).status_code == status
            assert client.post(path_of("one"), data=RED).status_code == 401


# The inbox.


def test_inbox_gives_the_newest_of_who_may_send() -> None:
    inbox = Inbox()
    assert inbox.take(0) is None
    ended: list[str] = []
    with inbox.admit(on_end=lambda: ended.append("first")) as first:
        first.send(picture_of(RED))
        first.send(picture_of(BLUE))
        with pytest.raises(SenderThere):
            inbox.admit()
        with inbox.admit(takeover=True) as second:
            assert (ended, first.has_ended) == (["first"], True)
            first.send(picture_of(RED))
            taken = inbox.take(0)
            assert taken is not None
            assert taken.jpeg == BLUE
            assert inbox.take(0) is None
            inbox.end()
            assert second.has_ended
    inbox.admit()


def test_source_waits_no_longer_than_it_is_told() -> None:
    config = CameraConfig(source="push:", read_timeout_s=1)
    source, inbox = open_source(config), Inbox()
    with pytest.raises(SourceWaiting, match="nobody sends"):
        source.open()
    source = PushSource(config, inbox)
    with inbox.admit() as sender:
        sender.send(picture_of(RED))
        source.open()
        assert source.size_wh == (64, 48)
        picture = source.read()
        assert picture is not None
        assert picture.jpeg == RED
        with pytest.raises(SourceError, match="no picture for 1 s"):
            source.read()
    with pytest.raises(SourceWaiting, match="nobody sends"):
        source.read()
    source.interrupt()
    with pytest.raises(SourceError, match="interrupted"):
        source.read()


def test_check_waits_for_no_sender() -> None:
    with soon():
        assert check_camera(CameraConfig(source="push:")).is_ok


@pytest.mark.parametrize("source", ["push:x", "push://camera", "push"])
def test_push_stands_alone(source: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="source"):
        CameraConfig(source=source)
