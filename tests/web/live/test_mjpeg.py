"""The stream as its clients read it."""

from __future__ import annotations

import logging
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse

import av
import cv2
import numpy as np
import pytest
from werkzeug.serving import make_server

from stream_server.config import Config
from stream_server.engine import Engine
from stream_server.web.app import create_app
from tests.support.cameras.http import HTTPCamera, numbered_jpeg
from tests.support.leaks import wait_until
from tests.support.needs import need
from tests.support.server import NO_DETECTOR, SMALL_DEMO, Server
from tests.support.viewers import BOUNDARY_LINE, StrictParser, Viewer

STREAM = "/cameras/demo/stream.mjpg"
SIZE_HW = (180, 320)


# By the letter: WSGI servers differ, the bytes must not.


def test_parts_have_the_canonical_framing(server: Server) -> None:
    with Viewer(server.port) as viewer:
        parts = viewer.read(5)
    for part in parts:
        assert [name for name, _ in part.headers] == ["Content-Type", "Content-Length", "X-Timestamp"]
        assert part["Content-Type"] == "image/jpeg"
        assert re.fullmatch(r"\d{10}\.\d{6}", part["X-Timestamp"])
    times = [float(part["X-Timestamp"]) for part in parts]
    assert times == sorted(times)
    assert times[-1] > times[0]


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_answer_is_sent_plain_until_the_connection_ends(server: Server, version: str) -> None:
    with Viewer(server.port, version=version) as viewer:
        viewer.read(1)
    assert viewer.status == 200
    assert viewer.headers["content-type"] == "multipart/x-mixed-replace;boundary=frame"
    assert viewer.headers["connection"] == "close"
    assert viewer.headers["cache-control"] == "no-store, no-cache, must-revalidate"
    assert viewer.headers["pragma"] == "no-cache"
    assert viewer.headers["x-accel-buffering"] == "no"
    assert not {"transfer-encoding", "content-length", "access-control-allow-origin"} & set(viewer.headers)


def test_first_end_of_image_in_a_part_is_its_end(server: Server) -> None:
    """Home Assistant cuts a still out of the stream at the first FFD9: no thumbnail may come before."""
    with Viewer(server.port) as viewer:
        (jpeg, *_) = [part.jpeg for part in viewer.read(1)]
    assert jpeg.find(b"\xff\xd9") == len(jpeg) - 2


def test_part_is_complete_before_there_is_a_next_picture() -> None:
    with (
        HTTPCamera() as camera,
        Server("--source", camera.url, *NO_DETECTOR) as server,
        Viewer(server.port, "/cameras/camera/stream.mjpg") as viewer,
    ):
        viewer.read(2)
        camera.freeze()
        viewer.sock.settimeout(0.7)
        with pytest.raises(TimeoutError):
            viewer.read_to_end()
        assert viewer.parser.is_at_boundary


def test_camera_pictures_are_sent_byte_for_byte_where_nothing_is_drawn() -> None:
    with HTTPCamera() as camera, Server("--source", camera.url, *NO_DETECTOR) as server:
        with Viewer(server.port, "/cameras/camera/stream.mjpg?overlay=none") as viewer:
            parts = viewer.read(8)
        sent = {numbered_jpeg(number) for number in range(256)}
        assert all(part.jpeg in sent for part in parts)
        assert len({part.jpeg for part in parts}) > 4
        snapshot = server.get("/cameras/camera/snapshot.jpg?overlay=none")
        assert snapshot.body in sent


def test_viewer_gets_no_more_frames_than_it_asked_for(server: Server) -> None:
    with Viewer(server.port, f"{STREAM}?fps=4") as viewer:
        viewer.read(7)
    times = sorted({float(part["X-Timestamp"]) for part in viewer.parts})
    assert np.mean(np.diff(times)) > 0.25 - 0.06


