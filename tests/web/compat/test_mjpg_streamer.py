"""The addresses of other servers, as the clients that were set up for those read them."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse

import av
import cv2
import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient

from stream_server.config import Config
from stream_server.engine import Engine
from stream_server.streaming.streams import Variant
from stream_server.web.app import create_app
from stream_server.web.compat.frigate import FrigateQuery
from stream_server.web.compat.queries import clamped
from stream_server.web.live.mjpeg import StreamQuery
from tests.support.cameras.http import HTTPCamera
from tests.support.leaks import wait_until
from tests.support.needs import need
from tests.support.server import NO_DETECTOR, Server
from tests.support.viewers import StrictParser, Viewer

SIZE_HW = (180, 320)
OTHER_BOUNDARY = b"--boundarydonotcross\r\n"

CHROME_IMG = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
FIREFOX_IMG = "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"
SAFARI_IMG = "image/webp,image/avif,image/jxl,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"
CHROME_PAGE = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"
)

STREAMS = [
    "/video_feed",
    "/?action=stream",
    "/stream",
    "/stream?extra_headers=1",
    "/stream?advance_headers=1",
    "/api/demo?fps=10&bbox=1",
    "/cameras/demo/stream.mjpg?extra_headers=1",
]
"""One of each framing and of each route."""
WITH_LENGTHS = [path for path in STREAMS if "advance" not in path]
SNAPSHOTS = ["/?action=snapshot", "/snapshot", "/api/demo/latest.jpg", "/cameras/demo/snapshot.jpg"]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """Two cameras: the first one small, the second one lost; a third has the API's name."""
    with HTTPCamera() as gone:
        address = gone.url
    config = Config.load(
        None,
        cameras={
            "demo": {"source": "demo:", "width": 640, "height": 360, "fps": 10},
            "lost": {"source": address},
            "v1": {"source": address},
        },
        detector={"workers": 0},
    )
    with Engine(config) as engine:
        assert wait_until(lambda: engine.pipelines["demo"].camera.is_online)
        assert wait_until(lambda: engine.pipelines["lost"].camera.state == "offline")
        yield engine


@pytest.fixture
def client(engine: Engine) -> Iterator[FlaskClient]:
    with create_app(engine).test_client() as client:
        yield client


