"""A camera: its states, what it survives, and what it spares the camera, the log and the password."""

from __future__ import annotations

import itertools
import logging
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote, quote_plus

import cv2
import numpy as np
import pytest

from stream_server.base.clock import Clock
from stream_server.base.redaction import RedactingFormatter
from stream_server.cameras.camera import Camera, CameraState
from stream_server.cameras.capture import Capture
from stream_server.config import CameraConfig, Config, SourceConfig
from stream_server.engine import Engine
from stream_server.errors import AuthenticationFailed, SourceError
from stream_server.media.frames import EncodedFrame, Frame, Picture
from stream_server.sources import open_source
from stream_server.sources.base import Source
from stream_server.sources.webcam import WebcamSource
from stream_server.streaming.streams import Variant, Viewer
from stream_server.web.app import create_app
from tests.support.cameras.http import HTTPCamera
from tests.support.cameras.videofile import number_of, write_numbered
from tests.support.cameras.webcam import Bench, FakeWebcam, jpeg_of, sees_fake_webcams
from tests.support.clocks import FakeClock
from tests.support.leaks import wait_until
from tests.support.patience import soon
from tests.support.relay import Relay
from tests.support.sources import ScriptedSource, StuckSource, plain, raw_picture

WITHIN_S = 20.0
REFUSED = SourceError("connection refused")
OpenSource = Callable[[SourceConfig], Source]


class Watched:
    """A camera with its history: each state it had and each frame it published."""

    def __init__(self, open_source: OpenSource, clock: Clock | None, config: CameraConfig) -> None:
        self.states: list[CameraState] = []
        self.reasons: list[str] = []
        self.frames: list[Frame] = []
        self._changed = threading.Condition()
        self.camera = Camera("front", config, open_source, clock=clock, on_change=self._on_change)

    def _on_change(self) -> None:
        with self._changed:
            if self.states[-1:] != [self.camera.state]:
                self.states.append(self.camera.state)
            self.reasons.append(self.camera.reason)
            frame = self.camera.frames.item
            if frame and self.frames[-1:] != [frame]:
                self.frames.append(frame)
            self._changed.notify_all()

    def wait_for(self, fact: Callable[[], bool], within_s: float = WITHIN_S) -> None:
        """Wait for what a change of state or a frame brings."""
        with self._changed:
            assert self._changed.wait_for(fact, within_s), (self.states, self.reasons[-3:])

    def wait_for_state(self, state: CameraState, within_s: float = WITHIN_S) -> None:
        self.wait_for(lambda: self.camera.state == state, within_s)

    def wait_for_frames(self, count: int, within_s: float = WITHIN_S) -> list[Frame]:
        self.wait_for(lambda: len(self.frames) >= count, within_s)
        return self.frames[:count]


def camera_config(**config: object) -> CameraConfig:
    return CameraConfig.model_validate({"source": "demo:", **config})


@contextmanager
def running(
    open_source: OpenSource = open_source,
    clock: Clock | None = None,
    *,
    wanted: bool = True,
    **config: object,
) -> Iterator[Watched]:
    watched = Watched(open_source, clock, camera_config(**config))
    if wanted:
        watched.camera.acquire()
    watched.camera.start()
    try:
        yield watched
    finally:
        watched.camera.close()


def becomes(fact: Callable[[], bool], within_s: float = WITHIN_S) -> None:
    assert wait_until(fact, within_s)


def capture_threads() -> int:
    return sum(thread.name == "capture-front" for thread in threading.enumerate())


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


# Frames and figures.


def test_a_camera_that_was_not_started_is_idle_and_empty() -> None:
    camera = Camera("front", camera_config(), lambda _: ScriptedSource())
    assert (camera.state, camera.reason, camera.frames.item) == ("idle", "", None)
    assert (camera.fps, camera.captured, camera.age_s, camera.is_online) == (0.0, 0, None, False)
    camera.check()
    camera.reconfigure(camera_config())
    camera.close()


def test_pictures_become_numbered_frames() -> None:
    source = ScriptedSource()
    with running(lambda _: source) as watched:
        for count in (1, 2, 3):
            source.emit(raw_picture(plain(10 * count)))
            watched.wait_for_frames(count)
        assert [frame.sequence for frame in watched.frames] == [1, 2, 3]
        assert [int(frame.image[0, 0, 0]) for frame in watched.frames] == [10, 20, 30]
        assert {frame.camera for frame in watched.frames} == {"front"}
        assert watched.states == ["connecting", "online"]
        assert watched.camera.description == "scripted"


