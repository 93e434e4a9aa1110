"""RTSP cameras, against GStreamer's server: pictures, passwords, losses, silence, and the words for them."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import parse_headers

import av
import numpy as np
import pytest

from stream_server.config import SourceConfig
from stream_server.errors import AuthenticationFailed, SourceError
from stream_server.media.frames import Picture
from stream_server.sources import open_source
from stream_server.sources.rtsp import RTSPSource
from tests.support.cameras.rtsp import RTSPCamera, Stream
from tests.support.paths import CERTIFICATE
from tests.support.patience import soon

USERNAME = "ad min"
PASSWORD = "p@ss:w/rd#1 %ü?&canary"

STREAMS = {
    "/stream": Stream(),
    "/long-gop": Stream(gop=1000),
    "/loss": Stream(loss=0.1, mtu=80, gop=8, pattern="blink"),
    "/slices": Stream(slices=True),
    "/h265": Stream(codec="h265"),
    "/jpeg": Stream(codec="mjpeg"),
    "/hd": Stream(width=1280, height=720),
    "/sound": Stream(codec="sound"),
    "/lost-pictures": Stream(loss=0.1, gop=12, pattern="ball", kbps=4000),
    "/wide": Stream(width=360, aspect="32/27"),
}


@pytest.fixture(scope="module")
def camera() -> Iterator[RTSPCamera]:
    with RTSPCamera(STREAMS) as camera:
        yield camera


@pytest.fixture
def locked_camera() -> Iterator[RTSPCamera]:
    """A camera of the test's own: what it tells of its answers may come late, into another test's count."""
    with RTSPCamera({"/stream": Stream()}, username=USERNAME, password=PASSWORD) as camera:
        yield camera


def rtsp_source(url: str, **settings: object) -> RTSPSource:
    config = {"source": url, "connect_timeout_s": 5, "read_timeout_s": 5, **settings}
    source = open_source(SourceConfig.model_validate(config))
    assert isinstance(source, RTSPSource)
    return source


@contextmanager
def opened(url: str, **settings: object) -> Iterator[RTSPSource]:
    source = rtsp_source(url, **settings)
    try:
        source.open()
        yield source
    finally:
        source.close()


def next_picture(source: RTSPSource, limit_s: float = 20) -> Picture:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if picture := source.read():
            return picture
    raise AssertionError(f"no picture in {limit_s} s")


def read_on(source: RTSPSource) -> None:
    """Read until the source raises."""
    while True:
        source.read()


def is_test_card(picture: Picture) -> bool:
    """Return whether this is the undamaged SMPTE test card: no smears, no grey blocks."""
    height, width = picture.image.shape[:2]
    bars = picture.image[: height // 2].reshape(height // 2, width, 3).astype(int)
    middles = [round((bar + 0.5) * width / 7) for bar in range(7)]
    expected = np.array([(255 * b, 255 * g, 255 * r) for g, r, b in BAR_COLOURS])
    return bool(np.abs(bars[:, middles] - expected).max() < 40)


def is_one_ball(picture: Picture) -> bool:
    """Return whether there is one white disc of GStreamer's size (a radius of 20), all else black."""
    grey = picture.image.mean(axis=2)
    return 1100 < np.count_nonzero(grey > 128) < 1400 and np.count_nonzero((grey > 60) & (grey < 190)) < 250


BAR_COLOURS = [(1, 1, 1), (1, 1, 0), (1, 0, 1), (1, 0, 0), (0, 1, 1), (0, 1, 0), (0, 0, 1)]


@pytest.mark.parametrize(
    ("path", "transport", "description", "size_wh"),
    [
        ("/stream", "tcp", "H.264 over RTSP/TCP", (320, 240)),
        ("/stream", "udp", "H.264 over RTSP/UDP", (320, 240)),
        ("/hd", "tcp", "H.264 over RTSP/TCP", (1280, 720)),
        ("/h265", "tcp", "H.265 over RTSP/TCP", (320, 240)),
        ("/jpeg", "tcp", "MJPEG over RTSP/TCP", (320, 240)),
        ("/wide", "tcp", "H.264 over RTSP/TCP", (427, 240)),
    ],
)
def test_pictures_come_as_the_camera_sends_them(
    camera: RTSPCamera, path: str, transport: str, description: str, size_wh: tuple[int, int]
) -> None:
    with opened(camera.url(path), transport=transport) as source:
        pictures = [next_picture(source) for _ in range(5)]
        assert source.description == description
        assert source.size_wh == size_wh
    assert all(picture.size_wh == size_wh for picture in pictures)
    assert all(is_test_card(picture) for picture in pictures)


