"""How often something happens, and how often it may."""

from __future__ import annotations

import random

import pytest

from stream_server.base.rates import RateMeter, Throttle


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("ticks", "rate"),
    [
        ([], 0.0),
        ([0.0], 0.0),
        ([0.0, 0.5], 2.0),
        ([0.0, 0.1, 0.2, 0.3], 10.0),
        ([0.0, 0.1, 0.9, 1.0], 3.0),  # uneven: three intervals in a second
        ([0.0, 0.0], 1e6),  # bounded, not a division by zero
    ],
)
def test_the_rate_is_the_intervals_divided_by_their_time(ticks: list[float], rate: float) -> None:
    clock = Clock()
    meter = RateMeter(clock=clock)
    for tick in ticks:
        clock.now = 100.0 + tick
        meter.tick()
    assert meter.per_second == pytest.approx(rate)
    assert meter.count == len(ticks)


def test_the_rate_follows_a_change_within_the_window() -> None:
    clock = Clock()
    meter = RateMeter(window_s=4.0, clock=clock)
    for _ in range(100):
        clock.now += 1 / 25
        meter.tick()
    assert meter.per_second == pytest.approx(25)
    for _ in range(21):
        clock.now += 1 / 5
        meter.tick()
    assert meter.per_second == pytest.approx(5)


def test_the_rate_is_nothing_when_nothing_happens_any_more() -> None:
    clock = Clock()
    meter = RateMeter(window_s=4.0, clock=clock)
    for _ in range(50):
        clock.now += 1 / 25
        meter.tick()
    clock.now += 4.01
    assert meter.per_second == 0.0
    assert meter.count == 50


def test_a_rate_slower_than_the_window_is_seen_too() -> None:
    clock = Clock()
    meter = RateMeter(window_s=4.0, clock=clock)
    for _ in range(3):
        clock.now += 10
        meter.tick()
    assert meter.per_second == pytest.approx(0.1)
    clock.now += 20.1
    assert meter.per_second == 0.0


def taken(limit_fps: float, times: list[float]) -> list[float]:
    throttle = Throttle(limit_fps)
    shown = []
    for at in times:
        if throttle.is_due(at):
            throttle.take(at)
            shown.append(at)
    return shown


@pytest.mark.parametrize(
    ("camera_fps", "limit_fps", "expected"),
    [(30, 30, 300), (30, 15, 150), (25, 15, 150), (7, 5, 50), (30, 100, 300), (30, 0.5, 5)],
)
def test_the_limit_is_reached_and_kept_over_ten_seconds(
    camera_fps: float, limit_fps: float, expected: int
) -> None:
    times = [100 + number / camera_fps for number in range(int(10 * camera_fps))]
    assert len(taken(limit_fps, times)) == pytest.approx(expected, abs=1)


def test_jitter_does_not_make_the_pace_uneven() -> None:
    jitter = random.Random(1)
    times = [100 + number / 30 + jitter.uniform(-0.003, 0.003) for number in range(300)]
    assert taken(15, times) == times[::2]
    assert len(taken(30, times)) == pytest.approx(300, abs=2)


def test_nothing_shown_means_everything_is_due() -> None:
    assert Throttle(1).is_due(-1e9)
    assert Throttle(1).seconds_left(0) == 0.0


def test_no_burst_follows_the_first_event_or_a_pause() -> None:
    throttle = Throttle(5)
    for start in (0.0, 100.0):
        assert throttle.is_due(start)
        throttle.take(start)
        assert not throttle.is_due(start + 0.1)
        assert throttle.seconds_left(start + 0.1) == pytest.approx(0.1)
        assert throttle.is_due(start + 0.2)
