from __future__ import annotations

import itertools
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

import numpy as np
import pytest

from stream_server.config import SourceConfig
from stream_server.errors import AuthenticationFailed, SourceError
from stream_server.media.frames import Picture
from stream_server.net.http_client import CameraClient, _reach
from stream_server.sources.http import HttpSource
from tests.support.cameras.http import HTTPCamera, colour_of, numbered_jpeg
from tests.support.paths import CERTIFICATE
from tests.support.patience import PATIENCE_S, soon
from tests.support.webserver import KeptOpen, WebServer


@contextmanager
def opened(url: str, **config: object) -> Iterator[HttpSource]:
    source = HttpSource(SourceConfig.model_validate({"source": url, **config}))
    try:
        source.open()
        yield source
    finally:
        source.close()


def refusal(url: str, **config: object) -> SourceError:
    """Return the error with which opening fails."""
    with pytest.raises(SourceError) as error, opened(url, **config):
        pass
    return error.value


def tls_server() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


def jpegs(source: HttpSource, count: int) -> list[bytes]:
    pictures = [source.read() for _ in range(count)]
    return [picture.jpeg for picture in pictures if picture and picture.jpeg]


def new_pictures(source: HttpSource, count: int) -> list[Picture]:
    """Return the next pictures, as often as it takes."""
    pictures = (source.read() for _ in range(100))
    return list(itertools.islice((picture for picture in pictures if picture), count))


def read_for_ever(source: HttpSource) -> None:
    while True:
        source.read()


# What is shown.


@pytest.mark.parametrize("lengths", ["right", "none", "short", "long"])
@pytest.mark.parametrize("chunked", [False, True])
def test_mjpeg_comes_through_untouched(lengths: str, chunked: bool) -> None:
    with HTTPCamera(fps=0, lengths=lengths, chunked=chunked) as camera, opened(camera.url) as source:  # type: ignore[arg-type]
        assert source.size_wh == (64, 48)
        assert source.description == "MJPEG over HTTP"
        assert jpegs(source, 20) == [numbered_jpeg(number) for number in range(20)]
        assert source.decode_errors == 0
        assert camera.connections == 1


def test_pixels_are_those_of_the_camera() -> None:
    with HTTPCamera(jpegs=[numbered_jpeg(5)]) as camera, opened(camera.url) as source:
        picture = source.read()

    assert picture is not None
    assert np.abs(picture.image[20, 30].astype(int) - colour_of(5)).max() <= 3


def test_each_picture_has_its_own_size() -> None:
    sizes = {0: (640, 480), 3: (1280, 720), 6: (320, 240)}
    with HTTPCamera(sizes=sizes, fps=0) as camera, opened(camera.url) as source:
        pictures = new_pictures(source, 9)

    assert [picture.size_wh for picture in pictures] == [sizes[0]] * 3 + [sizes[3]] * 3 + [sizes[6]] * 3
    assert all(picture.image.shape[1::-1] == picture.size_wh for picture in pictures)


def test_parts_that_are_no_picture_are_skipped_and_counted() -> None:
    broken = b"\xff\xd8\xff\xda\0\2no size\xff\xd9"
    parts = [numbered_jpeg(1), b"<event/>", broken]
    with HTTPCamera(jpegs=parts, stop_after=10, fps=0) as camera, opened(camera.url) as source:
        assert jpegs(source, 4) == [numbered_jpeg(1)] * 4
        assert source.decode_errors == 6


@pytest.mark.parametrize("wanted", [True, False])
def test_a_snapshot_is_a_picture_when_it_changed(wanted: bool) -> None:
    with HTTPCamera("snapshot") as camera, opened(camera.url, fps=100) as source:
        assert source.description == "JPEG snapshots (100/s) over HTTP"
        assert jpegs(source, 1) == [numbered_jpeg(0)]
        assert source.read(wanted) is None
        camera.picture = 1
        assert jpegs(source, 1) == [numbered_jpeg(1)]
        assert source.read(wanted) is None

        conditions = [headers.get("if-none-match") for _, headers in camera.requests]
        assert conditions[0] is None
        assert all(conditions[1:])
        assert camera.pictures_sent == 2
        assert camera.connections == 1