def test_the_frame_rate_and_age_are_measured(clock: FakeClock) -> None:
    source = ScriptedSource()
    with running(lambda _: source, clock) as watched:
        for count in range(1, 22):
            clock.spend(0.1)
            source.emit(raw_picture(plain(0)))
            watched.wait_for_frames(count)
        assert watched.camera.fps == pytest.approx(10)
        assert watched.camera.age_s == 0.0
        clock.spend(5)
        assert watched.camera.fps == 0.0
        assert watched.camera.age_s == pytest.approx(5)


def test_numbers_go_on_after_the_camera_was_lost() -> None:
    with HTTPCamera(stop_after=3, fps=0) as http, running(source=http.url) as watched:
        frames = watched.wait_for_frames(5)
        assert http.connections == 2
    assert [frame.sequence for frame in frames] == [1, 2, 3, 4, 5]


def test_every_frame_has_its_true_size_when_the_camera_changes_it() -> None:
    sizes = {0: (640, 480), 10: (1280, 720), 20: (320, 240)}
    with HTTPCamera(sizes=sizes, fps=100, stop_after=30) as http, running(source=http.url) as watched:
        frames = watched.wait_for_frames(30)
    assert [frame.size_wh for frame in frames] == [sizes[number // 10 * 10] for number in range(30)]
    assert [frame.sequence for frame in frames] == list(range(1, 31))  # a gap of no frame at all
    for frame in frames:
        assert frame.image.shape == (frame.size_wh[1], frame.size_wh[0], 3)


def test_an_unknown_size_does_not_replace_a_known_one() -> None:
    source = ScriptedSource()
    with running(lambda _: source) as watched:
        source.emit(raw_picture(plain(0)), REFUSED)
        watched.wait_for_state("offline")
        becomes(lambda: source.opened == 2)
        becomes(lambda: len(source.wanted) > 2)
        assert source.size_wh == (0, 0)
        assert watched.camera.size_wh == (320, 240)


def test_a_frame_from_before_nobody_looked_is_not_shown_later() -> None:
    source = ScriptedSource()
    with running(lambda _: source, wanted=False) as watched:
        source.emit(raw_picture(plain(0)), None)
        watched.wait_for_frames(1)
        becomes(lambda: watched.camera.frames.item is None)
        assert watched.camera.state == "online"


def test_a_snapshot_that_stays_the_same_is_shown_to_who_comes_later() -> None:
    with (
        HTTPCamera("snapshot") as http,
        running(source=http.url, fps=50, wanted=False) as watched,
    ):
        becomes(lambda: len(http.requests) > 3 and watched.camera.frames.item is None)
        watched.camera.acquire()
        watched.wait_for(lambda: watched.camera.frames.item is not None)


def test_a_camera_that_is_asked_every_ten_seconds_only_is_neither_hanging_nor_stalled() -> None:
    with (
        HTTPCamera("snapshot") as http,
        running(source=http.url, fps=0.1, read_timeout_s=1) as watched,
    ):
        watched.wait_for_frames(1)
        source_asked_at = time.monotonic()
        while time.monotonic() - source_asked_at < 3:
            watched.camera.check()
            assert watched.camera.is_online
            threading.Event().wait(0.1)
        assert http.connections == 1


def test_pictures_are_wanted_until_a_while_after_the_last_release(clock: FakeClock) -> None:
    source = ScriptedSource()
    with running(lambda _: source, clock, wanted=False) as watched:
        camera = watched.camera
        assert not camera.is_wanted
        camera.acquire()
        camera.acquire()
        clock.spend(3600)
        camera.release()
        clock.spend(3600)
        assert camera.is_wanted
        camera.release()
        clock.spend(9.9)
        assert camera.is_wanted
        clock.spend(0.2)
        assert not camera.is_wanted


# T1: a stream that freezes.


def test_a_camera_whose_pictures_stay_away_is_stalled_until_the_next(clock: FakeClock) -> None:
    source = ScriptedSource(poll_s=None)
    with running(lambda _: source, clock) as watched:
        source.emit(raw_picture(plain(0)))
        watched.wait_for_state("online")
        clock.spend(8.9)
        watched.camera.check()
        assert watched.camera.state == "online"
        clock.spend(0.6)
        watched.camera.check()
        assert (watched.camera.state, watched.camera.reason) == ("stalled", "no picture for 10 s")
        source.emit(raw_picture(plain(0)))
        watched.wait_for_state("online")
        assert watched.states == ["connecting", "online", "stalled", "online"]


def test_a_source_that_gives_up_waiting_is_stalled_and_offline_only_when_it_cannot_return(
    clock: FakeClock,
) -> None:
    source = ScriptedSource(poll_s=None)
    with running(lambda _: source, clock) as watched:
        source.emit(raw_picture(plain(0)))
        watched.wait_for_state("online")
        clock.spend(10)
        source.emit(SourceError("no picture for 10 s"))
        watched.wait_for_state("stalled")
        becomes(lambda: source.opened == 2)
        assert watched.camera.state == "stalled"
        source.emit(REFUSED)
        watched.wait_for_state("offline")


def test_a_lost_connection_is_offline_at_once(clock: FakeClock) -> None:
    source = ScriptedSource()
    with running(lambda _: source, clock) as watched:
        source.emit(raw_picture(plain(0)), REFUSED)
        watched.wait_for_state("offline")
        assert watched.camera.reason == "connection refused"
        assert "stalled" not in watched.states


def test_a_frozen_http_stream_is_stalled_in_time_and_returns() -> None:
    with HTTPCamera() as http, Relay(http.port) as relay:
        with running(source=relay.url(http.url), read_timeout_s=1, connect_timeout_s=1) as watched:
            watched.wait_for_frames(5)
            relay.freeze()
            watched.wait_for_state("stalled")
            assert (watched.camera.age_s or 9) <= 1.5
            watched.wait_for_state("offline")
            relay.pass_through()
            watched.wait_for_state("online", within_s=5)
        assert watched.states == ["connecting", "online", "stalled", "offline", "online"]


Break = Callable[[Relay], None]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(lambda relay: relay.reset(), id="reset"),
        pytest.param(lambda relay: relay.drop(), id="drop"),
        pytest.param(lambda relay: relay.truncate(1000), id="truncate"),
        pytest.param(lambda relay: (relay.half_open(), relay.reset()), id="half-open"),
        pytest.param(lambda relay: relay.slow(200), id="slow"),
    ],
)
def test_a_camera_behind_a_broken_network_is_lost_and_returns(fault: Break) -> None:
    with (
        HTTPCamera() as http,
        Relay(http.port) as relay,
        running(source=relay.url(http.url), read_timeout_s=1, connect_timeout_s=1) as watched,
    ):
        watched.wait_for_frames(2)
        fault(relay)
        watched.wait_for(lambda: not watched.camera.is_online)
        relay.pass_through()
        watched.wait_for_state("online")
        assert watched.camera.reason == ""