def image_of(data: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return np.asarray(image)


# The clients themselves.


def read_by_ffmpeg(url: str) -> list[tuple[int, int]]:
    command = [need("ffmpeg"), "-v", "error", "-i", url, "-frames:v", "4", "-f", "framemd5", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    width, height = re.findall(r"#dimensions 0: (\d+)x(\d+)", done.stdout)[0]
    frames = [line for line in done.stdout.splitlines() if not line.startswith("#")]
    return [(int(height), int(width))] * len(frames)


def read_by_opencv(url: str) -> list[tuple[int, int]]:
    capture = cv2.VideoCapture(url)
    try:
        return [capture.read()[1].shape[:2] for _ in range(4)]
    finally:
        capture.release()


def read_by_pyav(url: str) -> list[tuple[int, int]]:
    with av.open(url, timeout=10) as container:
        frames = [frame for _, frame in zip(range(4), container.decode(video=0), strict=False)]
    return [(frame.height, frame.width) for frame in frames]


def read_by_gstreamer(url: str) -> list[tuple[int, int]]:
    """Decode four pictures with `multipartdemux`, and look at how many bytes of grey come out."""
    caps = f"video/x-raw,format=GRAY8,width={SIZE_HW[1]},height={SIZE_HW[0]}"
    pipeline = (
        f"souphttpsrc location={url} ! multipartdemux ! image/jpeg ! jpegdec ! videoconvert ! {caps} "
        "! identity eos-after=5 ! fdsink fd=1"
    )
    command = [need("gst-launch-1.0"), "-q", *pipeline.split()]
    done = subprocess.run(command, capture_output=True, timeout=30, check=True)
    return [SIZE_HW] * (len(done.stdout) // (SIZE_HW[0] * SIZE_HW[1]))


def read_by_curl(url: str) -> list[tuple[int, int]]:
    command = [need("curl"), "-sN", "--max-time", "1", url]
    done = subprocess.run(command, capture_output=True, timeout=30, check=False)
    assert done.returncode == 28  # its own time limit
    jpegs = re.findall(rb"\xff\xd8.+?\xff\xd9(?=\r\n--)", done.stdout, re.DOTALL)
    return [image_of(jpeg).shape[:2] for jpeg in jpegs[:4]]


@pytest.mark.parametrize("path", STREAMS)
@pytest.mark.parametrize(
    "read", [read_by_ffmpeg, read_by_opencv, read_by_pyav, read_by_gstreamer, read_by_curl]
)
def test_clients_read_the_stream(
    server: Server, read: Callable[[str], list[tuple[int, int]]], path: str
) -> None:
    assert read(server.url + path) == [SIZE_HW] * 4


# Clients by their rules, as their sources have them.


def ask(server: Server, path: str) -> tuple[HTTPConnection, HTTPResponse]:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", path)
    return connection, connection.getresponse()


@pytest.mark.parametrize("path", STREAMS)
def test_home_assistant_cuts_a_picture_out_of_the_stream(server: Server, path: str) -> None:
    """Without a still URL it reads up to the first FFD9 and takes what begins at the first FFD8."""
    connection, answer = ask(server, path)
    data = b""
    with answer:
        while (end := data.find(b"\xff\xd9")) < 0:
            data += answer.read1(1024)
    connection.close()
    begin = data.find(b"\xff\xd8")
    assert 0 <= begin < end
    assert image_of(data[begin : end + 2]).shape == (*SIZE_HW, 3)


@pytest.mark.parametrize("path", WITH_LENGTHS)
def test_motioneye_reads_the_stream(server: Server, path: str) -> None:
    """It waits for the literal `Content-Length:`, reads a number, an empty line, and so many bytes."""
    connection, answer = ask(server, path)
    with answer:
        for _ in range(3):
            while b"Content-Length:" not in (line := answer.readline()):
                assert line, "the stream ended"
            length = int(re.findall(rb"\d+", line)[0])
            while answer.readline() != b"\r\n":
                pass
            assert image_of(answer.read(length)).shape == (*SIZE_HW, 3)
    connection.close()


@pytest.mark.parametrize("path", ["/?action=stream", "/stream", "/api/demo", "/video_feed"])
def test_octoprint_shows_the_stream_with_the_time_appended(server: Server, path: str) -> None:
    """It is an `<img>`, whose address gets `?` or `&` and milliseconds so that no cache answers."""
    path += ("&" if "?" in path else "?") + "1700000000123"
    connection, answer = ask(server, path)
    with answer:
        assert answer.status == 200
        assert answer.headers.get_content_type() == "multipart/x-mixed-replace"
        assert answer.read1(2)
    connection.close()


@pytest.mark.parametrize("path", SNAPSHOTS)
def test_octoprint_and_home_assistant_get_a_still_in_time(server: Server, path: str) -> None:
    for _ in range(2):
        answer = server.get(path + ("&" if "?" in path else "?") + "1700000000123")
        assert (answer.status, answer.headers["content-type"]) == (200, "image/jpeg")
        assert int(answer.headers["content-length"]) == len(answer.body)
        assert image_of(answer.body).shape == (*SIZE_HW, 3)


# Requests.


ALL = [*STREAMS, *SNAPSHOTS, "/state"]


@pytest.mark.parametrize("path", ALL)
def test_options_names_the_methods(server: Server, path: str) -> None:
    answer = server.get(path, method="OPTIONS")
    assert answer.status == 200
    assert {"GET", "HEAD", "OPTIONS"} <= set(answer.headers["allow"].split(", "))
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("path", ["/?action=stream", "/stream"])
def test_framing_is_mjpg_streamers_to_the_byte(server: Server, path: str, version: str) -> None:
    with Viewer(server.port, path, version=version) as viewer:
        viewer.parser = StrictParser(OTHER_BOUNDARY)
        parts = viewer.read(3)
    assert viewer.headers["content-type"] == "multipart/x-mixed-replace;boundary=boundarydonotcross"
    assert viewer.headers["connection"] == "close"
    for part in parts:
        assert [name for name, _ in part.headers] == ["Content-Type", "Content-Length", "X-Timestamp"]
        assert re.fullmatch(r"\d{10}\.\d{6}", part["X-Timestamp"])


def test_head_answers_at_once_and_opens_no_camera() -> None:
    with HTTPCamera() as camera:
        arguments = (
            "--set",
            f"cameras.porch.source={camera.url}",
            "--set",
            "cameras.porch.on_demand=true",
        )
        with Server(*arguments, *NO_DETECTOR) as server:
            for path in (*STREAMS, *SNAPSHOTS, "/api/demo/latest.png"):
                answer = server.get(path.replace("demo", "porch"), method="HEAD")
                kind = "image/" if "snapshot" in path or "latest" in path else "multipart/x-mixed-replace;"
                assert answer.status == 200
                assert answer.headers["content-type"].startswith(kind)
            assert server.get("/state").json["result"]["source"]["online"] is False
            assert camera.connections == 0


def test_half_requests_hold_up_the_others_for_seconds_only(server: Server) -> None:
    with ExitStack() as stack:
        for _ in range(40):  # more than there are threads
            half = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            half.sendall(b"GET /stream HTTP/1.1\r\nHost")
        assert server.get("/healthz", timeout_s=30).status == 200


def test_clients_that_stay_after_the_last_answer_hold_up_nobody(server: Server) -> None:
    with ExitStack() as stack:
        for _ in range(5):
            stays = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            stays.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            while stays.recv(1 << 16):
                pass
        assert server.get("/healthz").status == 200


def test_rubbish_after_the_request_means_nothing(server: Server) -> None:
    with Viewer(server.port, "/?action=stream") as viewer:
        viewer.parser = StrictParser(OTHER_BOUNDARY)
        viewer.sock.sendall(b"GET / HTTP/1.1\r\n\r\n" * 1000 + bytes(range(256)))
        viewer.read(4)


# Wrong values.


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, {}),
        ({"width": "320", "1700000000": ""}, {"width": 320}),
        ({"width": "-1"}, {"width": 16}),
        ({"width": "1000000"}, {"width": 7680}),
        ({"width": "abc"}, {}),
        ({"width": ""}, {}),
        ({"quality": "0", "fps": "1e9"}, {"quality": 1, "fps": 120.0}),
        ({"fps": "0"}, {}),
        ({"fps": "nan"}, {"fps": 120.0}),
        ({"fps": "inf"}, {"fps": 120.0}),
        ({"overlay": "nice", "labels": "maybe", "quality": "50"}, {"quality": 50}),
    ],
)
def test_wrong_values_are_clamped_or_left_out(arguments: dict[str, str], expected: dict[str, object]) -> None:
    assert clamped(StreamQuery, arguments).model_dump(exclude_defaults=True) == expected


