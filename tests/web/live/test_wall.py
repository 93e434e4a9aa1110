"""Cameras over a WebSocket: who may watch, what comes, and what ends it."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import cv2
import numpy as np
import pytest
from werkzeug.serving import make_server
from wsproto import ConnectionType, WSConnection
from wsproto.events import BytesMessage, TextMessage

from stream_server.config import Config
from stream_server.engine import Engine
from stream_server.web.app import create_app
from stream_server.web.live import wall as wall_module
from stream_server.web.live.wall import WINDOW, Wall
from stream_server.web.transport import websocket as websocket_module
from stream_server.web.transport.websocket import CloseWith, WebSocket, WebSocketClosed
from tests.support.leaks import wait_until
from tests.support.patience import PATIENCE_S, soon
from tests.support.server import NO_DETECTOR, SMALL_DEMO, Server, settings
from tests.support.viewers import Viewer
from tests.support.websockets import Client

MAX_WEBSOCKETS = 3
ALLOWED = "https://home.example:8123"
SECOND = settings("cameras.second={source: 'demo:', width: 640, height: 360, fps: 10}")


pytestmark = pytest.mark.server(
    *SMALL_DEMO,
    *SECOND,
    *NO_DETECTOR,
    *settings(
        "server.threads=1",
        f"server.max_websockets={MAX_WEBSOCKETS}",
        f"server.embed_origins=[{ALLOWED!r}]",
    ),
)


def viewers(server: Server) -> list[int]:
    return [camera["viewers"] for camera in server.get("/api/v1/cameras").json["cameras"]]


# Who may open one.


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 101),
        ("http://127.0.0.1:{port}", 101),
        (ALLOWED, 101),
        ("http://127.0.0.1:1", 403),
        ("https://elsewhere.example", 403),
        ("null", 403),
    ],
)
def test_only_pages_of_this_and_the_configured_sites_may_watch(
    server: Server, origin: str | None, status: int
) -> None:
    headers = {} if origin is None else {"Origin": origin.format(port=server.port)}
    with Client.connect(server.port, headers) as client:
        assert client.status == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 400),
        ({"Connection": "Upgrade", "Upgrade": "websocket"}, 400),
        ({"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "12"}, 400),
    ],
)
def test_request_that_is_no_handshake_is_answered(
    server: Server, headers: dict[str, str], status: int
) -> None:
    assert server.get("/api/v1/wall", headers).status == status


def test_server_without_a_socket_to_give_says_so() -> None:
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "x3JJHMbDL1EzLkh9GBhXDw==",
    }
    with Engine(Config()) as engine, create_app(engine).test_client() as client:
        assert client.get("/api/v1/wall", headers=headers).status_code == 501


def test_one_too_many_is_refused_at_once_and_pages_answer(server: Server) -> None:
    with ExitStack() as stack:
        for _ in range(MAX_WEBSOCKETS):
            client = stack.enter_context(Client.connect(server.port))
            client.watch({"id": 1, "camera": "demo"})
            client.picture()
        with Client.connect(server.port) as refused:
            assert refused.status == 503
        for path in ("/healthz", "/", "/api/v1/cameras"):
            answer = server.get(path)
            assert answer.status == 200
        with Viewer(server.port) as viewer:
            viewer.read(2)
    assert wait_until(lambda: viewers(server) == [0, 0])
    with Client.connect(server.port) as client:
        assert client.status == 101


# What comes.


@pytest.mark.parametrize("cameras", [[], [{"id": 1, "camera": "demo"}]])
def test_only_what_was_asked_for_comes(server: Server, cameras: list[dict[str, object]]) -> None:
    with Client.connect(server.port) as client:
        assert client.is_quiet(0.3)
        client.watch(*cameras)
        assert client.is_quiet(0.3) == (not cameras)


def test_each_camera_comes_under_its_number_as_asked(server: Server) -> None:
    with Client.connect(server.port) as client:
        client.watch({"id": 7, "camera": "demo"}, {"id": 2**32 - 1, "camera": "second", "width": 160})
        pictures = {shown.id: shown for shown in (client.picture() for _ in range(6))}
    assert sorted(pictures) == [7, 2**32 - 1]
    widths = {id: _size(shown.jpeg)[0] for id, shown in pictures.items()}
    assert widths == {7: 320, 2**32 - 1: 160}
    assert all(abs(shown.timestamp - time.time()) < 5 for shown in pictures.values())


def _size(jpeg: bytes) -> tuple[int, int]:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image.shape[1], image.shape[0]


def test_camera_may_be_shown_twice(server: Server) -> None:
    with Client.connect(server.port) as client:
        client.watch(*({"id": id, "camera": "demo", "width": width} for id, width in ((1, 160), (2, 320))))
        assert {(shown.id, _size(shown.jpeg)[0]) for shown in (client.picture() for _ in range(6))} == {
            (1, 160),
            (2, 320),
        }


def test_rate_is_the_one_asked_for_also_where_others_ask_for_more(server: Server) -> None:
    with Client.connect(server.port) as client:
        client.watch({"id": 1, "camera": "demo", "fps": 2.5}, {"id": 2, "camera": "demo"})
        sequences: list[int] = []
        while len(sequences) < 4:
            shown = client.picture()
            sequences += [shown.sequence] if shown.id == 1 else []
    assert all(3 <= gap <= 6 for gap in np.diff(sequences[1:])), sequences


def test_how_fast_a_wall_shows_a_camera_is_told_in_the_state(server: Server) -> None:
    def fps() -> list[int]:
        state = server.get("/state").json["result"]["stream"]["clients_stat"]
        return [client["fps"] for client in state.values()]

    assert wait_until(lambda: not fps())  # whoever watched before has gone
    with Client.connect(server.port) as client:
        client.watch({"id": 1, "camera": "demo"})
        until = time.monotonic() + 5
        while max(rates := fps(), default=0) < 5 and time.monotonic() < until:
            client.picture()
    assert len(rates) == 1
    assert 5 <= rates[0] <= 11


def test_unanswered_pictures_stop_the_flow_and_then_the_newest_comes(server: Server) -> None:
    with Client.connect(server.port) as client:
        client.watch({"id": 1, "camera": "demo"})
        before = [client.picture(ack=False) for _ in range(WINDOW)]
        assert client.is_quiet(0.6)
        client.say(ack=1)
        after = client.picture(ack=False)
        assert after.sequence - before[-1].sequence >= 4  # 10 fps for 0.6 s: skipped, not queued
        assert client.is_quiet(0.3)


def test_slow_camera_does_not_stop_another(server: Server) -> None:
    with Client.connect(server.port) as client:
        client.watch({"id": 1, "camera": "demo"}, {"id": 2, "camera": "second"})
        counts = {1: 0, 2: 0}
        while counts[2] < 8:
            shown = client.picture(ack=False)
            counts[shown.id] += 1
            if shown.id == 2:
                client.say(ack=2)
        assert counts[1] == WINDOW


def test_cameras_change_while_the_rest_goes_on(server: Server) -> None:
    with Client.connect(server.port) as client:
        client.watch({"id": 1, "camera": "demo"})
        client.picture()
        assert viewers(server) == [1, 0]
        client.picture(ack=False)
        client.watch({"id": 1, "camera": "demo"}, {"id": 2, "camera": "second"})
        shown = [client.picture(ack=False) for _ in range(1 + WINDOW)]  # no third one of the first camera
        assert sorted(picture.id for picture in shown) == [1, 2, 2]
        assert viewers(server) == [1, 1]
        client.watch({"id": 2, "camera": "second"})
        assert wait_until(lambda: viewers(server) == [0, 1])
    assert wait_until(lambda: viewers(server) == [0, 0])


def test_camera_that_is_not_there_does_not_stop_another(server: Server) -> None:
    with Client.connect(server.port) as client:
        client.watch({"id": 1, "camera": "demo"}, {"id": 2, "camera": "nobody"})
        assert client.text() == {"ended": 2, "reason": "there is no camera 'nobody'"}
        assert client.picture().id == 1


def test_message_in_pieces_is_one_message(server: Server) -> None:
    text = json.dumps({"cameras": [{"id": 1, "camera": "demo"}]})
    with Client.connect(server.port) as client:
        client.send(TextMessage(text[:20], message_finished=False))
        client.send(TextMessage(text[20:]))
        client.picture()


# What ends it.


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        ("", 1008, "it is no JSON: "),
        ("[]", 1008, "got a list, expected a section of its own"),
        ('{"ack": "x"}', 1008, "ack: got 'x', expected a whole number"),
        ('{"cameras": [{"camera": "demo"}]}', 1008, "cameras.0.id: is missing"),
        (
            '{"cameras": [{"id": 1, "camera": "demo", "width": -1}]}',
            1008,
            "cameras.0.width: got -1, expected",
        ),
        ('{"cameras": [{"id": 1, "camera": "demo", "fps": 1e9}]}', 1008, "cameras.0.fps: got 1000000000.0"),
        (json.dumps({"cameras": [{"id": n, "camera": "demo"} for n in range(65)]}), 1008, "cameras: "),
        (b"\x00\xff", 1008, "it is no JSON: "),
        ("x" * (64 * 1024 + 1), 1009, "expected at most 65536 bytes"),
    ],
)
def test_what_cannot_be_given_ends_the_talk_with_the_reason(
    server: Server, message: str | bytes, code: int, reason: str
) -> None:
    with Client.connect(server.port) as client:
        client.send(TextMessage(message) if isinstance(message, str) else BytesMessage(message))
        got = client.wait_for_close()
    assert got[0] == code
    assert reason in got[1]


def test_reason_reaches_a_client_that_goes_on_talking(server: Server) -> None:
    with Client.connect(server.port) as client:
        more = b"".join(client.protocol.send(TextMessage('{"ack": 1}')) for _ in range(20_000))
        client.sock.sendall(client.protocol.send(TextMessage("rubbish")) + more)
        assert client.wait_for_close()[0] == 1008


def test_viewers_beyond_the_limit_are_refused_with_the_reason() -> None:
    with Server(*SMALL_DEMO, *NO_DETECTOR, *settings("server.max_viewers=1")) as server:
        with Viewer(server.port) as viewer:
            viewer.read(1)
            # Not sooner: a client that waits here answers no ping, and is silent where the machine is slow.
            with Client.connect(server.port) as client:
                client.watch({"id": 1, "camera": "demo"})
                code, reason = client.wait_for_close()
        assert code == 1013
        assert "server.max_viewers" in reason


def test_bytes_that_are_no_websocket_end_it(server: Server) -> None:
    with Client.connect(server.port) as client:
        client.sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert client.wait_for_close()[0] == 1002


@pytest.mark.parametrize("how", ["close", "reset"])
def test_client_that_leaves_is_forgotten_at_once(server: Server, how: str) -> None:
    with Client.connect(server.port) as client:
        client.watch({"id": 1, "camera": "demo"})
        client.picture()
        if how == "reset":
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert wait_until(lambda: viewers(server) == [0, 0])


def test_terminated_server_says_goodbye_and_waits_for_nobody() -> None:
    with Server(*SMALL_DEMO, *NO_DETECTOR) as server, ExitStack() as stack:
        polite, idle, mute, stuck = (
            stack.enter_context(Client.connect(server.port, receive_bytes=4096)) for _ in range(4)
        )
        for client in (polite, mute):
            client.watch({"id": 1, "camera": "demo"})
            client.picture(ack=False)
        stuck.watch(*({"id": id, "camera": "demo", "quality": 100} for id in range(60)))
        lines = len(server.log)
        with soon():
            server.process.send_signal(signal.SIGTERM)
            assert polite.wait_for_close() == (1001, "the server ends")
            assert idle.wait_for_close() == (1001, "the server ends")
            assert server.process.wait(PATIENCE_S) == 0
        assert server.is_gone()
        assert not [line for line in server.log[lines:] if "INFO" not in line]


# Deadlines, in a process whose clock hands can be moved.


@contextmanager
def a_wall(engine: Engine) -> Iterator[tuple[Client, Callable[[], BaseException]]]:
    """Yield a client of a wall that runs on a thread of its own, and what waits for how the wall ended."""
    ours, theirs = socket.socketpair()
    outcome: list[BaseException] = []
    with Client(theirs) as client:
        protocol = WSConnection(ConnectionType.SERVER)
        protocol.receive_data(ours.recv(4096))
        list(protocol.events())

        def talk() -> None:
            try:
                with WebSocket(ours, protocol) as opened, Wall(engine, opened, "") as shown:
                    opened.accept()
                    shown.run()
            except (WebSocketClosed, CloseWith) as exc:
                outcome.append(exc)

        thread = threading.Thread(target=talk, name="wall", daemon=True)
        thread.start()

        def ending() -> BaseException:
            thread.join(30)
            (how,) = outcome
            return how

        client.open()
        yield client, ending
    thread.join(30)


@pytest.fixture
def engine() -> Iterator[Engine]:
    camera = {"source": "demo:", "width": 320, "height": 180, "fps": 20, "detect": {"enabled": False}}
    with Engine(Config.load(None, cameras={"demo": camera})) as engine:
        yield engine


def test_client_that_reads_nothing_is_dropped(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_module, "SEND_TIMEOUT_S", 0.5)
    with a_wall(engine) as (client, ending):
        client.watch(*({"id": id, "camera": "demo", "quality": 100} for id in range(60)))
        assert "took nothing" in str(ending())
    assert engine.viewers == 0


def test_client_that_is_silent_is_asked_and_then_dropped(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket_module, "PING_AFTER_S", 0.3)
    monkeypatch.setattr(websocket_module, "SILENT_S", 1.0)
    with a_wall(engine) as (client, ending):
        assert client.is_quiet(2.0)  # it answers pings, so it stays
        assert engine.viewers == 0
        client.watch({"id": 1, "camera": "demo"})
        client.picture()
        client.answers_pings = False
        client.picture(ack=False)
        assert "silent" in str(ending())
    assert engine.viewers == 0


def test_client_that_shows_nothing_is_dropped(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wall_module, "ACK_TIMEOUT_S", 0.5)
    with a_wall(engine) as (client, ending):
        client.watch({"id": 1, "camera": "demo"})
        assert isinstance(ending(), CloseWith)
        assert "acknowledged" in str(ending())
    assert engine.viewers == 0


def test_picture_is_repeated_when_no_newer_one_comes(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wall_module, "REPEAT_S", 0.3)
    with a_wall(engine) as (client, _):
        client.watch({"id": 1, "camera": "demo", "fps": 0.01})
        first, again = client.picture(), client.picture()
        assert (first.sequence, first.jpeg) == (again.sequence, again.jpeg)


def test_end_of_a_camera_is_told_after_its_last_picture(engine: Engine) -> None:
    with a_wall(engine) as (client, _):
        client.watch({"id": 1, "camera": "demo"})
        client.picture()
        engine.pipelines["demo"].streams.end()
        while True:
            if client.is_text_next():
                assert client.text() == {"ended": 1}
                break
            client.picture()


def test_wall_works_under_werkzeug(
    engine: Engine, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    server = make_server("127.0.0.1", 0, create_app(engine), threaded=True)
    thread = threading.Thread(target=server.serve_forever, name="werkzeug", daemon=True)
    thread.start()
    try:
        with Client.connect(server.server_port) as client:
            client.watch({"id": 1, "camera": "demo"})
            client.picture()
        assert wait_until(lambda: engine.viewers == 0)
    finally:
        server.shutdown()
        server.server_close()
        thread.join(30)
    assert "Traceback" not in capfd.readouterr().err
    assert "Error" not in caplog.text