def test_a_camera_without_validators_is_compared_by_its_pictures() -> None:
    with HTTPCamera("snapshot", validators=False) as camera, opened(camera.url, fps=100) as source:
        assert jpegs(source, 1) == [numbered_jpeg(0)]
        assert source.read() is None
        assert camera.pictures_sent == 2


def test_snapshots_are_asked_for_at_the_configured_rate() -> None:
    with HTTPCamera("snapshot") as camera, opened(camera.url, fps=20) as source:
        source.read()
        asked_at = [time.monotonic() for _ in range(10) if source.read() or True]
    assert 0.045 < np.median(np.diff(asked_at)) < 0.1


def test_a_snapshot_camera_may_end_a_kept_connection() -> None:
    with HTTPCamera("snapshot") as camera, opened(camera.url, fps=50) as source:
        source.read()
        for number in (1, 2):
            camera.picture = number
            camera.drop()
            assert camera.wait_until(lambda: camera.open_connections == 0)
            assert new_pictures(source, 1)[0].jpeg == numbered_jpeg(number)
        assert camera.connections == 3


# What cameras get wrong.


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=frame\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Type: multipart/x-mixed-replace;boundary=frame\n\n",
        b"HTTP/1.1 200\r\nContent-type: Multipart/X-Mixed-Replace; boundary=--frame--\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type : multipart/x-mixed-replace; boundary=frame\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace boundary=frame\r\nnonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\nContent-Type: multipart/mixed\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: binary\r\nContent-Type: multipart/mixed\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nServer: a\0b\xff\r\nContent-Type: video/x-motion-jpeg\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n",
    ],
)
def test_odd_answers_are_understood(head: bytes) -> None:
    body = [b"--frame\r\n\r\n" + numbered_jpeg(number) + b"\r\n" for number in range(3)]
    with HTTPCamera(head=head, body=body) as camera, opened(camera.url) as source:
        assert jpegs(source, 3) == [numbered_jpeg(number) for number in range(3)]


def test_a_picture_of_untold_type_is_a_snapshot() -> None:
    with (
        HTTPCamera("snapshot", content_type="application/octet-stream") as camera,
        opened(camera.url) as source,
    ):
        assert "snapshots" in source.description
        assert jpegs(source, 1) == [numbered_jpeg(0)]


@pytest.mark.parametrize(
    ("make_camera", "reason"),
    [
        (
            partial(HTTPCamera, content_type="text/html", body=[b"<html>Log in"]),
            "sends a web page; expected MJPEG .* or a JPEG",
        ),
        (
            partial(HTTPCamera, content_type="video/mp4", body=[b"\0\0\0 ftyp"]),
            "sends video/mp4; expected MJPEG",
        ),
        (
            partial(HTTPCamera, content_type="application/vnd.apple.mpegurl", body=[b"#EXTM3U\nnone.ts"]),
            "answers 404|hold no picture|not a playlist",
        ),
        (
            partial(HTTPCamera, "snapshot", jpegs=[b"GIF89a"]),
            "picture is no JPEG, PNG, WebP or BMP: it starts with 47 49 46 38",
        ),
        (
            partial(
                HTTPCamera, body=[b"--frame\r\nContent-Type: image/png\r\n\r\n\x89PNG\r\n\x1a\n" + bytes(99)]
            ),
            "sends PNG parts, not JPEG",
        ),
        (partial(HTTPCamera, "snapshot", jpegs=[b""]), "is empty"),
        (partial(HTTPCamera, "snapshot", jpegs=[bytes(11 << 20)]), "longer than 10 MiB"),
        (partial(HTTPCamera, status=404), "answers 404 Not Found"),
        (partial(HTTPCamera, status=500), "answers 500 Internal Server Error"),
        (partial(HTTPCamera, head=b"", body=[]), "closed the connection without an answer"),
        (
            partial(HTTPCamera, head=b"RTSP/1.0 200 OK\r\n\r\n", body=[]),
            r"does not speak HTTP \(BadStatusLine\)",
        ),
        (partial(HTTPCamera, stop_after=0), "ended the stream"),
        (
            partial(
                HTTPCamera,
                head=b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: 99\r\n\r\n",
                body=[b"x"],
            ),
            "in the middle of a picture",
        ),
        (
            partial(
                HTTPCamera,
                head=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                body=[b"--frame\r\n"],
            ),
            "closed the connection in the middle",
        ),
    ],
)
def test_what_is_no_picture_is_refused_with_the_reason(
    make_camera: Callable[[], HTTPCamera], reason: str
) -> None:
    with make_camera() as camera, pytest.raises(SourceError, match=reason), opened(camera.url):
        pass
    assert camera.open_connections == 0