@pytest.mark.parametrize("path", ["/video_feed", "/?action=stream", "/stream", "/api/demo"])
def test_wrong_values_do_not_cost_the_stream(client: FlaskClient, path: str) -> None:
    query = ("&" if "?" in path else "?") + "fps=0&width=-1&h=x&height=0&quality=abc&advance_headers=%ff&key="
    with client.get(path + query) as stream:
        assert stream.status_code == 200
        assert next(stream.iter_encoded()).startswith(b"--")


# mjpg-streamer.


@pytest.mark.parametrize(
    ("action", "is_stream"),
    [("stream", True), ("stream_0", True), ("stream?17", True), ("stream_x", True), ("snapshot_0", False)],
)
def test_mjpg_streamers_camera_is_counted_from_0(client: FlaskClient, action: str, is_stream: bool) -> None:
    with client.get(f"/?action={action}") as answer:
        assert answer.status_code == 200
        assert (answer.mimetype == "multipart/x-mixed-replace") is is_stream


def test_mjpg_streamers_snapshot_is_of_the_camera_asked_for(client: FlaskClient) -> None:
    shown = client.get("/?action=snapshot_0&width=320")
    assert (shown.status_code, image_of(shown.data).shape) == (200, (180, 320, 3))
    assert float(shown.headers["X-Timestamp"]) == pytest.approx(time.time(), abs=5)
    assert client.get("/?action=snapshot_1").status_code == 503  # OctoPrint's timelapse leaves it out


