"""The server as a process: how it starts, bears trouble, and ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import time
from contextlib import ExitStack, suppress
from functools import partial

import pytest

from detector.pool import DetectorPool
from stream_server.config import Config
from stream_server.engine import Engine
from stream_server.web.app import create_app
from tests.support.cameras.http import HTTPCamera
from tests.support.fakes import ScriptedDetector, load_scripted
from tests.support.leaks import wait_until
from tests.support.patience import PATIENCE_S
from tests.support.server import NO_DETECTOR, ONE_WORKER, SMALL_DEMO, Server, run_command, settings
from tests.support.sockets import held_connections, unsent_bytes
from tests.support.viewers import Viewer, read_all

MAX_VIEWERS = 20
FOREVER = 10**9
DROP_TIMEOUT_S = 15.0

pytestmark = pytest.mark.server(*SMALL_DEMO, *ONE_WORKER, *settings(f"server.max_viewers={MAX_VIEWERS}"))


# Start.


def test_url_is_printed_once_the_first_frame_is_up() -> None:
    with HTTPCamera() as camera:
        camera.freeze()
        with Server("--source", camera.url, *NO_DETECTOR, wait=False) as server:
            assert camera.wait_until(lambda: camera.connections == 1)
            assert not any(" at http" in line for line in server.log)
            camera.resume()
            server.wait_for_line(r"INFO +Watch at http://127\.0\.0\.1:\d+/$")


def test_camera_that_shows_nothing_does_not_keep_the_url_secret(unused_tcp_port: int) -> None:
    with Server("--source", f"http://127.0.0.1:{unused_tcp_port}/video", *NO_DETECTOR) as server:
        server.wait_for_line(r"WARNING camera camera: offline: .*; next try in \d s")
        server.wait_for_line(r"Serving at http://\S+/; no camera shows a picture yet")


@pytest.fixture
def unused_tcp_port() -> int:
    with HTTPCamera() as camera:
        return camera.port


def test_port_in_use_ends_the_start_with_one_line(server: Server) -> None:
    done = run_command("run", "--port", str(server.port), *SMALL_DEMO, *NO_DETECTOR)
    assert done.returncode == 2
    assert done.stderr == (
        f"stream-server: server.port: {server.port} is in use on 127.0.0.1; "
        "stop what listens there or choose another with --port\n"
    )


def test_address_of_another_machine_ends_the_start_with_one_line() -> None:
    done = run_command("run", "--host", "192.0.2.1", "--port", "0", *SMALL_DEMO, *NO_DETECTOR)
    assert done.returncode == 2
    assert done.stderr.startswith(
        "stream-server: server.host: got '192.0.2.1', expected an address of this machine"
    )
    assert done.stderr.count("\n") == 1


def test_all_viewers_share_one_connection_to_the_camera() -> None:
    with HTTPCamera() as camera, Server("--source", camera.url, *NO_DETECTOR) as server, ExitStack() as stack:
        queries = ("", "?overlay=none", "?width=32", "?fps=2")
        viewers = [
            stack.enter_context(Viewer(server.port, f"/cameras/camera/stream.mjpg{query}"))
            for query in queries
        ]
        read_all(viewers, 3)
        assert server.get("/cameras/camera/snapshot.jpg").status == 200
        assert camera.connections == 1


# Running.


def test_api_answers_while_all_viewers_watch_and_one_more_is_refused_at_once(server: Server) -> None:
    with ExitStack() as stack:
        viewers = [stack.enter_context(Viewer(server.port)) for _ in range(MAX_VIEWERS)]
        read_all(viewers, 2)
        refused = server.get("/cameras/demo/stream.mjpg")
        assert refused.status == 503
        assert refused.headers["retry-after"] == "5"
        assert refused.json["detail"] == (
            "20 viewers watch already, more are not allowed (server.max_viewers)"
        )
        for path in ("/healthz", "/api/v1/cameras", "/cameras/demo/snapshot.jpg", "/") * 5:
            answer = server.get(path)
            assert answer.status == 200, path
        read_all(viewers, len(viewers[0].parts) + 3)
    server.wait_for_camera(lambda info: info["viewers"] == 0)


def test_viewer_who_stops_reading_is_dropped_without_a_trace(server: Server) -> None:
    assert wait_until(lambda: held_connections(server.port) == 0)
    lines = len(server.log)
    with Viewer(server.port, "/cameras/demo/stream.mjpg?quality=100", receive_bytes=4096):
        server.wait_for_camera(lambda info: info["viewers"] == 1)
        server.wait_for_camera(lambda info: info["viewers"] == 0, DROP_TIMEOUT_S)
        assert wait_until(lambda: held_connections(server.port) == 0)
        new = server.log[lines:]
        assert len(new) <= 1, new
        assert not any("Traceback" in line for line in new)


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        (signal.SIGTTIN, "one web worker is all there can be: a second one would open every camera twice"),
        (signal.SIGUSR2, "restart the server for a new version; SIGHUP reads the configuration again"),
    ],
)
def test_signal_that_would_double_the_server_is_refused_with_the_reason(
    server: Server, number: int, answer: str
) -> None:
    worker, lines = server.web_worker, len(server.log)
    server.process.send_signal(number)
    server.wait_for_line(f"WARNING {answer}$", since=lines)
    assert server.web_worker == worker


def test_signals_without_a_meaning_are_survived(server: Server) -> None:
    worker = server.web_worker
    for number in (signal.SIGTTOU, signal.SIGWINCH, signal.SIGUSR1):
        server.process.send_signal(number)
    assert server.get("/healthz").status == 200
    assert server.web_worker == worker


def test_killed_web_worker_is_replaced_and_streams_go_on(server: Server) -> None:
    old, lines = server.web_worker, len(server.log)
    detectors = server.family() - {server.process.pid, old}
    os.kill(old, signal.SIGKILL)
    server.wait_for_line(r"Watch at ", since=lines)
    assert server.web_worker != old
    assert not detectors & server.family()
    with Viewer(server.port) as viewer:
        viewer.read(3)


# End.


@pytest.mark.parametrize(
    ("number", "group"),
    [
        pytest.param(signal.SIGTERM, False, id="SIGTERM"),
        pytest.param(signal.SIGTERM, True, id="SIGTERM to all processes"),
        pytest.param(signal.SIGINT, True, id="Ctrl-C"),
    ],
)
def test_server_with_fifty_viewers_ends_in_order(number: int, group: bool) -> None:
    with Server(*SMALL_DEMO) as server, ExitStack() as stack:
        server.wait_for_camera(lambda info: info["detection_fps"] > 0)
        assert len(server.family()) >= 3  # the arbiter, the web worker, detectors
        viewers = [stack.enter_context(Viewer(server.port)) for _ in range(49)]
        read_all(viewers, 2)
        viewers.append(stack.enter_context(_stuck(server)))  # in the middle of a part, as it reads on
        lines = len(server.log)
        (os.killpg if group else os.kill)(server.process.pid, number)
        read_all(viewers, FOREVER)
        assert all(viewer.parser.is_at_boundary and not viewer.was_reset for viewer in viewers)
        assert server.process.wait(PATIENCE_S) == 0
        assert server.is_gone()
        assert not [line for line in server.log[lines:] if "INFO" not in line]
    # That no shared memory is left is looked at after every test, see conftest.py.


def test_clients_who_take_or_send_nothing_hold_up_the_end_for_at_most_five_seconds() -> None:
    with Server(*SMALL_DEMO, *NO_DETECTOR) as server, ExitStack() as stack:
        stack.enter_context(_stuck(server))
        for _ in range(5):
            stack.enter_context(_half_a_request(server))
        assert server.stop()[0] == 0
        assert server.is_gone()


PATIENT = "from stream_server import cli, serve; serve.STOP_TIMEOUT_S = 600; cli.main()"
"""A server that gives its worker ten minutes to end."""


def test_second_sigterm_ends_a_server_whose_worker_hangs() -> None:
    with Server(*SMALL_DEMO, *NO_DETECTOR, command=(sys.executable, "-c", PATIENT)) as server:
        os.kill(server.web_worker, signal.SIGSTOP)
        server.process.send_signal(signal.SIGTERM)
        assert wait_until(lambda: not _has_sockets(server.process.pid))  # the first signal has arrived
        assert server.stop()[0] == 0
        assert server.is_gone()


def test_nothing_outlives_a_killed_arbiter() -> None:
    with Server(*SMALL_DEMO) as server, Viewer(server.port) as viewer, _half_a_request(server):
        server.wait_for_camera(lambda info: info["detection_fps"] > 0)
        viewer.read(2)
        server.process.kill()
        assert server.is_gone(), server.family()


def _stuck(server: Server) -> Viewer:
    """Return a viewer in whose stream the server is stuck, as it reads nothing."""
    viewer = Viewer(server.port, "/cameras/demo/stream.mjpg?quality=100", receive_bytes=4096)
    port = viewer.sock.getsockname()[1]
    looks = [(0.0, 0)]

    def is_full() -> bool:
        """Whether nothing was added for half a second, in which five frames come."""
        looks.append((time.monotonic(), unsent_bytes(server.port, port)))
        while looks[-1][0] - looks[0][0] > 0.5 and looks[-1][0] - looks[1][0] > 0.5:
            looks.pop(0)
        sizes = {size for _, size in looks}
        return len(sizes) == 1 and 0 not in sizes

    assert wait_until(is_full)
    return viewer


def _half_a_request(server: Server) -> socket.socket:
    """Return the connection of a client that the server still waits for."""
    sock = socket.create_connection(("127.0.0.1", server.port))
    sock.sendall(b"GET / HTTP/1.1\r\nHost:")
    return sock


def _has_sockets(pid: int) -> bool:
    with os.scandir(f"/proc/{pid}/fd") as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # closed meanwhile
                if os.readlink(entry.path).startswith("socket:"):
                    return True
    return False


# Without a detector that works.


def crash(model: object, *, threads: int = 1) -> ScriptedDetector:
    """Load no detector, for any model."""
    return load_scripted("crash")


def test_video_goes_on_while_every_detector_crashes(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = partial(DetectorPool, loader=crash)
    monkeypatch.setattr("stream_server.detection.workers.DetectorPool", pool)
    config = Config.load(
        None,
        cameras={"demo": {"source": "demo:", "width": 320, "height": 180}},
        detector={"workers": 1},
    )
    with Engine(config) as engine, create_app(engine).test_client() as client:
        assert wait_until(lambda: "SIGSEGV" in client.get("/readyz").text)
        assert client.get("/cameras/demo/snapshot.jpg").status_code == 200
        assert client.get("/healthz").status_code == 200
        answer = client.get("/readyz")
        assert answer.status_code == 503
        (trouble,) = answer.json["troubles"]
        assert re.fullmatch(r"detector: detector worker 1 \(pid \d+\) was ended by SIGSEGV", trouble)