def test_the_end_of_the_stream_is_told() -> None:
    with HTTPCamera(stop_after=2, fps=0) as camera, opened(camera.url) as source:
        assert len(jpegs(source, 2)) == 2
        with pytest.raises(SourceError, match="the camera ended the stream"):
            source.read()


# Who may see it.


@pytest.mark.parametrize("mode", ["mjpeg", "snapshot"])
@pytest.mark.parametrize("authentication", ["basic", "digest"])
@pytest.mark.parametrize("password", ["secret", "p@ss: w/ö#rd%20?"])
def test_a_camera_that_asks_is_told_the_password(mode: str, authentication: str, password: str) -> None:
    with (
        HTTPCamera(mode, authentication=authentication, users={"admin": password}) as camera,  # type: ignore[arg-type]
        opened(camera.url + "?a=b&c=%20", username="admin", password=password, fps=50) as source,
    ):
        assert jpegs(source, 1) == [numbered_jpeg(0)]
        source.read()
        assert "authorization" not in camera.requests[0][1]
        assert all("authorization" in headers for _, headers in camera.requests[1:])


@pytest.mark.parametrize("algorithm", ["MD5", "MD5-sess", "SHA-256", "SHA-256-sess", "SHA-512-256"])
def test_every_digest_algorithm_is_known(algorithm: str) -> None:
    with (
        HTTPCamera(authentication="digest", digest=algorithm) as camera,
        opened(camera.with_credentials("admin:secret")) as source,
    ):
        assert jpegs(source, 1) == [numbered_jpeg(0)]
        assert camera.auth_tries == 1


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256-sess"])
@pytest.mark.parametrize("qop", [None, "", "auth", "auth-int", "auth-int,auth"])
@pytest.mark.parametrize("separator", [", ", "; ", ",\r\n\t", " "])
def test_every_form_of_digest_is_answered(algorithm: str, qop: str | None, separator: str) -> None:
    with (
        HTTPCamera(authentication="digest", digest=algorithm, qop=qop, separator=separator) as camera,
        opened(camera.with_credentials("admin:secret")) as source,
    ):
        assert jpegs(source, 1) == [numbered_jpeg(0)]
        assert camera.auth_tries == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (['Basic realm="camera"'], ["Negotiate"]),
        (['Basic realm="camera", Bearer realm="x", error="y", NTLM'], []),
        (['Digest realm="x", nonce="y", algorithm=NEW'], ['Basic realm="camera"']),
        (['Digest realm="x"; nonce="y"; qop="strange"'], ['Digest realm="z", nonce="y"']),
    ],
)
@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_the_challenge_that_can_be_answered_is_found(
    before: list[str], after: list[str], algorithm: str
) -> None:
    camera = HTTPCamera(authentication="digest", digest=algorithm, before=before, after=after)
    with camera, opened(camera.with_credentials("admin:secret")) as source:
        assert jpegs(source, 1) == [numbered_jpeg(0)]
        assert camera.auth_tries == 1