# T2: a camera that never answers, and sources that never return.


@contextmanager
def blackhole() -> Iterator[int]:
    """Yield a port whose host never answers: its queue of connections is full, so SYNs are dropped."""
    with socket.socket() as listening, ExitStack() as filled:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            waiting = filled.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


@contextmanager
def silent_camera() -> Iterator[int]:
    """Yield a port that takes connections and says nothing."""
    with HTTPCamera(silent=True) as http:
        yield http.port


@pytest.mark.parametrize("camera", [blackhole, silent_camera])
def test_a_camera_that_does_not_answer_is_given_up_in_time_and_tried_again(
    camera: Callable[[], AbstractContextManager[int]],
) -> None:
    with camera() as port:
        tries: list[float] = []

        def open_counted(config: SourceConfig) -> Source:
            tries.append(time.monotonic())
            return open_source(config)

        address = f"http://127.0.0.1:{port}/video"
        with running(open_counted, source=address, connect_timeout_s=1) as watched:
            watched.wait_for_state("offline")
            assert time.monotonic() - tries[0] > 0.9
            assert "within 1 s" in watched.camera.reason or "timed out" in watched.camera.reason
            becomes(lambda: len(tries) >= 2)


class StuckSources:
    """Opens sources that all hang at the same place until they are freed, those opened later too."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._is_free = False
        self.opened: list[StuckSource] = []

    def __call__(self, config: SourceConfig) -> Source:
        source = StuckSource(self._where)
        self.opened.append(source)
        if self._is_free:
            source.free.set()
        return source

    def free(self) -> None:
        self._is_free = True
        for source in self.opened:
            source.free.set()


@pytest.mark.parametrize("where", ["open", "read"])
def test_a_source_that_never_returns_is_abandoned_but_threads_do_not_pile_up(
    where: str, clock: FakeClock
) -> None:
    sources = StuckSources(where)
    with running(sources, clock) as watched:
        try:
            for cycle in range(20):
                becomes(lambda cycle=cycle: len(sources.opened) > min(cycle, 1))  # type: ignore[misc]
                assert sources.opened[-1].stuck.wait(WITHIN_S)
                clock.spend(11.6)
                watched.camera.check()
                assert (watched.camera.state, watched.camera.reason) == (
                    "offline",
                    "the source does not answer",
                )
            assert (len(sources.opened), capture_threads()) == (2, 2)
            sources.opened[0].free.set()
            becomes(lambda: capture_threads() == 1)
            watched.camera.check()
            becomes(lambda: len(sources.opened) == 3)
        finally:
            sources.free()


def test_what_an_abandoned_source_gives_later_is_ignored(clock: FakeClock) -> None:
    sources = StuckSources("read")
    with running(sources, clock) as watched:
        try:
            for _ in range(2):
                becomes(lambda: bool(sources.opened) and sources.opened[-1].stuck.wait(0.1))
                clock.spend(11.6)
                watched.camera.check()
                becomes(lambda: len(sources.opened) == 2)
            sources.free()
            becomes(lambda: capture_threads() == 0)
            assert (watched.camera.state, watched.frames) == ("offline", [])
        finally:
            sources.free()


def test_a_source_left_behind_at_the_end_is_named_in_the_log(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    sources = StuckSources("read")
    with running(sources, clock) as watched:
        becomes(lambda: bool(sources.opened) and sources.opened[0].stuck.is_set())
        watched.camera.close(timeout_s=0.05)
        assert "camera front: its source did not close within 0.1 s" in caplog.text
        sources.free()


# T7: a wrong password.


@pytest.mark.parametrize("authentication", ["basic", "digest"])
def test_a_wrong_password_does_not_hammer_the_camera_and_the_right_one_works_at_once(
    authentication: str, clock: FakeClock
) -> None:
    with (
        HTTPCamera(authentication=authentication) as http,  # type: ignore[arg-type]
        running(clock=clock, source=http.url, username="admin", password="wr0ng-pass") as watched,
    ):
        watched.wait_for_state("auth_failed")
        clock.advance(600, sleepers=1)
        clock.wait_for_sleepers(1)
        assert 1 <= http.auth_tries <= 3
        assert watched.camera.state == "auth_failed"
        with soon():
            right = camera_config(source=http.url, username="admin", password="secret")
            watched.camera.reconfigure(right)
            watched.wait_for_state("online")


def test_viewers_who_come_and_leave_do_not_try_a_wrong_password_again(clock: FakeClock) -> None:
    tries = itertools.count()

    class Locked(ScriptedSource):
        def open(self) -> None:
            next(tries)
            raise AuthenticationFailed("the camera refuses the user name or password")

    with running(lambda _: Locked(), clock, wanted=False, on_demand=True) as watched:
        for _ in range(30):
            watched.camera.acquire()
            clock.wait_for_sleepers(1)
            clock.spend(5)
            watched.camera.release()
            clock.spend(15)
            watched.camera.check()
        assert watched.camera.state == "auth_failed"
        assert next(tries) == 1
        clock.wake_next()
        watched.wait_for_state("idle")


# T8: a camera that is away for long.


class LogLines(logging.Handler):
    """Keeps each line that is logged about a camera, with the time on the clock of the test."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock
        self.at: dict[str, list[float]] = defaultdict(list)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        self.texts.append(text)
        self.at[text.split(":")[0]].append(self._clock.now())


