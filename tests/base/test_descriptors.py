"""Descriptors: there are as many as are needed, or as the machine allows, and then viewers wait."""

from __future__ import annotations

import os
import re
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from stream_server.web.transport.gunicorn_worker import PatientPool
from tests.support.leaks import wait_until
from tests.support.needs import need
from tests.support.server import COMMAND, NO_DETECTOR, SMALL_DEMO, Server, run_command
from tests.support.viewers import Viewer

LIMIT = 400


def _limited(soft: int, hard: int) -> tuple[str, ...]:
    return (need("prlimit"), f"--nofile={soft}:{hard}", *COMMAND)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """May open `LIMIT` files."""
    with Server(*SMALL_DEMO, *NO_DETECTOR, command=_limited(64, LIMIT)) as server:
        yield server


def test_server_says_how_many_viewers_fit(server: Server) -> None:
    said = server.wait_for_line(
        r"server\.max_viewers: got 1000, but the process may open (\d+) files.*: (\d+)"
    )
    assert int(said[1]) == LIMIT
    assert 100 < int(said[2]) < LIMIT - 100


def test_limit_is_raised_to_what_is_needed() -> None:
    command = _limited(64, 2000)
    with Server(*SMALL_DEMO, *NO_DETECTOR, "--set", "server.max_viewers=500", command=command) as server:
        limits = Path(f"/proc/{server.web_worker}/limits").read_text()
        found = re.search(r"Max open files\s+(\d+)", limits)
        assert found
        assert 1500 < int(found[1]) <= 2000
        assert not [line for line in server.log if "ulimit" in line]


def test_connections_without_end_end_no_stream(server: Server) -> None:
    worker = server.web_worker
    with ExitStack() as stack:
        viewer = stack.enter_context(Viewer(server.port))
        viewer.read(2)
        for _ in range(3 * LIMIT):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", server.port))
        viewer.read(len(viewer.parts) + 10)
        assert not viewer.has_ended
        assert server.web_worker == worker
    assert wait_until(lambda: _is_well(server), 20)


def test_more_viewers_than_fit_are_refused(server: Server) -> None:
    worker, said = server.web_worker, server.wait_for_line(r"files \(ulimit -n\): (\d+) may watch")
    most = int(said[1])
    with ExitStack() as stack:
        viewers = [stack.enter_context(Viewer(server.port)) for _ in range(most)]
        assert server.has_viewers(most)
        late = stack.enter_context(Viewer(server.port))
        while not late.status:
            late.read_some()
        assert (late.status, late.headers["retry-after"]) == (503, "5")
        assert server.get("/healthz").status == 200
        viewers[0].read(2)
        assert server.web_worker == worker


def test_server_without_a_descriptor_left_waits_and_goes_on(server: Server) -> None:
    worker = server.web_worker
    with Viewer(server.port) as viewer:
        viewer.read(2)
        in_use = max(map(int, os.listdir(f"/proc/{worker}/fd"))) + 1
        before = resource.prlimit(worker, resource.RLIMIT_NOFILE, (in_use, LIMIT))
        with ExitStack() as stack:  # some numbers below the limit may be free
            made = [stack.enter_context(socket.socket()) for _ in range(in_use)]
            for sock in made:
                sock.connect(("127.0.0.1", server.port))
            waiting = made[-1]
            server.wait_for_line("no more connections can be taken now: Too many open files; new ones wait")
            viewer.read(len(viewer.parts) + 10)
            resource.prlimit(worker, resource.RLIMIT_NOFILE, before)
            waiting.settimeout(10)
            waiting.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert waiting.recv(12) == b"HTTP/1.1 200"
    assert server.web_worker == worker


def _is_well(server: Server) -> bool:
    try:
        return server.get("/healthz", timeout_s=2).status == 200
    except OSError:
        return False


def test_server_that_could_open_next_to_nothing_does_not_start() -> None:
    done = run_command("run", "--port", "0", *SMALL_DEMO, *NO_DETECTOR, command=_limited(64, 128))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "may open 128 files (ulimit -n), expected" in done.stderr


def test_work_waits_for_another_thread_where_none_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with PatientPool(4) as pool:
        pool.submit(lambda: None).result(10)
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            done = [pool.submit(pow, 2, number) for number in range(8)]
            assert [future.result(10) for future in done] == [2**number for number in range(8)]