@pytest.mark.parametrize("user", ["jörg", "пользователь", 'a"b\\c'])
@pytest.mark.parametrize("authentication", ["basic", "digest"])
def test_a_user_name_may_have_any_letters(user: str, authentication: str) -> None:
    camera = HTTPCamera(authentication=authentication, users={user: "secret"})  # type: ignore[arg-type]
    with camera, opened(camera.url, username=user, password="secret") as source:
        assert jpegs(source, 1) == [numbered_jpeg(0)]


@pytest.mark.parametrize("authentication", ["basic", "digest"])
def test_a_wrong_password_is_sent_once(authentication: str) -> None:
    with HTTPCamera(authentication=authentication) as camera:  # type: ignore[arg-type]
        error = refusal(camera.with_credentials("admin:wrong"))

    assert isinstance(error, AuthenticationFailed)
    assert "refuses the user name or password" in error.reason
    assert camera.auth_tries == 1


def test_an_answer_that_came_too_late_is_given_once_more() -> None:
    with HTTPCamera(authentication="digest", nonce_uses=0) as camera:
        error = refusal(camera.with_credentials("admin:secret"))

    assert isinstance(error, AuthenticationFailed)
    assert camera.auth_tries == 2


def test_snapshots_go_on_when_a_nonce_is_worn_out() -> None:
    with (
        HTTPCamera("snapshot", authentication="digest", nonce_uses=2) as camera,
        opened(camera.url, username="admin", password="secret", fps=100) as source,
    ):
        for _ in range(6):
            source.read()
        accepted = [headers for _, headers in camera.requests if "authorization" in headers]
        assert len(accepted) == 8
        assert camera.connections == 1


@pytest.mark.parametrize(
    ("make_camera", "reason"),
    [
        (partial(HTTPCamera, authentication="basic"), "asks for a user name and password"),
        (partial(HTTPCamera, status=403), r"forbids .* \(403\)"),
    ],
)
def test_a_locked_camera_is_told_apart_from_a_lost_one(
    make_camera: Callable[[], HTTPCamera], reason: str
) -> None:
    with make_camera() as camera, pytest.raises(AuthenticationFailed, match=reason), opened(camera.url):
        pass


def test_an_unknown_kind_of_authentication_is_named() -> None:
    head = b"HTTP/1.1 401 No\r\nWWW-Authenticate: Negotiate\r\nContent-Length: 0\r\n\r\n"
    with HTTPCamera(head=head, body=[]) as camera:
        error = refusal(camera.with_credentials("admin:secret"))

    assert isinstance(error, AuthenticationFailed)
    assert error.reason == "the camera offers no Basic or Digest authentication but negotiate"
    assert camera.auth_tries == 0


def test_no_error_shows_credentials_or_the_query() -> None:
    reasons = []
    for faulty in (
        partial(HTTPCamera, authentication="basic"),
        partial(HTTPCamera, status=404),
        partial(HTTPCamera, content_type="x/y", body=[b"?"]),
    ):
        with faulty() as camera:
            url = camera.with_credentials("C0user:C0pw") + "?token=C0token"
            reasons.append(refusal(url).reason)
    with HTTPCamera() as camera:
        pass
    reasons.append(refusal(camera.with_credentials("C0user:C0pw") + "?token=C0token").reason)

    assert len(reasons) == 4
    assert "C0" not in "".join(reasons)


@pytest.mark.parametrize(
    ("credentials", "reason"),
    [
        ("", "the camera forbids access to the picture (403)"),
        ("admin:secret@", "the camera forbids access to the picture (403)"),  # it never asked who it is
    ],
)
def test_a_user_is_spoken_of_only_where_there_is_one(credentials: str, reason: str) -> None:
    with HTTPCamera(status=403) as camera:
        assert refusal(camera.url.replace("://", f"://{credentials}")).reason == reason
    with HTTPCamera(authentication="basic", status=403) as camera:
        error = refusal(camera.with_credentials("admin:secret"))
        assert error.reason == "the camera forbids this user to see the picture (403)"


# Where it leads.