@pytest.fixture
def lines(clock: FakeClock) -> Iterator[LogLines]:
    handler, logger = LogLines(clock), logging.getLogger("stream_server")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


def test_fifty_cameras_away_for_ten_minutes_are_tried_and_logged_with_patience(
    clock: FakeClock, lines: LogLines
) -> None:
    tries: dict[str, list[float]] = defaultdict(list)

    class Away(ScriptedSource):
        def __init__(self, name: str) -> None:
            super().__init__()
            self._name = name

        def open(self) -> None:
            tries[self._name].append(clock.now())
            raise REFUSED

    names = [f"camera-{number}" for number in range(50)]
    cameras = [
        Camera(name, camera_config(), lambda _, name=name: Away(name), clock=clock)  # type: ignore[misc]
        for name in names
    ]
    for camera in cameras:
        camera.start()
    clock.advance(600, sleepers=50)
    for camera in cameras:
        camera.stop()
    for camera in cameras:
        camera.join(WITHIN_S)

    for name in names:
        pauses = [later - sooner for sooner, later in itertools.pairwise(tries[name])]
        assert len(pauses) >= 12
        for pause, expected in zip(pauses, [1, 2, 4, 8, 16, 32, *[60] * 20], strict=False):
            assert 0.8 * expected <= pause <= 1.2 * expected + 1e-6
        logged = lines.at[f"camera {name}"]
        assert all(sum(start <= at < start + 60 for at in logged) <= 2 for start in logged)
        assert len(logged) >= 5  # and it is not silent either
    assert any("times); next try in " in text for text in lines.texts)


