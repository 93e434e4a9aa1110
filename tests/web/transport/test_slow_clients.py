"""Hundreds of clients who send or take little, slowly, to keep others out: nobody notices."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import pytest

from stream_server.web.transport.arrival import body_bytes
from tests.support.leaks import wait_until
from tests.support.server import Server, get
from tests.support.sockets import held_connections

EACH, MANY = 60, 150
MORE_EVERY_S = 1.0
WATCH_FOR_S = 5.0
WATCH_EACH_FOR_S = 1.5
MOST_TIMES_ALONE = 20
"""So much longer the slowest answers may take beside hundreds; who waits for the slow waits for seconds."""
DROPPED_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Slowness:
    """What a slow client sends at once, and every second after that; whether it reads what it gets."""

    name: str
    first: bytes
    more: bytes = b""

    def __str__(self) -> str:
        return self.name


def _post(path: str, length: str = "10000000") -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode()


GET = b"GET /static/embed.js HTTP/1.1\r\nHost: localhost\r\n"
WAYS: list[Slowness] = [
    Slowness("nothing", b""),
    Slowness("slow head", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", b"x"),
    Slowness("slow second head", GET + b"\r\n" + GET, b"X: y\r\n"),
    Slowness("slow body", _post("/api/v1/detect"), b"x"),
    Slowness("slow body of a form", _post("/login"), b"x"),
    Slowness("slow body with zeros in its length", _post("/login", "0" * 20 + "10000000"), b"x"),
    Slowness("slow body nobody reads", _post("/nothing"), b"x"),
    Slowness(
        "slow body in chunks",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"1\r\nx\r\n",
    ),
    Slowness("reads nothing", (GET + b"\r\n") * 40),
    Slowness("does not leave", GET + b"Connection: close\r\n\r\n"),
]


class Crowd:
    """Slow clients, so many of each way, who come all at once."""

    def __init__(self, port: int, ways: Sequence[Slowness], count: int) -> None:
        self._stop = threading.Event()
        self._clients = [(_connect(port, way.first), way) for _ in range(count) for way in ways]
        self._thread = threading.Thread(target=self._run, name="crowd", daemon=True)

    def __enter__(self) -> Crowd:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)
        for sock, _ in self._clients:
            sock.close()

    def _run(self) -> None:
        while not self._stop.wait(MORE_EVERY_S):
            for sock, way in self._clients:
                with suppress(OSError):  # full, or dropped
                    sock.send(way.more, socket.MSG_NOSIGNAL)


def _connect(port: int, first: bytes) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    sock.connect(("127.0.0.1", port))
    sock.setblocking(False)
    sock.send(first)
    return sock


def _p99_s(port: int, seconds: float) -> float:
    """Return how long the slowest but one in a hundred API calls take that are made for so long."""
    took: list[float] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        answer = get(port, "/api/v1/cameras", timeout_s=30)
        assert answer.status == 200
        took.append(answer.seconds)
    return sorted(took)[int(0.99 * len(took))]


def _answers_within(port: int, most_s: float, seconds: float) -> bool:
    """Return whether that holds at once or a little later: others of this machine come and go."""
    return any(_p99_s(port, seconds) < most_s for _ in range(4))


@pytest.fixture(scope="module")
def most_s(server: Server) -> float:
    """Return how long an answer may take, by how long it takes alone."""
    return MOST_TIMES_ALONE * max(0.02, _p99_s(server.port, 1))


def test_api_answers_while_hundreds_are_slow(server: Server, most_s: float) -> None:
    lines = len(server.log)
    with Crowd(server.port, WAYS, EACH):
        assert _answers_within(server.port, most_s, WATCH_FOR_S)
        assert wait_until(lambda: held_connections(server.port) == 0, DROPPED_TIMEOUT_S)
    assert not [line for line in server.log[lines:] if "INFO" not in line]


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_no_way_alone_keeps_others_out(server: Server, way: Slowness, most_s: float) -> None:
    with Crowd(server.port, [way], MANY):
        assert _answers_within(server.port, most_s, WATCH_EACH_FOR_S)
    assert wait_until(lambda: held_connections(server.port) == 0, DROPPED_TIMEOUT_S)


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ("", 0),
        ("Content-Length: 0\r\n", 0),
        ("content-length:70000 \t\r\n", 70000),
        ("X: y\r\nContent-Length: 5\r\nContent-Length: 70000\r\n", sys.maxsize),
        ("Content-Length: 000000000000000000010000\r\n", 10000),
        (f"Content-Length: {'9' * 5000}\r\n", sys.maxsize),
        ("Content-Length: \r\n", sys.maxsize),
        ("Content-Length: +5\r\n", sys.maxsize),
        ("Content-Length: -5\r\n", sys.maxsize),
        ("Content-Length: 5, 5\r\n", sys.maxsize),
        ("Content-Length: 0x5\r\n", sys.maxsize),
        ("Content-Length: 5\r\nContent-Length: x\r\n", sys.maxsize),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", sys.maxsize),
        ("transfer-encoding:gzip\r\n", sys.maxsize),
        ("Expect: 100-continue\r\nContent-Length: 5\r\n", sys.maxsize),
        ("X-Content-Length: 5\r\n", 0),
    ],
)
def test_length_that_cannot_be_read_counts_as_untold(headers: str, wanted: int) -> None:
    assert body_bytes(f"POST / HTTP/1.1\r\n{headers}".encode()) == wanted