@pytest.mark.parametrize("mode", ["mjpeg", "snapshot"])
def test_a_cookie_that_a_redirect_set_is_brought_along(mode: str) -> None:
    """As cameras do that send who comes first to a page that lets them in."""

    class Handler(KeptOpen):
        def do_GET(self) -> None:
            if self.path == "/login":
                headers = {"Set-Cookie": "session=a1; Path=/; HttpOnly", "Location": "/picture"}
                self.answer(302, b"in " * 1000, headers, chunk_bytes=7)
            elif self.headers["Cookie"] != "session=a1":
                self.answer(302, headers={"Location": "/login"})
            elif mode == "snapshot":
                self.answer(200, numbered_jpeg(3), {"Content-Type": "image/jpeg"})
            else:
                part = b"--x\r\n\r\n" + numbered_jpeg(3) + b"\r\n"
                self.answer(200, 2 * part, {"Content-Type": "multipart/x-mixed-replace;boundary=x"})

    with WebServer(Handler) as camera, opened(f"{camera.url}/picture", fps=50) as source:
        assert jpegs(source, 1) == [numbered_jpeg(3)]
        source.read()
        assert camera.connections == 1


def test_a_redirect_is_followed_with_the_credentials_of_the_same_host() -> None:
    with (
        HTTPCamera(authentication="basic") as camera,
        HTTPCamera(redirect_to=camera.url, authentication="basic") as door,
        opened(door.with_credentials("admin:secret")) as source,
    ):
        assert jpegs(source, 1) == [numbered_jpeg(0)]
        assert camera.auth_tries == 1


def test_another_host_is_shown_no_credentials() -> None:
    with (
        HTTPCamera(authentication="basic", host="127.0.0.2") as elsewhere,
        HTTPCamera(redirect_to=elsewhere.url) as door,
    ):
        error = refusal(door.with_credentials("admin:secret"))

    assert isinstance(error, AuthenticationFailed)
    assert elsewhere.auth_tries == 0
    assert len(elsewhere.requests) == 1


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("ftp://127.0.0.1/x", "from http to ftp, which is refused"),
        ("rtsp://127.0.0.1/x", "from http to rtsp, which is refused"),
        ("file:///etc/passwd", "no address"),
        ("http://127.0.0.1:99999/", "no address"),
        ("http://[::1/", "no address"),
        ("/again", "redirects more than 3 times"),
    ],
)
def test_a_redirect_elsewhere_is_refused(location: str, reason: str) -> None:
    with HTTPCamera(redirect_to=location) as camera:
        assert reason in refusal(camera.url).reason
        assert len(camera.requests) <= 4


@pytest.mark.parametrize(
    ("address", "reach"),
    [
        ("8.8.8.8", 0),
        ("2606:4700::1", 0),
        ("192.168.1.5", 1),
        ("10.0.0.1", 1),
        ("100.64.0.1", 1),
        ("fd00::1", 1),
        ("::ffff:192.168.1.5", 1),
        ("127.0.0.1", 2),
        ("::1", 2),
        ("::ffff:127.0.0.1", 2),
        ("169.254.169.254", 2),
        ("fe80::1%eth0", 2),
        ("0.0.0.0", 2),
    ],
)
def test_networks_are_ranked_by_how_private_they_are(address: str, reach: int) -> None:
    assert _reach(address) == reach


def test_a_redirect_into_a_more_private_network_is_refused() -> None:
    with HTTPCamera() as camera:
        client = CameraClient(camera.url)
        client.allow(5)
        client._reach = 1  # as if the first address had been one of the local network
        with pytest.raises(SourceError, match="more private network"):
            client.get()
        client.close()
        assert camera.requests == []


def test_tls_is_checked_unless_switched_off() -> None:
    with HTTPCamera(tls=tls_server()) as camera:
        error = refusal(camera.url)
        with opened(camera.url, verify_tls=False) as source:
            assert source.description == "MJPEG over HTTPS"
            assert jpegs(source, 2) == [numbered_jpeg(0), numbered_jpeg(1)]

    assert "certificate is not trusted (self-signed certificate); `verify_tls: false`" in error.reason