def test_the_first_picture_comes_sooner_than_ffmpegs_defaults_let_it(camera: RTSPCamera) -> None:
    with opened(camera.url()):  # the camera itself takes a while to start
        began = time.monotonic()
        with opened(camera.url()) as source:
            next_picture(source)
        opened_at = time.monotonic()
        with av.open(camera.url(), options={"rtsp_transport": "tcp"}) as plain:
            next(plain.decode(video=0))
        assert opened_at - began < 0.7 * (time.monotonic() - opened_at)


def test_no_picture_waits_in_the_decoder() -> None:
    with RTSPCamera() as camera, opened(camera.url()) as source:  # a new stream begins with a key frame
        assert all(source.read() for _ in range(20)), "each packet gives its own picture"


@pytest.mark.parametrize("authentication", ["digest", "basic"])
def test_credentials_of_any_characters_open_the_stream(authentication: str) -> None:
    with (
        RTSPCamera(username=USERNAME, password=PASSWORD, authentication=authentication) as camera,  # type: ignore[arg-type]
        opened(camera.url(), username=USERNAME, password=PASSWORD) as source,
    ):
        assert next_picture(source).size_wh == (320, 240)


def test_credentials_may_stand_in_the_address(locked_camera: RTSPCamera) -> None:
    address = locked_camera.url(credentials="ad%20min:p%40ss%3Aw%2Frd%231%20%25%C3%BC%3F%26canary@")
    with opened(address) as source:
        assert next_picture(source)


@pytest.mark.parametrize(
    ("username", "password", "reason"),
    [
        (None, None, "the camera asks for a user name and password"),
        (USERNAME, "wrong-canary", "the camera refuses the user name or password"),
        ("nobody", PASSWORD, "the camera refuses the user name or password"),
        (USERNAME, None, "the camera refuses the user name or password"),
    ],
)
def test_refused_credentials_are_tried_once(
    locked_camera: RTSPCamera, username: str | None, password: str | None, reason: str
) -> None:
    source = rtsp_source(locked_camera.url(), username=username, password=password)
    with pytest.raises(AuthenticationFailed) as caught:
        source.open()
    source.close()
    assert caught.value.reason == reason
    # The challenge, the answer to it, and what is asked without credentials to say why: one failed login.
    assert locked_camera.answers[401] <= 3


_MD5 = 'Digest realm="r", nonce="n", algorithm=MD5'
_SHA = 'Digest realm="r", nonce="n", algorithm=SHA-256, qop="auth"'