def test_number_of_no_camera_is_told(client: FlaskClient) -> None:
    answer = client.get("/?action=stream_7")
    assert answer.status_code == 404
    assert answer.json["detail"] == "there is no camera number 7; there are 3, counted from 0"


@pytest.mark.parametrize("query", ["", "?action=", "?action=file", "?stream", "?1700000000"])
def test_first_page_is_shown_to_all_others(client: FlaskClient, query: str) -> None:
    assert "<title>Cameras" in client.get(f"/{query}").text


# uStreamer.


def test_state_is_ustreamers(client: FlaskClient) -> None:
    assert client.get("/state").json == {
        "ok": True,
        "result": {
            "instance_id": "",
            "encoder": {"type": "CPU", "quality": 80},
            "source": {
                "resolution": {"width": 640, "height": 360},
                "online": True,
                "desired_fps": 10,
                "captured_fps": pytest.approx(10, abs=5),
            },
            "stream": {"queued_fps": 0, "clients": 0, "clients_stat": {}, "overload": 0},
        },
    }


def test_client_finds_itself_in_the_state_by_its_cookie(server: Server) -> None:
    with Viewer(server.port, "/stream?key=a%20b&dual_final_frames=1") as viewer:
        viewer.parser = StrictParser(OTHER_BOUNDARY)
        viewer.read(1)
        cookie = re.fullmatch(
            r"stream_client=a%20b/([0-9a-f]+); Max-Age=30; Path=/; SameSite=Lax",
            re.sub(r"Expires=[^;]+; ", "", viewer.headers["set-cookie"]),
        )
        assert cookie
        began = time.monotonic()
        while time.monotonic() - began < 2.1:  # a whole second has passed for sure
            viewer.read_some()
        state = server.get("/state").json["result"]["stream"]
    assert state["clients"] == 1
    assert state["queued_fps"] == pytest.approx(10, abs=5)
    assert state["clients_stat"] == {
        cookie[1]: {
            "fps": pytest.approx(10, abs=5),
            "extra_headers": False,
            "advance_headers": False,
            "dual_final_frames": True,
            "zero_data": False,
            "key": "a%20b",
        }
    }
    assert wait_until(lambda: server.get("/state").json["result"]["stream"]["clients"] == 0)


def test_headers_ahead_follow_each_picture_in_the_same_write(server: Server) -> None:
    head = rb"Content-Type: image/jpeg\r\nX-Timestamp: \d{10}\.\d{6}\r\n\r\n"
    connection, answer = ask(server, "/stream?advance_headers=1&extra_headers=1")
    data = b""
    with answer:
        while data.count(OTHER_BOUNDARY) < 4:
            data += answer.read1()
    connection.close()
    part = rb"\xff\xd8(?:(?!--boundary).)+\xff\xd9\r\n" + OTHER_BOUNDARY + head
    assert re.match(OTHER_BOUNDARY + head + rb"(?:" + part + rb"){2}", data, re.DOTALL)