def test_each_change_of_state_is_logged_once(clock: FakeClock, lines: LogLines) -> None:
    source = ScriptedSource()
    with running(lambda _: source, clock) as watched:
        source.emit(*[raw_picture(plain(0))] * 3)
        watched.wait_for_frames(3)
        source.emit(REFUSED)
        watched.wait_for_state("offline")
        clock.wait_for_sleepers(1)
    assert lines.texts == [
        "camera front: connecting",
        "camera front: online",
        f"camera front: offline: connection refused; next try in {1:.0f} s",
    ]


# T9: video files.


def test_a_file_to_be_played_once_gives_each_picture_and_ends(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "once.mp4", 25)
    with running(source=str(path), at_end="stop", realtime=False) as watched:
        watched.wait_for_state("ended")
        assert watched.camera.captured == 25
        assert [number_of(frame.image) for frame in watched.frames] == list(range(25))
        assert watched.camera.reason.endswith("has ended")


def test_a_file_to_be_looped_begins_again(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "loop.mp4", 5, fps=100)
    with running(source=str(path), at_end="loop") as watched:
        frames = watched.wait_for_frames(15)
        assert [number_of(frame.image) for frame in frames] == [0, 1, 2, 3, 4] * 3
        assert watched.states == ["connecting", "online"]


def test_a_file_to_be_held_keeps_its_last_picture(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "hold.mp4", 5)
    with running(source=str(path), at_end="hold", realtime=False) as watched:
        frames = watched.wait_for_frames(6)
        assert [number_of(frame.image) for frame in frames] == [0, 1, 2, 3, 4, 4]
        assert watched.camera.is_online


# T11: a webcam that is unplugged.