@contextmanager
def asking(challenges: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the address of a camera that refuses all it is asked, and what it is asked with."""
    heads: list[str] = []

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, connection.makefile("rb") as lines:
                    head = ""
                    for line in lines:
                        head += line.decode()
                        if line == b"\r\n":
                            heads.append(head)
                            number = re.search(r"CSeq: (\d+)", head)
                            fields = [f"CSeq: {number[1] if number else 0}"]
                            fields += [f"WWW-Authenticate: {challenge}" for challenge in challenges]
                            answer = "\r\n".join(["RTSP/1.0 401 Unauthorized", *fields, "", ""])
                            connection.sendall(answer.encode())
                            head = ""

    listener = socket.create_server(("127.0.0.1", 0))
    server = threading.Thread(target=serve, args=(listener,))
    server.start()
    try:
        yield f"rtsp://127.0.0.1:{listener.getsockname()[1]}/stream", heads
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        server.join(5)


@pytest.mark.parametrize(
    ("challenges", "what"),
    [
        ([_SHA], "Digest by SHA-256"),
        ([_MD5, _SHA], "Digest by SHA-256"),
        ([_MD5.replace("MD5", "SHA-512-256")], "Digest by SHA-512-256"),
        ([_MD5.replace("MD5", "md5")], "Digest by md5"),
        (['Bearer realm="r"'], "bearer"),
        ([_SHA, 'Basic realm="r"'], "Digest by SHA-256"),
    ],
)
def test_what_ffmpeg_cannot_answer_is_named_and_costs_no_login(challenges: list[str], what: str) -> None:
    with asking(challenges) as (url, heads):
        source = rtsp_source(url, username="admin", password="canary")
        with pytest.raises(SourceError, match=f"^the camera wants {what}, which is not supported") as caught:
            source.open()
        source.close()
    assert not isinstance(caught.value, AuthenticationFailed)  # for which one waits long
    assert heads
    assert not any("Authorization:" in head for head in heads)


@pytest.mark.parametrize(
    "challenges",
    [[_MD5], [_MD5 + "-sess"], [_SHA, _MD5], [_MD5 + ', qop="auth,auth-int"'], ['Basic realm="r"'], []],
)
def test_what_was_answered_is_a_refusal(challenges: list[str]) -> None:
    with asking(challenges) as (url, heads):
        source = rtsp_source(url, username="admin", password="canary")
        with pytest.raises(AuthenticationFailed, match="the camera refuses the user name or password"):
            source.open()
        source.close()
    assert any("Authorization:" in head for head in heads) == bool(challenges)


@pytest.mark.parametrize("path", ["/none", "/sound", "/stream"])
def test_no_error_carries_the_password(
    locked_camera: RTSPCamera, path: str, capfd: pytest.CaptureFixture[str]
) -> None:
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    handler.setFormatter(logging.Formatter())  # the product masks secrets; here none may even arrive
    source = rtsp_source(locked_camera.url(path), username=USERNAME, password="wrong-canary")
    try:
        source.open()
    except SourceError:
        logger = logging.getLogger("test")
        logger.addHandler(handler)
        logger.exception("lost")
        logger.removeHandler(handler)
    shown = log.getvalue() + "".join(capfd.readouterr())
    assert "SourceError" in shown or "AuthenticationFailed" in shown
    assert "canary" not in shown
    assert "rtsp://" not in shown
    assert "The above exception" not in shown


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/none", "the camera has no stream under this path (404)"),
        ("/sound", "the camera refuses (4xx): is there video at this path, by TCP?"),
    ],
)
def test_a_wrong_path_is_named(camera: RTSPCamera, path: str, reason: str) -> None:
    with pytest.raises(SourceError) as caught:
        rtsp_source(camera.url(path)).open()
    assert caught.value.reason == reason


def test_a_closed_port_and_an_unknown_name_are_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(SourceError, match=f"^127.0.0.1:{port}: connection refused$"):
        rtsp_source(f"rtsp://127.0.0.1:{port}/x").open()
    with pytest.raises(SourceError, match=r"^nosuch\.invalid: this name is not known$"):
        rtsp_source("rtsp://nosuch.invalid/x").open()


def test_a_camera_that_only_accepts_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        source = rtsp_source(f"rtsp://127.0.0.1:{port}/x", connect_timeout_s=1)
        with soon(at_least_s=0.9), pytest.raises(SourceError, match=f":{port}: no answer within 1 s$"):
            source.open()


SLOW_ANSWERS = {
    b"OPTIONS": "Public: DESCRIBE, SETUP, PLAY\r\n",
    b"DESCRIBE": "Content-Type: application/sdp\r\nContent-Length: {}\r\n",
    b"SETUP": "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n",
    b"PLAY": "Session: 1\r\n",
}
DESCRIPTION = "v=0\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:1\r\n"


def answer_slowly(listener: socket.socket, pause_s: float, at: dict[bytes, float]) -> None:
    """Answer each request of one connection after a pause, note when it came, and then send no video."""
    connection, _ = listener.accept()
    with contextlib.suppress(ConnectionError), connection, connection.makefile("rb") as requests:
        while method := requests.readline().partition(b" ")[0]:
            at[method] = time.monotonic()
            fields = parse_headers(requests)
            threading.Event().wait(pause_s)  # the fault itself
            body = DESCRIPTION if method == b"DESCRIBE" else ""
            head = SLOW_ANSWERS.get(method, "").format(len(body))
            connection.sendall(f"RTSP/1.0 200 OK\r\nCSeq: {fields['CSeq']}\r\n{head}\r\n{body}".encode())
            at[method + b" answered"] = time.monotonic()


def test_all_steps_of_opening_share_one_time() -> None:
    at: dict[bytes, float] = {}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=answer_slowly, args=(listener, 0.6, at))
        server.start()
        source = rtsp_source(f"rtsp://127.0.0.1:{listener.getsockname()[1]}/x", connect_timeout_s=4)
        with contextlib.suppress(SourceError):  # for want of video
            source.open()
        given_up_at = time.monotonic()
        source.close()
        server.join(30)
    asked_s = at[b"PLAY answered"] - at[b"OPTIONS"]
    assert given_up_at - at[b"PLAY answered"] < asked_s, "a little of 4 s was left to wait for video"


def test_what_speaks_something_else_is_no_rtsp_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            for _ in range(2):  # the source, and its look at what is there
                connection, _ = listener.accept()
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
                connection.close()

        server = threading.Thread(target=answer)
        server.start()
        port = listener.getsockname()[1]
        with pytest.raises(SourceError, match=f"^127.0.0.1:{port}: does not speak RTSP"):
            rtsp_source(f"rtsp://127.0.0.1:{port}/x").open()
        server.join(30)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_frozen_camera_is_lost_after_the_read_timeout(transport: str) -> None:
    with (
        RTSPCamera() as camera,
        opened(camera.url(), read_timeout_s=1, transport=transport) as source,
    ):
        next_picture(source)
        camera.freeze()
        with soon(at_least_s=0.9), pytest.raises(SourceError, match=r"^no data for 1 s$"):
            read_on(source)
        camera.thaw()


@pytest.mark.parametrize(
    ("transport", "freeze_s", "costs"), [("tcp", 1.0, 0), ("tcp", 2.3, 1), ("udp", 2.3, 10)]
)
def test_after_a_short_freeze_it_goes_on(transport: str, freeze_s: float, costs: int) -> None:
    with RTSPCamera() as camera, opened(camera.url(), transport=transport) as source:
        next_picture(source)
        camera.freeze()
        timer = threading.Timer(freeze_s, camera.thaw)
        timer.start()
        pictures = [next_picture(source) for _ in range(30)]
        timer.join()
        assert sum(not is_test_card(picture) for picture in pictures) <= costs
        assert source.decode_errors <= costs


def test_a_dropped_session_is_an_error_at_once() -> None:
    with RTSPCamera() as camera, opened(camera.url()) as source:
        next_picture(source)
        camera.drop()
        with soon(), pytest.raises(SourceError, match=r"^the camera ended the stream$"):
            read_on(source)


def test_interrupt_ends_a_read_of_a_silent_camera() -> None:
    with RTSPCamera() as camera, opened(camera.url(), read_timeout_s=60) as source:
        next_picture(source)
        camera.freeze()
        timer = threading.Timer(0.2, source.interrupt)
        timer.start()
        with soon(), pytest.raises(SourceError, match=r"^interrupted$"):
            read_on(source)
        timer.join()
        camera.thaw()


def test_every_picture_has_the_size_it_was_sent_with() -> None:
    with RTSPCamera() as camera, opened(camera.url()) as source:
        assert next_picture(source).size_wh == (320, 240)
        for size_wh in ((640, 480), (1280, 720), (320, 240)):
            camera.resize(*size_wh)
            with soon():
                picture = next_picture(source)
                while picture.size_wh != size_wh:
                    assert is_test_card(picture)
                    picture = next_picture(source)
            assert picture.image.shape == (size_wh[1], size_wh[0], 3)
            assert is_test_card(picture)


def test_lost_packets_never_show(camera: RTSPCamera) -> None:
    with opened(camera.url("/loss"), transport="udp") as source:
        pictures = [next_picture(source) for _ in range(25)]
        assert source.decode_errors > 0
    assert all(picture.image.std() < 1 for picture in pictures), "each is black or white, no mixture of two"


def test_pictures_built_on_lost_ones_never_show(camera: RTSPCamera) -> None:
    """Each packet is a whole picture of a ball that flies: where one is missing, the next ones smear it."""
    with opened(camera.url("/lost-pictures"), transport="udp") as source:
        pictures = [next_picture(source) for _ in range(60)]
        assert source.decode_errors > 0
    assert all(is_one_ball(picture) for picture in pictures)


def test_pictures_that_the_camera_cuts_apart_are_shown(camera: RTSPCamera) -> None:
    with opened(camera.url("/slices")) as source:
        pictures = [next_picture(source) for _ in range(30)]
        assert source.decode_errors > 0
    assert sum(is_test_card(picture) for picture in pictures) > 20


def test_unwanted_packets_are_not_decoded_and_the_next_wanted_one_is(camera: RTSPCamera) -> None:
    with opened(camera.url("/long-gop")) as source:
        assert not any(source.read(wanted=False) for _ in range(30))
        picture = source.read(wanted=True)  # no key frame for 40 s: from those kept
        assert picture is not None
        assert is_test_card(picture)
        assert not any(source.read(wanted=False) for _ in range(10))
        assert source.read(wanted=True) is not None
        assert source.decode_errors == 0


def test_many_pictures_may_be_held(camera: RTSPCamera) -> None:
    with opened(camera.url("/hd")) as source:
        pictures = [next_picture(source) for _ in range(24)]
    assert all(is_test_card(picture) for picture in pictures)


def test_rtsps_takes_an_unknown_certificate_only_where_told() -> None:
    with RTSPCamera(username=USERNAME, password=PASSWORD, certificate=CERTIFICATE) as camera:
        with pytest.raises(SourceError, match=r"TLS failed; `verify_tls: false` takes any certificate"):
            rtsp_source(camera.url(), username=USERNAME, password=PASSWORD).open()
        with opened(camera.url(), username=USERNAME, password=PASSWORD, verify_tls=False) as source:
            assert is_test_card(next_picture(source))
            assert source.description == "H.264 over RTSPS/TCP"


def test_close_may_come_twice_and_before_open(camera: RTSPCamera) -> None:
    source = rtsp_source(camera.url())
    source.close()
    source.open()
    source.close()
    source.close()
