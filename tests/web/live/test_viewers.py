"""Viewers at a running server: slow ones, those who stop or lose their network, storms, and too many."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

from tests.support.cameras.http import HTTPCamera
from tests.support.leaks import open_descriptors, resident_bytes, threads, wait_until
from tests.support.links import Cable
from tests.support.needs import need
from tests.support.patience import PATIENCE_S
from tests.support.server import NO_DETECTOR, Server
from tests.support.sockets import CLOSE_WAIT, held_connections, sockets, unread_bytes
from tests.support.viewers import BOUNDARY_LINE, Viewer, fewest_frames, read_all, read_for
from tests.support.websockets import Client

STREAM = "/cameras/demo/stream.mjpg"
MEDIUM_DEMO = ("--set", "cameras.demo={source: 'demo:', width: 640, height: 360, fps: 15}")
ON_ALL_NETWORKS = ("--host", "0.0.0.0", "--set", "auth.open=true")
KEPT = 0.9
"""Share of its frames that a viewer keeps at least when others come; waiting for them would leave a few."""
MIB = 1 << 20
THREADS, MAX_WEBSOCKETS = 4, 8
FEW_THREADS = ("--set", f"server.threads={THREADS}", "--set", f"server.max_websockets={MAX_WEBSOCKETS}")
POOL = THREADS + MAX_WEBSOCKETS
"""Threads that gunicorn starts as it needs them, and keeps."""
RESET_ON_CLOSE = b"\1\0\0\0\0\0\0\0"  # SO_LINGER with 0 seconds, socket(7)


def complaints(lines: list[str]) -> list[str]:
    return [line for line in lines if " INFO " not in line]


def kept_share(server: Server, viewers: Sequence[Viewer], seconds: float, *beside: Viewer) -> float:
    """Read all for so long; return which share of the pictures made meanwhile the worst of `viewers` got.

    However slow the machine is, it is so for making them and for sending them.
    """
    encoded, since = server.camera()["encoded"], [len(viewer.parts) for viewer in viewers]
    read_for([*viewers, *beside], seconds)
    return fewest_frames(viewers, since) / (server.camera()["encoded"] - encoded)


# Many, and a slow one.


def test_two_hundred_viewers_take_less_than_a_mebibyte_each() -> None:
    with Server(*MEDIUM_DEMO, *NO_DETECTOR) as server, ExitStack() as stack:
        read_all([stack.enter_context(Viewer(server.port))], 3)
        before = resident_bytes(server.web_worker)
        viewers = [stack.enter_context(Viewer(server.port)) for _ in range(200)]
        read_all(viewers, 10)
        assert resident_bytes(server.web_worker) - before < 200 * MIB


SLOW_BYTES_PER_S = 20_000


@pytest.fixture(scope="module")
def slow_and_others() -> tuple[Viewer, float]:
    """A viewer at the end of a slow line, and what share of their frames twenty others kept beside it."""
    with (
        Server(*ON_ALL_NETWORKS, *MEDIUM_DEMO, *NO_DETECTOR) as server,
        Cable() as cable,
        ExitStack() as stack,
    ):
        cable.throttle(SLOW_BYTES_PER_S)
        others = [stack.enter_context(Viewer(server.port)) for _ in range(20)]
        read_all(others, 3)
        before = kept_share(server, others, 3)
        memory = resident_bytes(server.web_worker)
        slow = stack.enter_context(Viewer(server.port, host=cable.address, sock=cable.socket()))
        beside = kept_share(server, others, 8, slow)
        assert resident_bytes(server.web_worker) - memory < 2 * MIB
    return slow, beside / before


def test_slow_viewer_costs_the_others_nothing(slow_and_others: tuple[Viewer, float]) -> None:
    assert slow_and_others[1] >= KEPT


def test_slow_viewer_sees_the_newest_it_can(slow_and_others: tuple[Viewer, float]) -> None:
    slow, _ = slow_and_others
    epoch = time.time() - time.monotonic()
    assert len(slow.parts) >= 4
    for part, arrived_at in zip(slow.parts, slow.arrived_at, strict=True):
        age_s = epoch + arrived_at - float(part["X-Timestamp"])
        assert age_s <= 5 + len(part.jpeg) / SLOW_BYTES_PER_S


# Those who stop, and those whose network does.


@dataclass(frozen=True)
class Aftermath:
    """What the server held before some came, and after they had stopped without a word."""

    freed_s: float
    held_before: tuple[int, int]
    held_after: tuple[int, int]
    statuses: list[int]
    lines: list[str]


@contextmanager
def _program(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def _held(server: Server) -> tuple[int, int]:
    """Return how many descriptors and threads the server holds."""
    return open_descriptors(server.web_worker), threads(server.web_worker)


@pytest.fixture(scope="module")
def aftermath() -> Aftermath:
    """Five watch, then two programs are stopped, one reads nothing, and a cable to two is cut."""
    address = f"{STREAM}?quality=100"
    with (
        Server(*ON_ALL_NETWORKS, *MEDIUM_DEMO, *NO_DETECTOR, *FEW_THREADS) as server,
        Cable() as cable,
        ExitStack() as stack,
    ):
        url, held_before = server.url + address, _held(server)
        programs = [
            stack.enter_context(_program(need("curl"), "-sNo", "/dev/null", url)),
            stack.enter_context(_program(need("ffmpeg"), "-v", "quiet", "-i", url, "-f", "null", "-")),
        ]
        silent = stack.enter_context(Client.connect(server.port))
        sock = cable.socket()
        sock.connect((cable.address, server.port))
        far = stack.enter_context(Client(sock, host=f"{cable.address}:{server.port}"))
        far.open()
        for client in (silent, far):
            client.watch({"id": 1, "camera": "demo"})
            client.picture()
        viewer = stack.enter_context(Viewer(server.port, address, host=cable.address, sock=cable.socket()))
        viewer.read(3)
        assert server.has_viewers(5)
        lines = len(server.log)
        for program in programs:
            program.send_signal(signal.SIGSTOP)
        cable.cut()
        stopped_at = time.monotonic()
        wait_until(lambda: server.viewers == 0 and held_connections(server.port) == 0)
        freed_s = time.monotonic() - stopped_at
        held_after = _held(server)
        again = [stack.enter_context(Client.connect(server.port)) for _ in range(MAX_WEBSOCKETS)]
        statuses = [client.status for client in again]
        new_lines = server.log[lines:]
    return Aftermath(freed_s, held_before, held_after, statuses, new_lines)


def test_those_who_stop_are_freed_soon(aftermath: Aftermath) -> None:
    assert aftermath.freed_s <= PATIENCE_S  # TCP alone keeps them for a quarter of an hour


def test_descriptors_and_threads_of_those_who_stop_are_back(aftermath: Aftermath) -> None:
    (descriptors, running), (descriptors_after, running_after) = aftermath.held_before, aftermath.held_after
    assert descriptors_after == descriptors
    assert running_after <= running + POOL
    assert aftermath.statuses == [101] * MAX_WEBSOCKETS


def test_each_who_stops_is_told_of_in_one_line(aftermath: Aftermath) -> None:
    assert len(aftermath.lines) == 5, aftermath.lines
    assert all("dropped" in line for line in aftermath.lines), aftermath.lines


# Requests.

REQUEST = f"GET {STREAM} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("pieces", "answers"),
    [
        pytest.param([REQUEST], 1, id="at once"),
        pytest.param([REQUEST[:2], REQUEST[2:40], REQUEST[40:-1], REQUEST[-1:]], 1, id="in pieces"),
        pytest.param([HEALTH + HEALTH + REQUEST], 3, id="behind others"),
        pytest.param([HEALTH + REQUEST[:9], REQUEST[9:]], 2, id="half of it behind another"),
        pytest.param([REQUEST + HEALTH], 1, id="before another, which nobody answers"),
        pytest.param(
            [REQUEST[:-2] + b"Content-Length: 5\r\n\r\n", b"hello", bytes(range(256)) * 99],
            1,
            id="with a body",
        ),
        pytest.param([REQUEST.replace(b"1.1\r\nHost: 127.0.0.1", b"1.0")], 1, id="as HTTP/1.0"),
        pytest.param([REQUEST.replace(b"GET ", b"GET http://127.0.0.1")], 1, id="as to a proxy"),
    ],
)
def test_stream_comes_however_it_is_asked_for(server: Server, pieces: list[bytes], answers: int) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            sock.sendall(piece)
            assert wait_until(lambda: not unread_bytes(server.port, sock.getsockname()[1]))
        got = b""
        while got.count(BOUNDARY_LINE) < 4:
            data = sock.recv(1 << 16)
            assert data, "the stream ended"
            got += data
    assert got.count(OK) == answers


@pytest.mark.parametrize(
    "rubbish", [b"\r\n\r\n\r\n", b"GET /stream\r\n\r\n", bytes(range(256)), b"\xff\n" * 99]
)
def test_what_is_no_request_is_refused(server: Server, rubbish: bytes) -> None:
    lines = len(server.log)
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
        sock.sendall(rubbish)
        sock.shutdown(socket.SHUT_WR)
        got = b""
        while data := sock.recv(1 << 16):
            got += data
    assert got.startswith(b"HTTP/1.1 400 Bad Request\r\n") or not got
    assert not any("Traceback" in line for line in server.log[lines:])
    assert server.get("/healthz").status == 200


# Coming and going.


def test_five_hundred_who_come_and_go_leave_nothing_and_let_the_camera_sleep() -> None:
    with HTTPCamera() as camera:
        source = f"cameras.demo={{source: '{camera.url}', on_demand: true}}"
        with Server("--set", source, *NO_DETECTOR, *FEW_THREADS) as server:
            descriptors, running = _held(server)
            lines = len(server.log)
            for number in range(500):
                _come_and_go(server.port, reads=number % 4 < 2, resets=number % 2 == 0)
            assert server.has_viewers(0)
            assert wait_until(lambda: not held_connections(server.port))
            assert not [row for row in sockets(server.port) if row.state == CLOSE_WAIT]
            assert wait_until(lambda: camera.open_connections == 0)
            server.wait_for_camera(lambda info: info["state"] == "idle")
            assert wait_until(lambda: open_descriptors(server.web_worker) <= descriptors)
            assert threads(server.web_worker) <= running + POOL
            assert not complaints(server.log[lines:])


def _come_and_go(port: int, *, reads: bool, resets: bool) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(f"GET {STREAM} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        if reads:
            assert sock.recv(1 << 16)
        if resets:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)


# Too many.


def test_too_many_are_refused_at_once_and_cost_the_others_nothing() -> None:
    most = 50
    with (
        Server(
            "--set", "cameras.demo={source: 'demo:', width: 320, height: 180, fps: 15}", *NO_DETECTOR,
            *FEW_THREADS, "--set", f"server.max_viewers={most}",
        ) as server,
        ExitStack() as stack,
        ThreadPoolExecutor(8) as pool,
    ):  # fmt: skip
        viewers = [stack.enter_context(Viewer(server.port)) for _ in range(most)]
        read_all(viewers, 3)
        before = kept_share(server, viewers, 3)
        streams = [pool.submit(server.get, STREAM) for _ in range(most)]
        calls = [pool.submit(server.get, path) for path in ("/api/v1/cameras", "/healthz", "/") * 40]
        websockets = [pool.submit(Client.connect, server.port) for _ in range(50)]
        beside = kept_share(server, viewers, 4)
        refused = [future.result() for future in streams]
        statuses = [stack.enter_context(future.result()).status for future in websockets]
        assert [(answer.status, answer.headers["retry-after"]) for answer in refused] == [(503, "5")] * most
        assert {future.result().status for future in calls} == {200}
        assert sorted(statuses) == [101] * MAX_WEBSOCKETS + [503] * (50 - MAX_WEBSOCKETS)
        assert beside / before >= KEPT