@sees_fake_webcams
def test_an_unplugged_webcam_returns_under_another_number_and_is_never_mistaken(tmp_path: Path) -> None:
    bench, clock = Bench(tmp_path), FakeClock()
    logging.getLogger().addHandler(logging.NullHandler())  # in the child process nothing else takes the log
    ours = FakeWebcam(bench, serial="ours", frames=[jpeg_of(200)]).plug(0)
    with running(lambda config: WebcamSource(config, bench.webcams), clock, source="0") as watched:
        watched.wait_for_state("online")
        ours.unplug()
        watched.wait_for_state("offline")
        FakeWebcam(bench, serial="other", port="1-7", frames=[jpeg_of(40)]).plug(0)
        clock.advance(600, sleepers=1)
        clock.wait_for_sleepers(1)
        assert watched.camera.reason == "HD Webcam is unplugged"
        ours.plug(2, port="2-4")
        plugged_at = clock.now()
        clock.wake_next()
        watched.wait_for_state("online")
        assert clock.now() - plugged_at <= 5
        assert {int(frame.image[0, 0, 0]) // 10 for frame in watched.frames} == {20}


# On demand.


def test_an_on_demand_camera_is_open_only_while_someone_watches(clock: FakeClock) -> None:
    with (
        HTTPCamera() as http,
        running(clock=clock, wanted=False, source=http.url, on_demand=True, read_timeout_s=60) as watched,
    ):
        camera = watched.camera
        camera.check()
        assert (camera.state, http.connections) == ("idle", 0)
        camera.acquire()
        watched.wait_for_state("online")
        camera.release()
        clock.spend(9.9)
        camera.check()
        assert (camera.is_online, http.open_connections) == (True, 1)
        clock.spend(0.2)
        camera.check()
        assert http.wait_until(lambda: http.open_connections == 0)
        watched.wait_for_state("idle")
        assert camera.frames.item is None
        camera.acquire()
        watched.wait_for_state("online")
        assert http.connections == 2


def test_a_silent_on_demand_camera_is_closed_without_waiting_for_its_next_picture(clock: FakeClock) -> None:
    with (
        HTTPCamera() as http,
        running(clock=clock, source=http.url, on_demand=True, read_timeout_s=60) as watched,
    ):
        watched.wait_for_state("online")
        http.freeze()
        watched.camera.release()
        clock.spend(10.1)
        watched.camera.check()
        assert http.wait_until(lambda: http.open_connections == 0)
        watched.wait_for_state("idle")


@pytest.mark.parametrize("state", ["offline", "ended"])
def test_a_viewer_who_comes_back_to_a_lost_on_demand_camera_does_not_wait_for_the_next_try(
    state: CameraState, clock: FakeClock, tmp_path: Path
) -> None:
    path = tmp_path / "once.mp4"
    if state == "ended":
        write_numbered(path, 3)
    with running(clock=clock, source=str(path), at_end="stop", realtime=False, on_demand=True) as watched:
        watched.wait_for_state(state)
        watched.camera.release()
        clock.spend(10.1)
        watched.camera.check()
        watched.wait_for_state("idle")
        write_numbered(path, 3)
        watched.camera.acquire()
        watched.wait_for_state("ended")
        assert watched.frames


def test_a_viewer_who_comes_just_before_the_camera_is_idle_is_not_forgotten(clock: FakeClock) -> None:
    class Sought(Camera):
        """Someone comes after the capture thread saw that nobody wants the source."""

        def idle(self, capture: Capture) -> bool:
            self.acquire()
            return super().idle(capture)

    source = ScriptedSource()
    camera = Sought("front", camera_config(on_demand=True), lambda _: source, clock=clock)
    camera.acquire()
    camera.start()
    source.emit(raw_picture(plain(0)))
    becomes(lambda: camera.is_online)
    camera.release()
    clock.spend(10.1)
    becomes(lambda: source.opened == 2)
    camera.close()


def test_viewers_who_come_while_the_camera_goes_idle_are_not_forgotten(clock: FakeClock) -> None:
    class Flood(ScriptedSource):
        def read(self, wanted: bool = True) -> Picture | None:
            return picture

    picture = raw_picture(plain(0))
    with running(lambda _: Flood(), clock, wanted=False, on_demand=True) as watched:
        for _ in range(200):
            watched.camera.acquire()
            watched.wait_for_state("online")
            watched.camera.release()
            clock.spend(10.1)  # the capture thread notices by itself, any time from now on


def test_an_on_demand_camera_is_not_opened_by_a_new_configuration(clock: FakeClock) -> None:
    source = ScriptedSource()
    with running(lambda _: source, clock, wanted=False, on_demand=True) as watched:
        watched.camera.reconfigure(camera_config(on_demand=True))
        watched.wait_for_state("idle")
        assert source.opened == 0
        becomes(lambda: capture_threads() == 1)
        watched.camera.reconfigure(camera_config(on_demand=False))
        becomes(lambda: source.opened == 1)


# A new configuration.


def test_a_new_configuration_ends_a_pause(clock: FakeClock) -> None:
    sources = iter([ScriptedSource(), ScriptedSource()])
    first, second = ScriptedSource(), ScriptedSource()
    sources = iter([first, second])
    first.emit(REFUSED)
    with running(lambda _: next(sources), clock) as watched:
        watched.wait_for_state("offline")
        clock.wait_for_sleepers(1)
        watched.camera.reconfigure(camera_config())
        becomes(lambda: second.opened == 1, 2)
        assert watched.camera.state == "connecting"


def test_a_new_configuration_does_not_wait_for_a_source_that_hangs(clock: FakeClock) -> None:
    stuck, second = StuckSource("open"), ScriptedSource()
    sources = iter([stuck, second])
    with running(lambda _: next(sources), clock) as watched:
        assert stuck.stuck.wait(WITHIN_S)
        watched.camera.reconfigure(camera_config())
        becomes(lambda: second.opened == 1, 2)
        second.emit(raw_picture(plain(0)))
        watched.wait_for_state("online")
        stuck.free.set()


def test_a_device_is_closed_before_the_new_configuration_opens_it() -> None:
    in_use = threading.Lock()

    class Device(ScriptedSource):
        def open(self) -> None:
            if not in_use.acquire(blocking=False):
                raise SourceError("device busy")
            self.emit(raw_picture(plain(0)))
            super().open()

        def close(self) -> None:
            if self.opened:
                self.opened = 0
                in_use.release()

    with running(lambda _: Device(), read_timeout_s=10) as watched:
        for count in range(1, 6):
            watched.wait_for_state("online")
            watched.wait_for_frames(count)
            watched.camera.reconfigure(camera_config())
        watched.wait_for_state("online")
        assert "device busy" not in watched.reasons


def test_many_new_configurations_do_not_pile_up_threads(clock: FakeClock) -> None:
    sources = StuckSources("open")
    with running(sources, clock) as watched:
        try:
            for _ in range(20):
                watched.camera.reconfigure(camera_config())
                watched.camera.check()
            assert capture_threads() <= 2
        finally:
            sources.free()
        becomes(lambda: capture_threads() == 0)
        watched.camera.check()
        assert capture_threads() == 1


# The end.


@pytest.mark.parametrize("where", ["open", "read"])
def test_a_busy_camera_closes_at_once(where: str) -> None:
    source = StuckSource(where, heeds_interrupts=True)
    with running(lambda _: source) as watched:
        assert source.stuck.wait(WITHIN_S)
        with soon():
            watched.camera.close(600)
            watched.camera.close(600)
        assert source.closed.is_set()
        assert watched.camera.frames.is_closed


def test_a_frozen_http_camera_closes_at_once() -> None:
    with HTTPCamera() as http, running(source=http.url) as watched:
        watched.wait_for_frames(1)
        http.freeze()
        with soon():
            watched.camera.close(600)


def test_a_stopped_camera_does_not_start_again() -> None:
    source = ScriptedSource()
    camera = Camera("front", camera_config(), lambda _: source)
    camera.stop()
    camera.start()
    camera.reconfigure(camera_config())
    camera.check()
    camera.acquire()
    camera.close()
    assert (source.opened, capture_threads()) == (0, 0)


def test_starting_twice_opens_one_source() -> None:
    with HTTPCamera() as http, running(source=http.url) as watched:
        watched.camera.start()
        watched.wait_for_frames(3)
        assert http.connections == 1


def test_a_camera_may_be_closed_by_who_hears_of_its_frame() -> None:
    closed = threading.Event()

    def close() -> None:
        if camera.captured:
            camera.close()
            closed.set()

    source = ScriptedSource()
    camera = Camera("front", camera_config(), lambda _: source, on_change=close)
    camera.start()
    source.emit(raw_picture(plain(0)))
    assert closed.wait(WITHIN_S)
    camera.close()


def test_closing_ends_the_waiting_for_frames() -> None:
    with running(lambda _: ScriptedSource()) as watched:
        waiting = threading.Thread(target=watched.camera.frames.wait_newer, args=(0, 3600))
        waiting.start()
        watched.camera.close()
        waiting.join(WITHIN_S)
        assert not waiting.is_alive()


# T44: secrets.

CANARY = 'c4n@ry/p:w?d&%é "x"'
SHOWN_AS = [CANARY, quote(CANARY), quote(CANARY, safe=""), quote_plus(CANARY), quote(CANARY, safe="").lower()]
FFMPEG_TEXTS = [
    "rtsp://admin:{}@10.0.0.9:554/stream: Server returned 401 Unauthorized (authorization failed)",
    "rtsp://admin:{}@10.0.0.9: Invalid data found; Did you mean file:rtsp://admin:{}@10.0.0.9?",
    "[Errno 111] Connection refused: 'http://10.0.0.9/video?user=admin&pwd={}'",
    "{}",
]


@pytest.mark.parametrize("text", FFMPEG_TEXTS)
@pytest.mark.parametrize("shown", SHOWN_AS)
@pytest.mark.parametrize("kind", [SourceError, AuthenticationFailed, RuntimeError])
def test_the_password_is_in_no_reason_and_no_log_line(
    kind: type[Exception], shown: str, text: str, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Telltale(ScriptedSource):
        def open(self) -> None:
            raise kind(text.replace("{}", shown))

    with running(lambda _: Telltale(), clock, username="admin", password=CANARY) as watched:
        clock.wait_for_sleepers(1)
    formatter = RedactingFormatter()
    shown_to_people = [*watched.reasons, *(formatter.format(record) for record in caplog.records)]
    assert any("auth_failed" in line or "offline" in line for line in shown_to_people)
    for line, secret in itertools.product(shown_to_people, SHOWN_AS):
        assert secret not in line


def test_a_real_camera_does_not_give_the_password_away(caplog: pytest.LogCaptureFixture) -> None:
    faults: list[dict[str, object]] = [
        {"authentication": "basic"},
        {"authentication": "digest"},
        {"status": 404},
        {"head": b"not HTTP at all\r\n\r\n"},
        {"redirect_to": f"rtsp://admin:{quote(CANARY, safe='')}@127.0.0.1/"},
    ]
    for fault in faults:
        with HTTPCamera(**fault) as http:  # type: ignore[arg-type]
            address = http.with_credentials(f"admin:{quote(CANARY, safe='')}")
            with running(source=address) as watched:
                watched.wait_for(lambda watched=watched: watched.camera.reason != "")  # type: ignore[misc]
                shown_to_people = [watched.camera.reason, watched.camera.config.source, caplog.text]
                assert not any(secret in line for secret in SHOWN_AS for line in shown_to_people)


# The whole engine: what viewers of a lost camera see.


def engine_config(source: str, **camera: object) -> Config:
    return Config.parse({"detector": {"workers": 0}, "cameras": {"front": {"source": source, **camera}}})


def next_frame(viewer: Viewer, within_s: float = WITHIN_S) -> EncodedFrame:
    frame = viewer.next_frame(within_s)
    assert frame is not None, "no frame came"
    return frame


def next_picture(viewer: Viewer, within_s: float = WITHIN_S) -> EncodedFrame:
    until = time.monotonic() + within_s
    while (frame := next_frame(viewer, until - time.monotonic())).is_message:
        pass
    return frame


def next_message(viewer: Viewer, within_s: float = WITHIN_S) -> EncodedFrame:
    until = time.monotonic() + within_s
    while not (frame := next_frame(viewer, until - time.monotonic())).is_message:
        pass
    return frame


def size_wh_of(frame: EncodedFrame) -> tuple[int, int]:
    image = cv2.imdecode(np.frombuffer(frame.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image.shape[1], image.shape[0]


@pytest.mark.parametrize(("width", "size_wh"), [(None, (640, 360)), (320, (320, 180))])
def test_viewers_of_a_frozen_camera_see_why_each_second_and_then_the_picture_again(
    width: int | None, size_wh: tuple[int, int]
) -> None:
    with (
        HTTPCamera(sizes={0: (640, 360)}) as http,
        Relay(http.port) as relay,
        Engine(engine_config(relay.url(http.url), read_timeout_s=1, connect_timeout_s=1)) as engine,
        engine.watch("front", Variant(width=width), fps=30) as viewer,
    ):
        last = next_picture(viewer)
        relay.freeze()
        message = next_message(viewer)
        shown_at = [message.captured_at]
        assert shown_at[0] > last.captured_at
        for _ in range(2):
            message = next_frame(viewer)
            assert message.is_message
            assert message.size_wh == size_wh_of(message) == size_wh
            shown_at.append(message.captured_at)
        assert min(later - sooner for sooner, later in itertools.pairwise(shown_at)) > 0.7
        assert engine.pipelines["front"].camera.reason
        relay.pass_through()
        picture = next_picture(viewer)
        assert picture.size_wh == size_wh_of(picture) == size_wh


def test_viewers_get_each_size_a_camera_changes_to() -> None:
    sizes = {0: (640, 480), 15: (1280, 720), 30: (320, 240)}
    with (
        HTTPCamera(sizes=sizes, fps=20, stop_after=45) as http,
        Engine(engine_config(http.url)) as engine,
        engine.watch("front", Variant(), fps=100) as viewer,
    ):
        seen: list[tuple[int, int]] = []
        while len(set(seen)) < 3:
            frame = next_picture(viewer)
            assert frame.size_wh == size_wh_of(frame)
            seen.append(frame.size_wh)
    assert list(dict.fromkeys(seen)) == list(sizes.values())


def test_every_stage_keeps_the_newest_and_counts_what_it_drops() -> None:
    with (
        HTTPCamera(sizes={0: (1280, 720)}, fps=0) as http,
        Engine(engine_config(http.url)) as engine,
        engine.watch("front", Variant(quality=90), fps=100) as viewer,
    ):
        pipeline = engine.pipelines["front"]
        frame = next_picture(viewer)
        for _ in range(5):
            becomes(lambda before=frame.sequence: pipeline.camera.captured > before + 20)  # type: ignore[misc]
            asked_at, previous = time.monotonic(), frame.sequence
            frame = next_picture(viewer)
            assert frame.sequence > previous + 1
            assert frame.sequence > pipeline.camera.captured - 20 or frame.captured_at > asked_at - 1
        counters = pipeline.counters
        assert counters.dropped > 0
        assert counters.seen < pipeline.camera.captured


@pytest.mark.slow
@pytest.mark.parametrize("frozen_s", [0, pytest.param(60, marks=pytest.mark.soak)])
def test_a_camera_that_freezes_is_stalled_by_the_default_timeouts_and_keeps_nobody_waiting(
    frozen_s: float,
) -> None:
    """Stalled after ten seconds, shown as such, live after the resume; the API answers as before."""

    def ask_api(times: int) -> float:
        """Return the median seconds an answer takes."""
        seconds = []
        for _ in range(times):
            started = time.monotonic()
            assert client.get("/api/v1/cameras").status_code == 200
            seconds.append(time.monotonic() - started)
        return float(np.median(seconds))

    with (
        HTTPCamera() as http,
        Relay(http.port) as relay,
        Engine(engine_config(relay.url(http.url))) as engine,
        engine.watch("front", Variant(), fps=30) as viewer,
    ):
        client = create_app(engine).test_client()
        next_picture(viewer)
        before_s = ask_api(50)
        relay.freeze()
        frozen_at = time.monotonic()
        message = next_message(viewer, 60)
        assert engine.pipelines["front"].camera.state == "stalled"
        assert message.captured_at - frozen_at > 8
        assert ask_api(50) < 10 * before_s
        assert all(next_frame(viewer).is_message for _ in range(4))
        while time.monotonic() < frozen_at + frozen_s:
            assert next_frame(viewer).is_message
        assert ask_api(50) < 10 * before_s
        relay.pass_through()
        next_picture(viewer)
