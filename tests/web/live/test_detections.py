"""Detections as they are found, over WebSockets and as server-sent events."""

from __future__ import annotations

import itertools
import json
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPResponse
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pytest

from stream_server.accounts.grants import Lease
from stream_server.config import Config
from stream_server.engine import Engine
from stream_server.media.jpeg import read_header
from stream_server.web.live import detections
from stream_server.web.transport.event_stream import EventStream
from tests.support.leaks import wait_until
from tests.support.server import ONE_WORKER, Server, settings
from tests.support.websockets import Client

if TYPE_CHECKING:
    from playwright.sync_api import Page

MAX_WEBSOCKETS = 3
DEMO = "cameras.demo={source: 'demo:', width: 1280, height: 720, fps: 10}"
BLIND = "cameras.blind={source: 'demo:', width: 320, height: 180, detect: {enabled: false}}"
SLEEPY = "cameras.sleepy={source: 'demo:', width: 320, height: 180, fps: 1, on_demand: true}"
LISTEN = """
(path) => new Promise((resolve, reject) => {
  const events = new EventSource(path);
  events.addEventListener("detections", (event) => { events.close(); resolve(JSON.parse(event.data)); });
  events.onerror = reject;
})
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A camera that is analysed, one that is not, and one that is if somebody wants it."""
    limits = f"server.max_websockets={MAX_WEBSOCKETS}", "server.threads=2"
    with Server(*settings(DEMO, BLIND, SLEEPY, *limits), *ONE_WORKER) as server:
        server.wait_for_camera(lambda info: "cat" in info["objects"], 30)
        yield server


def ws(server: Server, camera: str = "demo", query: str = "", **more: Any) -> Client:
    return Client.connect(server.port, path=f"/api/v1/cameras/{camera}/ws{query}", **more)


class Events:
    """A reader of a camera's events."""

    def __init__(self, port: int, camera: str = "demo") -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=10)
        self._connection.request("GET", f"/api/v1/cameras/{camera}/events")
        self.answer: HTTPResponse = self._connection.getresponse()

    def __enter__(self) -> Events:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.answer.close()
        self._connection.close()

    def next(self) -> dict[str, str]:
        """Return the fields of the next event, comments passed over; empty at the end."""
        fields: dict[str, str] = {}
        while line := self.answer.readline().decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if name and not line.startswith(":"):
                fields[name] = value
            elif "data" in fields:
                break
        return fields


def test_each_analysed_frame_is_told_once_and_in_order(server: Server) -> None:
    with ws(server, "sleepy") as client:  # one a second: time enough to tell one twice
        numbers = [client.text()["sequence"] for _ in range(3)]
    assert numbers == sorted(set(numbers))


def test_all_that_is_found_is_told(server: Server) -> None:
    with ws(server) as client:
        found = [client.text() for _ in range(2)]
    assert found[0].keys() == server.get("/api/v1/cameras/demo/detections").json.keys()
    cat = next(thing for thing in found[-1]["detections"] if thing["label"] == "cat")
    assert cat["track_id"] is not None
    assert cat["box"]["x_min"] == pytest.approx(1280 * cat["box_relative"]["x_min"], abs=0.1)
    assert 0 < cat["box_relative"]["y_min"] < cat["box_relative"]["y_max"] <= 1


@pytest.mark.parametrize(
    ("query", "size_wh"),
    [
        ("", None),
        ("?jpeg=0&width=320", None),
        ("?jpeg=1", (1280, 720)),
        ("?jpeg=true&width=320&quality=50", (320, 180)),
    ],
)
def test_frame_follows_its_detections_if_asked_for(
    server: Server, query: str, size_wh: tuple[int, int] | None
) -> None:
    with ws(server, query=query) as client:
        for _ in range(2):
            assert client.text()["width"] == 1280
            if size_wh:
                assert read_header(client.binary()).size_wh == size_wh


def test_slow_reader_skips_to_the_newest(server: Server) -> None:
    with ws(server, query="?jpeg=1&quality=100", receive_bytes=4096) as client:
        first: int = client.text()["sequence"]
        client.binary()
        assert wait_until(lambda: _sequence(server) > first + 30)
        numbers = []
        for _ in range(4):
            numbers.append(client.text()["sequence"])
            client.binary()
    gaps = [b - a for a, b in itertools.pairwise(numbers)]
    assert max(gaps) >= 10, numbers


def _sequence(server: Server) -> int:
    number: int = server.get("/api/v1/cameras/demo/detections").json["sequence"]
    return number