def test_parts_come_empty_to_who_asks_for_no_data(server: Server) -> None:
    connection, answer = ask(server, "/stream?zero_data=yes")
    with answer:
        data = answer.read(3 * 120)
    connection.close()
    assert b"Content-Length: 0\r\n" in data
    assert b"\xff\xd8" not in data
    assert data.count(OTHER_BOUNDARY) >= 2


def test_parts_and_snapshots_say_what_ustreamers_say(server: Server) -> None:
    with Viewer(server.port, "/stream?extra_headers=true") as viewer:
        viewer.parser = StrictParser(OTHER_BOUNDARY)
        part = dict(viewer.read(2)[-1].headers)
    still = server.get("/snapshot").headers
    for said in ({name.lower(): value for name, value in part.items()}, still):
        assert said["x-ustreamer-online"] == "true"
        assert (said["x-ustreamer-width"], said["x-ustreamer-height"]) == ("320", "180")
        times = [float(said[f"x-ustreamer-{stage}-time"]) for stage in ("grab", "encode-end", "send")]
        assert times == sorted(times)
        assert float(said["x-ustreamer-latency"]) == pytest.approx(times[-1] - times[0], abs=2e-6)


def test_snapshot_of_a_lost_camera_is_a_picture_that_says_so() -> None:
    config = Config.load(None, cameras={"lost": {"source": "/nowhere.mp4"}}, detector={"workers": 0})
    with Engine(config) as engine, create_app(engine).test_client() as client:
        assert wait_until(lambda: engine.pipelines["lost"].camera.state == "offline")
        answer = client.get("/snapshot")
        assert answer.status_code == 200
        assert answer.headers["X-UStreamer-Online"] == "false"
        assert image_of(answer.data).std() > 5
        assert client.get("/state").json["result"]["source"]["online"] is False


# Our own stream.


def test_stages_are_in_the_part_headers_on_request(server: Server) -> None:
    with Viewer(server.port, "/cameras/demo/stream.mjpg?extra_headers=1") as viewer:
        parts = viewer.read(4)
    for part in parts:
        captured, encoded, sent = (float(part[f"X-{stage}-At"]) for stage in ("Captured", "Encoded", "Sent"))
        assert float(part["X-Timestamp"]) == pytest.approx(captured, abs=0.001)
        assert captured <= encoded <= sent <= time.time()
    sequences = [int(part["X-Sequence"]) for part in parts]
    assert sequences == sorted(sequences)


# Frigate.


@dataclass
class Format:
    """What a picture file begins with."""

    content_type: str
    magic: bytes


FORMATS = {
    "jpg": Format("image/jpeg", b"\xff\xd8\xff"),
    "jpeg": Format("image/jpeg", b"\xff\xd8\xff"),
    "png": Format("image/png", b"\x89PNG\r\n\x1a\n"),
    "webp": Format("image/webp", b"RIFF"),
}


@pytest.mark.parametrize("extension", FORMATS)
@pytest.mark.parametrize(
    ("query", "size_hw"),
    [
        ("", (360, 640)),
        ("?h=180", (180, 320)),
        ("?height=101", (101, 180)),
        ("?h=50&height=277", (277, 492)),
        ("?h=5000", (360, 640)),
        ("?h=0", (16, 28)),
    ],
)
def test_frigates_picture_has_the_format_and_the_height_asked_for(
    client: FlaskClient, extension: str, query: str, size_hw: tuple[int, int]
) -> None:
    answer = client.get(f"/api/demo/latest.{extension}{query}")
    assert answer.status_code == 200
    assert answer.content_type == FORMATS[extension].content_type
    assert answer.data.startswith(FORMATS[extension].magic)
    assert image_of(answer.data).shape == (*size_hw, 3)
    assert "X-Frigate-Offline" not in answer.headers


@pytest.mark.parametrize("extension", ["jpg", "webp"])
def test_frigates_quality_counts(client: FlaskClient, extension: str) -> None:
    low, high = (len(client.get(f"/api/demo/latest.{extension}?quality={q}&h=277").data) for q in (10, 95))
    assert low < high / 2


