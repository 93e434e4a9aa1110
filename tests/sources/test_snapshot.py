"""Cameras that show one picture at a time, on web servers that fail now and then."""

from __future__ import annotations

import gzip
import itertools
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import cv2
import numpy as np
import pytest

from stream_server.cameras.camera import Camera
from stream_server.config import CameraConfig
from stream_server.errors import AuthenticationFailed, SourceError
from stream_server.sources import open_source
from stream_server.sources.http import HttpSource
from tests.sources.test_hls import record
from tests.sources.test_http import new_pictures, opened, refusal
from tests.support.cameras.http import numbered_jpeg
from tests.support.leaks import wait_until
from tests.support.webserver import KeptOpen, WebServer

JPEG = {"Content-Type": "image/jpeg"}


class Failing:
    """Answers the requests in turn as `script` says, the last entry for ever; pictures are numbered."""

    def __init__(self, script: Sequence[str]) -> None:
        self.script = list(script)
        self.asked = 0

    def next(self) -> tuple[str, int]:
        self.asked += 1
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        return step, self.asked


@contextmanager
def failing(*script: str) -> Iterator[tuple[str, Failing]]:
    camera = Failing(script)

    class Handler(KeptOpen):
        def do_GET(self) -> None:
            step, number = camera.next()
            match step:
                case "ok":
                    self.answer(200, numbered_jpeg(number), JPEG)
                case "chunked":
                    self.answer(200, numbered_jpeg(number), JPEG, chunk_bytes=100)
                case "empty":
                    self.answer(200, b"", JPEG)
                case "page":
                    self.answer(200, b"<html>busy</html>", {"Content-Type": "text/html"})
                case "short":
                    self.answer(200, numbered_jpeg(number)[:100], {**JPEG, "Content-Length": "5000"})
                    self.close_connection = True
                case "closed":
                    self.close_connection = True
                case "reset":
                    reset(self)
                case "mute":
                    self.close_connection = True
                    self.rfile.read(1)
                case status:
                    self.answer(int(status), b"no")

    with WebServer(Handler) as server:
        yield f"{server.url}/image.jpg", camera


def reset(handler: BaseHTTPRequestHandler) -> None:
    """End the connection with RST, as a web server does that has crashed."""
    handler.close_connection = True
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(handler.connection.detach())


def numbers(source: HttpSource, count: int) -> list[bytes | None]:
    return [picture.jpeg for picture in new_pictures(source, count)]


@pytest.mark.parametrize("failure", ["503", "404", "429", "empty", "page", "short", "closed", "reset"])
def test_single_failures_are_counted_and_polling_goes_on(failure: str) -> None:
    script = ("ok", "ok", failure, "chunked", failure, failure, "ok")
    with failing(*script) as (url, _), opened(url, fps=120) as source:
        assert len(set(numbers(source, 5))) == 5
        # What a kept connection loses is asked for once more, unseen.
        assert source.decode_errors == (1 if failure in ("closed", "reset") else 3)


@contextmanager
def polled(*script: str) -> Iterator[Failing]:
    """A camera with all that tries it again, asked 30 times a second."""
    with failing(*script) as (url, server):
        config = CameraConfig.model_validate({"source": url, "fps": 30})
        with closing(Camera("front", config, open_source)) as camera:
            camera.start()
            yield server


@pytest.mark.parametrize("one_in", [4, 15])
def test_single_failures_slow_polling_no_more_than_none_do(one_in: int) -> None:
    with ExitStack() as stack:
        faultless = stack.enter_context(polled("ok"))
        good = ["ok"] * (one_in - 1)
        rude = {
            fault: stack.enter_context(polled(*[*good, fault] * 100))
            for fault in ("503", "empty", "short", "closed", "reset")
        }
        assert wait_until(lambda: faultless.asked >= 60)
        asked = {fault: server.asked for fault, server in rude.items()}
    assert min(asked.values()) > 0.6 * 60, asked


def test_three_failures_in_a_row_are_a_lost_camera() -> None:
    with failing("ok", "503") as (url, _), opened(url, fps=120) as source:
        with pytest.raises(SourceError, match="the camera answers 503"):
            new_pictures(source, 2)
        assert source.decode_errors == 3


def test_a_camera_that_falls_silent_is_lost_after_the_read_timeout() -> None:
    with failing("ok", "mute") as (url, camera), opened(url, fps=120, read_timeout_s=1) as source:
        with pytest.raises(SourceError, match="no picture for 1 s"):
            new_pictures(source, 2)
        assert camera.asked == 2


@pytest.mark.parametrize("status", ["401", "403"])
def test_a_refused_login_ends_polling_at_once(status: str) -> None:
    with failing("ok", status) as (url, camera), opened(url, fps=120) as source:
        with pytest.raises(AuthenticationFailed):
            new_pictures(source, 2)
        assert camera.asked == 2