def test_head_answers_at_once_and_opens_no_camera() -> None:
    with HTTPCamera() as camera:
        on_demand = ("--set", f"cameras.porch.source={camera.url}", "--set", "cameras.porch.on_demand=true")
        with Server(*SMALL_DEMO, *on_demand, *NO_DETECTOR) as server:
            for path, kind in (
                ("/cameras/porch/stream.mjpg", "multipart/x-mixed-replace;boundary=frame"),
                ("/cameras/porch/snapshot.jpg", "image/jpeg"),
            ):
                answer = server.get(path, method="HEAD")
                assert answer.status == 200
                assert answer.headers["content-type"] == kind
                assert "content-length" not in answer.headers
            assert camera.connections == 0
            assert server.camera("porch")["state"] == "idle"
            with Viewer(server.port, "/cameras/porch/stream.mjpg") as viewer:
                viewer.read(3)
            assert camera.connections == 1


# The clients themselves.


def test_ffmpeg_reads_the_stream(server: Server) -> None:
    done = subprocess.run(
        [
            need("ffmpeg"),
            "-v",
            "warning",
            "-i",
            server.url + STREAM,
            "-frames:v",
            "20",
            "-f",
            "framemd5",
            "-",
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    frames = [line for line in done.stdout.splitlines() if not line.startswith("#")]
    assert done.returncode == 0
    assert len(frames) == 20
    assert "320x180" in done.stdout
    complaints = [line for line in done.stderr.splitlines() if "deprecated pixel format" not in line]
    assert complaints == []


def test_opencv_reads_the_stream(server: Server) -> None:
    capture = cv2.VideoCapture(server.url + STREAM)
    try:
        for _ in range(5):
            has_frame, image = capture.read()
            assert has_frame
            assert image.shape == (*SIZE_HW, 3)
    finally:
        capture.release()


def test_pyav_reads_the_stream(server: Server) -> None:
    with av.open(server.url + STREAM, timeout=10) as container:
        frames = [frame for _, frame in zip(range(5), container.decode(video=0), strict=False)]
    assert [(frame.height, frame.width) for frame in frames] == [SIZE_HW] * 5


def test_curl_reads_the_stream(server: Server) -> None:
    done = subprocess.run(
        [need("curl"), "-sN", "--max-time", "1.5", server.url + STREAM],
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 28  # its own time limit
    assert done.stdout.startswith(BOUNDARY_LINE)
    assert len(StrictParser().feed(done.stdout)) >= 5


# Other servers.


def test_stream_is_the_same_under_another_wsgi_server(caplog: pytest.LogCaptureFixture) -> None:
    config = Config.load(
        None,
        cameras={"demo": {"source": "demo:", "width": 320, "height": 180, "fps": 10}},
        detector={"workers": 0},
    )
    caplog.set_level(logging.WARNING)
    with Engine(config) as engine:
        http_server = make_server("127.0.0.1", 0, create_app(engine), threaded=True)
        thread = threading.Thread(target=http_server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            with _unchunked(http_server.server_port) as answer:
                _read_parts(answer, 4)
                assert engine.viewers == 1
            assert wait_until(lambda: engine.viewers == 0)
            with _unchunked(http_server.server_port) as answer:
                parser = _read_parts(answer, 1)
                engine.close()
                while data := answer.read1():
                    parser.feed(data)
                assert parser.is_at_boundary
        finally:
            http_server.shutdown()
            thread.join(30)
            http_server.server_close()
    assert not caplog.records


@contextmanager
def _unchunked(port: int) -> Iterator[HTTPResponse]:
    """Ask for the stream; give the answer, whose chunks, which Werkzeug cannot do without, are taken off."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", STREAM)
    with connection.getresponse() as answer:
        yield answer
    connection.close()


def _read_parts(answer: HTTPResponse, count: int) -> StrictParser:
    parser, parts = StrictParser(), 0
    while parts < count:
        data = answer.read1()
        assert data, "the stream ended"
        parts += len(parser.feed(data))
    return parser
