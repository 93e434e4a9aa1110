"""Where a request ends: read in two places the same way, and told to the client where it is not read."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from stream_server.accounts.store import Store
from tests.support.leaks import wait_until
from tests.support.patience import PATIENCE_S
from tests.support.server import NO_DETECTOR, SMALL_DEMO, Server

HEAD = b"POST /login HTTP/1.1\r\nHost: localhost\r\n"
FAST_THREADS = 64
"""More than wait for anything but uploads."""


@pytest.fixture(scope="module")
def token_and_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Server]]:
    folder = tmp_path_factory.mktemp("framing")
    database = f"sqlite:///{folder}/accounts.db"
    with closing(Store.open(database)) as store:
        token = store.add_token("root", "admin")
    settings = ("--set", f"auth.database={database}", "--set", f"videos.folder={folder}/videos")
    with Server(*SMALL_DEMO, *NO_DETECTOR, *settings) as server:
        yield token, server
        assert not [line for line in server.log if "Traceback" in line or "ERROR" in line]


@pytest.fixture
def server(token_and_server: tuple[str, Server]) -> Server:
    return token_and_server[1]


@pytest.fixture
def key(token_and_server: tuple[str, Server]) -> dict[str, str]:
    return {"X-Api-Token": token_and_server[0]}


def _connect(server: Server, data: bytes) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)
    sock.sendall(data)
    return sock


LENGTHS = [
    b"Content-Length: 000000000000000000100000\r\n",
    b"Content-Length: " + b"0" * 4000 + b"100000\r\n",
    b"content-length:\t000000000000000000100000 \r\n",
    b"X: y\r\nContent-Length: 100000000000000000000\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: CHUNKED\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding:chunked\r\n",
    b"Content-Length: 5\r\nExpect: 100-continue\r\n",
]
"""Of bodies that do not come."""


@pytest.mark.parametrize("length", LENGTHS)
def test_bodies_that_do_not_come_hold_no_one_up(server: Server, length: bytes) -> None:
    """They are answered, or told to come again; so is who asks for something else meanwhile."""
    waiting = [_connect(server, HEAD + length + b"\r\n") for _ in range(FAST_THREADS)]
    try:
        assert server.get("/healthz").status == 200
        assert wait_until(lambda: all(map(_is_answered, waiting)), PATIENCE_S)
    finally:
        for sock in waiting:
            sock.close()


def _is_answered(sock: socket.socket) -> bool:
    try:
        return sock.recv(9, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b"HTTP/1.1 "
    except BlockingIOError:
        return False


AMBIGUOUS = [
    b"Content-Length: +5\r\n",
    b"Content-Length: -5\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Content-Length: 0x5\r\n",
    b"Content-Length: 5_0\r\n",
    b"Content-Length: \xb2\r\n",
    b"Content-Length:\r\n",
    b"Content-Length: 5\r\nContent-Length: 5\r\n",
    b"Content-Length: 5\r\nContent-Length: 6\r\n",
    b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    b"Content-Length : 5\r\n",
    b" Content-Length: 5\r\n",
    b"X: y\r\n Content-Length: 5\r\n",
    b"Content-Length: 5\r\n 0\r\n",
    b"X: y\nContent-Length: 5\r\n",
    b"X: y\rContent-Length: 5\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Transfer-Encoding: chunked, chunked\r\n",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked, identity\r\n",
    b"Transfer-Encoding: x\r\n",
    b"Transfer-Encoding: \x0bchunked\r\n",
    b"Host: elsewhere\r\n",
    b"Content-Length: " + b"9" * 5000 + b"\r\n",
]


@pytest.mark.parametrize("header", AMBIGUOUS)
def test_what_can_be_read_in_two_ways_is_refused(server: Server, header: bytes) -> None:
    """At once, and without a second request being found in the body."""
    smuggled = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with _connect(server, HEAD + header + b"\r\n" + smuggled) as sock:
        assert _statuses(sock) in ([400], [501])


@pytest.mark.parametrize(
    "request_", [b"GET / HTTP/1.1\nHost: localhost\n\n", b"GET / HTTP/1.1\r\nHost: localhost\n\n", b"GET /\n"]
)
def test_bare_line_feeds_are_refused_and_not_waited_on(server: Server, request_: bytes) -> None:
    with _connect(server, request_) as sock:
        assert _statuses(sock) == [400]


CHUNKS = [
    b"+5\r\nhello\r\n",
    b"0x5\r\nhello\r\n",
    b" 5\r\nhello\r\n",
    b"5\nhello\n",
    b"5\r\nhelloX\r\n",
    b"\r\n",
]


@pytest.mark.parametrize("chunk", CHUNKS)
def test_after_a_damaged_chunk_there_is_no_other_request(server: Server, chunk: bytes) -> None:
    head = HEAD + b"Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n"
    smuggled = b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with _connect(server, head + chunk + smuggled) as sock:
        (status,) = _statuses(sock)
        assert 400 <= status < 500


def _statuses(sock: socket.socket) -> list[int]:
    """Return the status of each answer until the server closes."""
    received = bytearray()
    while data := sock.recv(65536):
        received += data
    return [int(status) for status in re.findall(rb"^HTTP/1\.[01] (\d{3}) ", received, re.MULTILINE)]


SIZES = [1, 65537, 200_000, 256 * 1024, 256 * 1024 + 1, 1_000_000]
REFUSED = [
    ("POST", "/api/v1/detect", True, {"Content-Type": "image/jpeg"}, 503),
    ("POST", "/api/v1/detect", False, {"Content-Type": "image/jpeg"}, 401),
    ("POST", "/api/v1/nothing", True, {}, 404),
    ("PUT", "/api/v1/detect", True, {}, 405),
    ("POST", "/api/v1/videos?name=a.mp4", True, {"Content-Type": "multipart/form-data; boundary=x"}, 415),
    ("POST", "/api/v1/videos?name=a.mp4", True, {"Tus-Resumable": "0.2"}, 412),
]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("method", "path", "knows", "headers", "status"), REFUSED)
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_refused_body_breaks_no_later_request(
    server: Server,
    key: dict[str, str],
    method: str,
    path: str,
    knows: bool,
    headers: dict[str, str],
    status: int,
    size: int,
    is_chunked: bool,
) -> None:
    """The connection goes on, or the answer said that it would not."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
    with closing(connection):
        body = bytes(size)
        sent = headers | (key if knows else {})
        if is_chunked:
            pieces = (body[at : at + 50_000] for at in range(0, size, 50_000))
            connection.request(method, path, pieces, sent, encode_chunked=True)
        else:
            connection.request(method, path, body, sent)
        response = connection.getresponse()
        response.read()
        expected = 411 if is_chunked and status == 415 else status
        assert response.status == expected
        assert response.will_close == (is_chunked or size > 256 * 1024)
        if not response.will_close:
            sock = connection.sock
            connection.request("GET", "/healthz")
            assert connection.getresponse().read()
            assert connection.sock is sock


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_curl_goes_on_after_a_refused_upload(server: Server, key: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "large.jpg"
    file.write_bytes(bytes(2_000_000))
    url = f"{server.url}/api/v1/detect"
    command = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} ", "--data-binary", f"@{file}", url, url]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (told.returncode, told.stdout.split()[0], told.stderr) == (0, "401", "")