@pytest.mark.parametrize("extension", FORMATS)
def test_frigates_picture_of_a_lost_camera_says_so(client: FlaskClient, extension: str) -> None:
    answer = client.get(f"/api/lost/latest.{extension}")
    assert answer.status_code == 200
    assert answer.headers["X-Frigate-Offline"] == "true"
    assert answer.data.startswith(FORMATS[extension].magic)
    assert image_of(answer.data).std() > 5


@pytest.mark.parametrize(
    ("arguments", "variant"),
    [
        ({}, Variant("none", 640, None, boxes=False, caption=False)),
        ({"bbox": "1"}, Variant("live", 640, None, caption=False)),
        ({"timestamp": "1"}, Variant("live", 640, None, boxes=False)),
        ({"bbox": "1", "timestamp": "1", "quality": "30"}, Variant("live", 640, 30)),
    ],
)
def test_frigates_options_draw_what_they_say(arguments: dict[str, str], variant: Variant) -> None:
    assert clamped(FrigateQuery, arguments).variant(640) == variant


@pytest.mark.parametrize(("query", "size_hw"), [("", (360, 640)), ("?h=180", (180, 320))])
def test_frigates_stream_has_its_height(client: FlaskClient, query: str, size_hw: tuple[int, int]) -> None:
    with client.get(f"/api/demo{query}") as stream:
        (part, *_) = StrictParser().feed(next(stream.iter_encoded()))
    assert image_of(part.jpeg).shape == (*size_hw, 3)


def test_camera_does_not_hide_the_api(client: FlaskClient, engine: Engine) -> None:
    assert "v1" in engine.pipelines
    assert client.get("/api/v1").status_code == 404
    assert client.get("/api/v1/latest.jpg").status_code == 404
    assert len(client.get("/api/v1/cameras").json["cameras"]) == 3
    assert client.get("/cameras/v1/snapshot.jpg").status_code == 503


# No such camera.


MISSING = ["/?action=stream_9", "/?action=snapshot_9", "/api/nobody", "/api/nobody/latest.png"]
OURS = ["/cameras/nobody/stream.mjpg", "/cameras/nobody/snapshot.jpg"]


@pytest.mark.parametrize("accept", [CHROME_IMG, FIREFOX_IMG, SAFARI_IMG], ids=["Chrome", "Firefox", "Safari"])
@pytest.mark.parametrize("path", [*MISSING, *OURS])
def test_unknown_camera_is_a_picture_for_who_shows_pictures(
    client: FlaskClient, path: str, accept: str
) -> None:
    answer = client.get(path, headers={"Accept": accept})
    assert (answer.status_code, answer.content_type) == (404, "image/jpeg")
    assert image_of(answer.data).shape == (360, 640, 3)
    assert image_of(answer.data).std() > 5


@pytest.mark.parametrize("path", [*MISSING, *OURS])
def test_unknown_camera_is_a_problem_for_programs(client: FlaskClient, path: str) -> None:
    for headers in ({}, {"Accept": "*/*"}):
        answer = client.get(path, headers=headers)
        assert (answer.status_code, answer.content_type) == (404, "application/problem+json")
        assert "there is no camera" in answer.json["detail"]


def test_unknown_camera_is_a_page_for_who_opens_one(client: FlaskClient) -> None:
    answer = client.get(OURS[0], headers={"Accept": CHROME_PAGE})
    assert (answer.status_code, answer.mimetype) == (404, "text/html")


@pytest.mark.parametrize("path", ["/video_feed", "/stream", "/snapshot", "/state", "/?action=stream"])
def test_there_may_be_no_camera_at_all(path: str) -> None:
    with Engine(Config()) as engine:
        app: Flask = create_app(engine)
        assert app.test_client().get(path).status_code == 404