@pytest.mark.parametrize("how", ["ws", "events"])
def test_who_listens_opens_a_camera_on_demand(server: Server, how: str) -> None:
    if how == "ws":
        with ws(server, "sleepy") as client:
            assert client.text()["camera"] == "sleepy"
    else:
        with Events(server.port, "sleepy") as events:
            assert json.loads(events.next()["data"])["camera"] == "sleepy"


@pytest.mark.parametrize("end", ["ws", "events"])
@pytest.mark.parametrize(("camera", "query", "status"), [("blind", "", 409), ("none", "", 404)])
def test_camera_in_which_nothing_is_found_is_refused(
    server: Server, end: str, camera: str, query: str, status: int
) -> None:
    assert server.get(f"/api/v1/cameras/{camera}/{end}{query}").status == status


def test_wrong_asking_is_answered(server: Server) -> None:
    assert server.get("/api/v1/cameras/demo/ws").status == 400
    with ws(server, query="?jpeg=1&width=3") as client:
        assert client.status == 400
    for end in ("ws", "events"):
        answer = server.get(
            f"/api/v1/cameras/demo/{end}",
            {
                "Origin": "https://elsewhere.example", "Connection": "Upgrade", "Upgrade": "websocket",
                "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "x3JJHMbDL1EzLkh9GBhXDw==",
            } if end == "ws" else {"Origin": "https://elsewhere.example"},
        )  # fmt: skip
        assert answer.status == 403


def test_events_are_told_as_the_standard_says(server: Server) -> None:
    with Events(server.port) as events:
        assert events.answer.status == 200
        assert events.answer.headers["Content-Type"] == "text/event-stream"
        for _ in range(3):
            event = events.next()
            assert event["event"] == "detections"
            found = json.loads(event["data"])
            assert event["id"] == str(found["sequence"])
            assert found["detections"]
    head = server.get("/api/v1/cameras/demo/events", method="HEAD")
    assert (head.status, head.headers["content-type"]) == (200, "text/event-stream")


def test_one_too_many_is_refused_until_another_leaves(server: Server) -> None:
    with ExitStack() as stack:
        for _ in range(MAX_WEBSOCKETS):
            stack.enter_context(Events(server.port)).next()
        with Events(server.port) as refused:
            assert refused.answer.status == 503
            assert int(refused.answer.headers["Retry-After"]) > 0
        assert server.get("/healthz").status == 200

    def is_let_in() -> bool:
        with Events(server.port) as events:
            return events.answer.status == 200

    assert wait_until(is_let_in)


@pytest.mark.browser
def test_browser_hears_events(server: Server, page: Page) -> None:
    page.goto(server.url)
    found = page.evaluate(LISTEN, "/api/v1/cameras/demo/events")
    assert found["camera"] == "demo"


def test_end_of_the_server_ends_both() -> None:
    with Server(*settings(SLEEPY), *ONE_WORKER) as server, ExitStack() as stack:
        client, events = (
            stack.enter_context(ws(server, "sleepy")),
            stack.enter_context(Events(server.port, "sleepy")),
        )
        client.text()
        events.next()
        server.process.send_signal(signal.SIGTERM)
        assert client.wait_for_close() == (1001, "the server ends")
        while events.next():
            pass
        assert server.process.wait(30) == 0


@pytest.fixture
def engine() -> Iterator[Engine]:
    camera = {"source": "demo:", "width": 320, "height": 180, "detect": {"enabled": False}}
    with Engine(Config.load(None, cameras={"demo": camera})) as engine:
        yield engine


def test_reader_that_leaves_is_seen_to_at_once(engine: Engine) -> None:
    ours, theirs = socket.socketpair()
    with EventStream(ours) as opened:
        theirs.close()
        with pytest.raises(ConnectionAbortedError):
            detections._send_events(engine, engine.pipelines["demo"], opened, Lease())


def test_silence_is_filled_with_comments(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detections, "HEARTBEAT_S", 0.1)
    ours, theirs = socket.socketpair()
    lease = Lease()
    with theirs, EventStream(ours) as opened:
        thread = threading.Thread(
            target=detections._send_events,
            args=(engine, engine.pipelines["demo"], opened, lease),
            daemon=True,
        )
        thread.start()
        theirs.settimeout(5)
        assert theirs.recv(100).startswith(b":\n\n")
        assert theirs.recv(100).startswith(b":\n\n")
        lease.is_over = True
        thread.join(30)
        assert not thread.is_alive()