def test_a_redirect_may_go_to_tls_but_not_back() -> None:
    with (
        HTTPCamera() as plain,
        HTTPCamera(tls=tls_server(), redirect_to=plain.url) as back,
        HTTPCamera(tls=tls_server()) as safe,
        HTTPCamera(redirect_to=safe.url) as forth,
    ):
        assert "from https to http" in refusal(back.url, verify_tls=False).reason
        with opened(forth.url, verify_tls=False) as source:
            assert jpegs(source, 1) == [numbered_jpeg(0)]


def test_https_to_a_camera_without_it_says_so() -> None:
    with HTTPCamera() as camera:
        assert "is this https?" in refusal(camera.url.replace("http", "https", 1)).reason


def test_a_camera_on_ipv6_is_reached() -> None:
    try:
        camera = HTTPCamera(host="::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    with camera, opened(camera.url) as source:
        assert jpegs(source, 1) == [numbered_jpeg(0)]
        assert camera.requests[0][1]["host"] == camera.address


def test_a_name_is_tried_on_all_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    with HTTPCamera() as camera:
        dead = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", _closed_port()))
        alive = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", camera.port))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [dead, alive])
        with opened("http://camera.local/x") as source:
            assert jpegs(source, 1) == [numbered_jpeg(0)]
            assert camera.requests[0][1]["host"] == "camera.local"


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_nobody_at_home_is_told_by_host_and_port() -> None:
    port = _closed_port()
    assert refusal(f"http://127.0.0.1:{port}/x").reason == f"127.0.0.1:{port}: connection refused"


def test_an_unknown_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert refusal("http://camera.invalid/x").reason == "camera.invalid: this name is not known"


# How long it may take.


@contextmanager
def full_port() -> Iterator[int]:
    """A port whose queue is full: what connects gets no answer, as from an address where nothing is."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            with suppress(BlockingIOError):
                sock.connect(server.getsockname())
        yield server.getsockname()[1]
        for sock in waiting:
            sock.close()


def trickle() -> Iterator[bytes]:
    while True:
        time.sleep(0.05)  # the fault itself: a camera that sends byte by byte
        yield b"x"


def endless() -> Iterator[bytes]:
    while True:
        yield bytes(65536)


NO_ANSWER = "the camera does not answer within 1 s"
NO_PICTURE = "the camera answers but sends no picture within 1 s"


@pytest.mark.parametrize(
    ("make_camera", "reason"),
    [
        (partial(HTTPCamera, silent=True), NO_ANSWER),
        (partial(HTTPCamera, silent=True, tls=tls_server()), NO_ANSWER),
        (partial(HTTPCamera, head=b"HTTP/1.1 200 OK\r\nX: ", body=trickle()), NO_ANSWER),
        (partial(HTTPCamera, body=trickle()), NO_PICTURE),
        (partial(HTTPCamera, body=endless()), NO_PICTURE),
        (
            partial(
                HTTPCamera, head=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", body=trickle()
            ),
            NO_PICTURE,
        ),
        (
            partial(HTTPCamera, head=b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n", body=trickle()),
            NO_PICTURE,
        ),
    ],
)
def test_a_camera_that_gives_no_picture_is_given_up_in_time(
    make_camera: Callable[[], HTTPCamera], reason: str
) -> None:
    with make_camera() as camera:
        with soon():
            error = refusal(camera.url, connect_timeout_s=1, verify_tls=False)
        assert error.reason == reason
        assert camera.wait_until(lambda: camera.open_connections == 0)


def test_an_address_where_nothing_is_is_given_up_in_time() -> None:
    with full_port() as port, soon():
        assert refusal(f"http://127.0.0.1:{port}/", connect_timeout_s=1).reason == NO_ANSWER


@pytest.mark.parametrize("mode", ["mjpeg", "snapshot"])
def test_a_camera_that_freezes_is_told_after_the_read_timeout(mode: str) -> None:
    with HTTPCamera(mode) as camera, opened(camera.url, read_timeout_s=1, fps=50) as source:  # type: ignore[arg-type]
        source.read()
        camera.freeze()
        with soon(at_least_s=0.9), pytest.raises(SourceError, match="no picture for 1 s"):
            read_for_ever(source)


def test_a_cut_connection_is_told_at_once() -> None:
    with HTTPCamera() as camera, opened(camera.url, read_timeout_s=60) as source:
        assert len(new_pictures(source, 2)) == 2
        camera.drop()
        with soon(), pytest.raises(SourceError, match=r"\w"):
            read_for_ever(source)


# Ending it.


def ends_by_interrupt(source: HttpSource, wait: Callable[[], object], has_begun: Callable[[], bool]) -> bool:
    """Return whether `wait`, run in a thread, ends with an error at `interrupt`."""
    failed: list[Exception] = []

    def run() -> None:
        try:
            wait()
        except SourceError as exc:
            failed.append(exc)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert has_begun()
    source.interrupt()
    thread.join(PATIENCE_S)
    return not thread.is_alive() and bool(failed)


@pytest.mark.parametrize("tls", [False, True])
def test_interrupt_ends_open(tls: bool) -> None:
    with HTTPCamera(silent=True, tls=tls_server() if tls else None) as camera:
        source = HttpSource(SourceConfig(source=camera.url, verify_tls=False, connect_timeout_s=120))
        has_asked = lambda: camera.wait_until(lambda: bool(camera.requests))  # noqa: E731
        assert ends_by_interrupt(source, source.open, has_asked)
        source.close()


def test_interrupt_ends_connecting() -> None:
    with full_port() as port:
        source = HttpSource(SourceConfig(source=f"http://127.0.0.1:{port}/", connect_timeout_s=120))
        is_connecting = lambda: _eventually(lambda: source._client._wire._socket is not None)  # noqa: E731
        assert ends_by_interrupt(source, source.open, is_connecting)
        source.close()


def _eventually(is_true: Callable[[], bool], timeout_s: float = PATIENCE_S) -> bool:
    deadline = time.monotonic() + timeout_s
    while not is_true() and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    return is_true()


@pytest.mark.parametrize("tls", [False, True])
def test_interrupt_ends_read(tls: bool) -> None:
    with (
        HTTPCamera(tls=tls_server() if tls else None) as camera,
        opened(camera.url, verify_tls=False, read_timeout_s=60) as source,
    ):
        source.read()
        camera.freeze()
        assert ends_by_interrupt(source, partial(read_for_ever, source), lambda: True)


def test_interrupt_ends_the_wait_between_snapshots() -> None:
    with HTTPCamera("snapshot") as camera, opened(camera.url, fps=0.1) as source:
        source.read()
        assert ends_by_interrupt(source, source.read, lambda: True)


def test_an_interrupt_that_comes_early_is_not_forgotten() -> None:
    with HTTPCamera() as camera:
        source = HttpSource(SourceConfig(source=camera.url))
        source.interrupt()
        with pytest.raises(SourceError, match="interrupted"):
            source.open()
        source.close()


def test_close_may_come_at_any_time_and_ends_the_connection() -> None:
    with HTTPCamera() as camera:
        source = HttpSource(SourceConfig(source=camera.url))
        source.close()
        source.open()
        assert camera.open_connections == 1
        source.close()
        source.close()
        assert camera.wait_until(lambda: camera.open_connections == 0)


def test_twenty_cameras_that_never_answer_leave_nothing_open() -> None:
    with HTTPCamera(silent=True) as camera:
        sources = [HttpSource(SourceConfig(source=camera.url, connect_timeout_s=1)) for _ in range(20)]
        threads = [
            threading.Thread(target=_open_and_close, args=(source,), daemon=True) for source in sources
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert camera.connections == 20
        assert camera.wait_until(lambda: camera.open_connections == 0)


def _open_and_close(source: HttpSource) -> None:
    with suppress(SourceError):
        source.open()
    source.close()