def test_a_failure_at_opening_is_a_lost_camera() -> None:
    for failure in ("503", "empty"):
        with failing(failure) as (url, _):
            refusal(url)


# What a picture is called.


def picture_bytes(kind: str, number: int) -> bytes:
    image = cv2.imdecode(np.frombuffer(numbered_jpeg(number), np.uint8), cv2.IMREAD_COLOR)
    return cv2.imencode(kind, image)[1].tobytes()


@contextmanager
def sending(
    content_type: str | None, kind: str = ".jpg", *, start: bytes = b"", end: bytes = b"", told: bool = True
) -> Iterator[str]:
    """Yield the address of a camera that sends one picture an answer, another one each time."""
    asked = itertools.count()

    class Handler(KeptOpen):
        def do_GET(self) -> None:
            body = start + picture_bytes(kind, next(asked)) + end
            self.send_response(200)
            if content_type is not None:
                self.send_header("Content-Type", content_type)
            if told:
                self.send_header("Content-Length", str(len(body)))
            else:
                self.send_header("Connection", "close")
                self.close_connection = True
            self.end_headers()
            self.wfile.write(body)

    with WebServer(Handler) as server:
        yield f"{server.url}/picture"


PART = b"--frame\r\nContent-Type: image/jpeg\r\n\r\n"


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize(
    ("content_type", "start", "end"),
    [
        ("image/jpeg", b"", b""),
        ("image/png", b"", b""),
        ("text/plain", b"", b""),
        ("text/html; charset=utf-8", b"", b""),
        ("binary/octet-stream", b"", b""),
        (None, b"", b""),
        ("image/jpeg", b"\r\n\r\n \n", b"\r\n"),
        ("multipart/x-mixed-replace; boundary=frame", b"", b""),
        ("multipart/x-mixed-replace; boundary=frame", PART, b"\r\n--frame--\r\n"),
        ("multipart/x-mixed-replace; boundary=--frame", PART, b"\r\n"),
    ],
)
def test_single_pictures_are_polled_whatever_they_are_called(
    content_type: str | None, start: bytes, end: bytes, told: bool
) -> None:
    with sending(content_type, start=start, end=end, told=told) as url, opened(url, fps=50) as source:
        shown = new_pictures(source, 3)
    assert len({bytes(picture.image[0, 0]) for picture in shown}) == 3


@pytest.mark.parametrize("kind", [".png", ".webp"])
@pytest.mark.parametrize("content_type", ["image/jpeg", "image/png", "application/octet-stream"])
def test_other_pictures_than_jpegs_can_be_polled(kind: str, content_type: str) -> None:
    with sending(content_type, kind) as url, opened(url, fps=50) as source:
        shown = new_pictures(source, 2)
    assert [picture.jpeg for picture in shown] == [None, None]
    assert [picture.size_wh for picture in shown] == [(64, 48)] * 2
    expected = cv2.imdecode(np.frombuffer(picture_bytes(kind, 1), np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(shown[1].image, expected)


def test_a_packed_picture_is_unpacked() -> None:
    class Handler(KeptOpen):
        def do_GET(self) -> None:
            self.answer(200, gzip.compress(numbered_jpeg(7)), {**JPEG, "Content-Encoding": "gzip"})

    with WebServer(Handler) as server, opened(f"{server.url}/a", fps=50) as source:
        assert numbers(source, 1) == [numbered_jpeg(7)]


def test_a_playlist_is_played_whatever_its_address(tmp_path: Path) -> None:
    files = record(tmp_path, "mpegts")

    class Handler(KeptOpen):
        def do_GET(self) -> None:
            name = "/live.m3u8" if self.path.startswith("/watch") else self.path
            self.answer(200 if name in files else 404, files.get(name, b""), {"Content-Type": "text/plain"})

    with WebServer(Handler) as server, opened(f"{server.url}/watch?id=1") as source:
        assert source.description == "H.264 over HLS"
        assert new_pictures(source, 2)[1].size_wh == (64, 48)


@pytest.mark.parametrize("failure", [503, 404])
def test_single_failures_between_one_part_streams_are_borne(failure: int) -> None:
    asked = itertools.count(1)

    class Handler(KeptOpen):
        def do_GET(self) -> None:
            number = next(asked)
            if number in (4, 7):
                self.answer(failure, b"busy")
                return
            body = PART + numbered_jpeg(number) + b"\r\n--frame--\r\n"
            self.answer(200, body, {"Content-Type": "multipart/x-mixed-replace;boundary=frame"}, 1000)

    with WebServer(Handler) as server, opened(f"{server.url}/a", fps=100) as source:
        assert len(set(numbers(source, 7))) == 7
        assert source.decode_errors == 2
