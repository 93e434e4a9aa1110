"""The thread around a source: when it opens, pauses, gives up and ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from stream_server.base.backoff import Backoff
from stream_server.cameras.capture import Capture
from stream_server.config import SourceConfig
from stream_server.errors import AuthenticationFailed, SourceEnded, SourceError
from stream_server.media.frames import Picture
from stream_server.sources.base import Source
from tests.support.clocks import FakeClock
from tests.support.sources import ScriptedSource, StuckSource, plain, raw_picture

WITHIN_S = 20.0
CONFIG = SourceConfig(source="demo:")
REFUSED = SourceError("connection refused")
WRONG_PASSWORD = AuthenticationFailed("401")


class Owner:
    """Remembers what it was told, as words and times."""

    def __init__(self, clock: FakeClock) -> None:
        self.is_wanted = True
        self.idles = [True]  # what `idle` answers, in turn; the last for ever
        self.told: list[str] = []
        self.lost_at: list[float] = []
        self.retries: list[float | None] = []
        self.pictures = 0
        self._clock = clock
        self._changed = threading.Condition()

    def _tell(self, what: str) -> None:
        with self._changed:
            self.told.append(what)
            self._changed.notify_all()

    def wait_for(self, fact: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(fact, WITHIN_S), self.told

    def should_open(self, capture: Capture) -> bool:
        return self.is_wanted and not capture.is_abandoned

    def wants_pictures(self) -> bool:
        return True

    def connecting(self, capture: Capture) -> None:
        self._tell("connecting")

    def idle(self, capture: Capture) -> bool:
        is_idle = self.idles.pop(0) if len(self.idles) > 1 else self.idles[0]
        self.is_wanted = self.is_wanted or not is_idle
        self._tell("idle")
        return is_idle

    def opened(self, capture: Capture, source: Source) -> None:
        self._tell("opened")

    def arrived(self, capture: Capture, picture: Picture | None) -> None:
        if picture is not None:
            self.pictures += 1
            self._tell("picture")

    def lost(self, capture: Capture, error: SourceError, retry_s: float | None) -> None:
        self.lost_at.append(self._clock.now())
        self.retries.append(retry_s)
        self._tell("lost")


class Failing(Source):
    """Fails to open with the errors given, one a try, the last for ever; None opens it."""

    def __init__(self, *errors: Exception | None) -> None:
        self.errors = list(errors)
        self.tries = 0
        self.closed = 0

    def open(self) -> None:
        self.tries += 1
        error = self.errors.pop(0) if len(self.errors) > 1 else self.errors[0]
        if error:
            raise error

    def read(self, wanted: bool = True) -> Picture | None:
        raise SourceError("lost")

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def owner(clock: FakeClock) -> Owner:
    return Owner(clock)


@pytest.fixture
def capturing(clock: FakeClock, owner: Owner) -> Iterator[Callable[[Source], Capture]]:
    captures: list[Capture] = []

    def start(source: Source) -> Capture:
        captures.append(Capture("front", CONFIG, lambda _: source, owner, clock))
        captures[-1].start()
        return captures[-1]

    yield start
    for capture in captures:
        capture.abandon()
        assert capture.join(WITHIN_S)


@pytest.fixture(autouse=True)
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "JITTER", 0.0)


def test_a_source_nobody_wants_is_not_opened_until_it_is(
    owner: Owner, capturing: Callable[[Source], Capture]
) -> None:
    owner.is_wanted, source = False, ScriptedSource()
    capture = capturing(source)
    owner.wait_for(lambda: owner.told == ["idle"])
    assert source.opened == 0
    owner.is_wanted = True
    capture.wake()
    owner.wait_for(lambda: "opened" in owner.told)


def test_a_thread_woken_in_vain_rests_again(owner: Owner, capturing: Callable[[Source], Capture]) -> None:
    owner.is_wanted = False
    capture = capturing(ScriptedSource())
    owner.wait_for(lambda: owner.told == ["idle"])
    capture.wake()
    owner.wait_for(lambda: owner.told == ["idle", "idle"])
    assert not capture.join(0.05)
    assert owner.told == ["idle", "idle"]


def test_a_source_wanted_while_going_idle_is_opened_at_once(
    owner: Owner, capturing: Callable[[Source], Capture]
) -> None:
    owner.is_wanted, owner.idles = False, [False, True]
    capturing(ScriptedSource())
    owner.wait_for(lambda: owner.told == ["idle", "connecting", "opened"])


def test_a_refused_source_is_tried_after_growing_pauses(
    clock: FakeClock, owner: Owner, capturing: Callable[[Source], Capture]
) -> None:
    source = Failing(REFUSED)
    capturing(source)
    clock.advance(1 + 2 + 4 + 8 + 16 + 32 + 60 + 60, sleepers=1)
    clock.wait_for_sleepers(1)
    starts = [at - owner.lost_at[0] for at in owner.lost_at]
    assert starts == [0, 1, 3, 7, 15, 31, 63, 123, 183]
    assert source.closed == source.tries == 9


def test_a_webcam_is_back_within_five_seconds_of_being_plugged_in(clock: FakeClock, owner: Owner) -> None:
    capture = Capture("front", SourceConfig(source="0"), lambda _: Failing(REFUSED), owner, clock)
    capture.start()
    clock.advance(600, sleepers=1)
    capture.abandon()
    assert capture.join(WITHIN_S)
    assert max(pause or 0 for pause in owner.retries) * 1.2 < 5


def test_the_time_a_try_took_is_part_of_the_pause(
    clock: FakeClock, owner: Owner, capturing: Callable[[Source], Capture]
) -> None:
    class Slow(Failing):
        def open(self) -> None:
            clock.spend(3)
            super().open()

    capturing(Slow(REFUSED))
    clock.wake_next()
    owner.wait_for(lambda: len(owner.retries) >= 4)
    assert owner.retries[:4] == [0, 0, 1, 5]  # of 1, 2, 4 and 8 from start to start


def test_a_wrong_password_is_tried_hardly_ever(
    clock: FakeClock, owner: Owner, capturing: Callable[[Source], Capture]
) -> None:
    source = Failing(WRONG_PASSWORD)
    capturing(source)
    clock.advance(600, sleepers=1)
    assert source.tries == 2
    clock.advance(24 * 3600, sleepers=1)
    assert all(300 <= (pause or 0) <= 3600 for pause in owner.retries)
    assert owner.retries[:4] == [375, 750, 1500, 3000]


def test_a_wake_up_during_a_try_does_not_shorten_the_pause_after_it(
    clock: FakeClock, owner: Owner, capturing: Callable[[Source], Capture]
) -> None:
    class Woken(Failing):
        def open(self) -> None:
            capture.wake()
            super().open()

    source = Woken(WRONG_PASSWORD)
    owner.is_wanted = False
    capture = capturing(source)
    owner.wait_for(lambda: owner.told == ["idle"])
    owner.is_wanted = True
    capture.wake()
    clock.wait_for_sleepers(1)
    assert source.tries == 1


@pytest.mark.parametrize(("works_for_s", "pause"), [(0.0, 8.0), (9.0, 0.0), (10.5, 1.0)])
def test_only_a_source_that_worked_for_a_while_starts_from_the_shortest_pause(
    works_for_s: float, pause: float, clock: FakeClock, owner: Owner, capturing: Callable[[Source], Capture]
) -> None:
    class Fourth(Failing):
        """Opens at the fourth try, gives a picture, one more `works_for_s` later, and breaks."""

        reads = 0

        def read(self, wanted: bool = True) -> Picture | None:
            self.reads += 1
            if self.reads == 2:
                clock.spend(works_for_s)
            if self.reads == 3:
                raise REFUSED
            return raw_picture(plain(0))

    capturing(Fourth(REFUSED, REFUSED, REFUSED, None))
    for _ in range(3):
        clock.wake_next()
    owner.wait_for(lambda: len(owner.retries) >= 4)
    assert owner.retries[3] == pytest.approx(pause)


def test_a_working_password_forgets_the_wrong_ones(
    clock: FakeClock, owner: Owner, capturing: Callable[[Source], Capture]
) -> None:
    class Moody(Failing):
        reads = 0

        def read(self, wanted: bool = True) -> Picture | None:
            self.reads += 1
            if self.reads % 3 == 0:
                raise REFUSED
            clock.spend(11)
            return raw_picture(plain(0))

    capturing(Moody(WRONG_PASSWORD, WRONG_PASSWORD, None, WRONG_PASSWORD))
    for _ in range(3):
        clock.wake_next()
    clock.wait_for_sleepers(1)
    assert owner.retries == [375, 750, 1, 375]


def test_a_source_that_ended_is_not_tried_again(
    clock: FakeClock, owner: Owner, capturing: Callable[[Source], Capture]
) -> None:
    source = Failing(SourceEnded("the end"))
    capturing(source)
    owner.wait_for(lambda: owner.retries == [None])
    clock.advance(24 * 3600)
    assert source.tries == 1


def test_a_source_that_breaks_in_its_own_way_is_logged_and_tried_again(
    clock: FakeClock,
    owner: Owner,
    capturing: Callable[[Source], Capture],
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = Failing(ZeroDivisionError("division by zero"), None)
    capturing(source)
    clock.advance(1, sleepers=1)
    owner.wait_for(lambda: "opened" in owner.told)
    assert "its source broke" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_a_source_that_cannot_even_be_closed_is_tried_again(
    clock: FakeClock,
    owner: Owner,
    capturing: Callable[[Source], Capture],
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Unclosable(Failing):
        def close(self) -> None:
            raise OSError("no such device")

    source = Unclosable(REFUSED)
    capturing(source)
    clock.advance(1, sleepers=1)
    clock.wait_for_sleepers(1)
    assert source.tries == 2
    assert "did not close cleanly" in caplog.text


@pytest.mark.parametrize("where", ["open", "read"])
def test_a_call_that_overstays_its_time_hangs(
    where: str, clock: FakeClock, capturing: Callable[[Source], Capture]
) -> None:
    source = StuckSource(where)
    capture = capturing(source)
    assert source.stuck.wait(WITHIN_S)
    clock.advance(11.0)
    assert not capture.hangs
    clock.advance(0.6)
    assert capture.hangs
    source.free.set()
    capture.abandon()
    assert capture.join(WITHIN_S)
    assert not capture.hangs


@pytest.mark.parametrize("where", ["open", "read"])
def test_an_abandoned_source_is_interrupted_and_closed(
    where: str, capturing: Callable[[Source], Capture]
) -> None:
    source = StuckSource(where, heeds_interrupts=True)
    capture = capturing(source)
    assert source.stuck.wait(WITHIN_S)
    capture.abandon()
    assert capture.join(WITHIN_S)
    assert source.closed.is_set()


def test_abandoning_ends_every_pause(
    clock: FakeClock, owner: Owner, capturing: Callable[[Source], Capture]
) -> None:
    waits_for_retry = capturing(Failing(REFUSED))
    clock.wait_for_sleepers(1)
    has_ended = capturing(Failing(SourceEnded("the end")))
    owner.wait_for(lambda: None in owner.retries)
    for capture in (waits_for_retry, has_ended):
        capture.abandon()
        assert capture.join(WITHIN_S)


def test_a_capture_abandoned_before_its_source_exists_opens_none(owner: Owner, clock: FakeClock) -> None:
    source = Failing(None)

    def open_source(_: SourceConfig) -> Source:
        capture.abandon()  # finds nothing to interrupt
        return source

    capture = Capture("front", CONFIG, open_source, owner, clock)
    capture.start()
    assert capture.join(WITHIN_S)
    assert (source.tries, source.closed) == (0, 1)


def test_a_successor_opens_after_its_predecessor_has_closed(owner: Owner, clock: FakeClock) -> None:
    first, second = StuckSource("close"), ScriptedSource()
    before = Capture("front", CONFIG, lambda _: first, owner, clock)
    before.start()
    owner.wait_for(lambda: owner.pictures > 0)
    before.abandon()
    assert first.stuck.wait(WITHIN_S)
    after = Capture("front", CONFIG, lambda _: second, owner, clock, predecessor=before)
    owner.told.clear()
    after.start()
    assert not after.join(0.1)
    assert owner.told == []
    first.free.set()
    owner.wait_for(lambda: "opened" in owner.told)
    after.abandon()
    assert after.join(WITHIN_S)
    assert before.join(WITHIN_S)


def test_a_successor_does_not_wait_for_ever(owner: Owner, clock: FakeClock) -> None:
    first, second = StuckSource("read"), ScriptedSource()
    before = Capture("front", CONFIG, lambda _: first, owner, clock)
    before.start()
    assert first.stuck.wait(WITHIN_S)
    before.abandon()
    owner.told.clear()
    after = Capture("front", CONFIG, lambda _: second, owner, clock, predecessor=before)
    after.start()
    owner.wait_for(lambda: "opened" in owner.told)
    first.free.set()
    after.abandon()
    assert after.join(WITHIN_S)
    assert before.join(WITHIN_S)
