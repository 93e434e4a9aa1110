"""When a lost camera is tried again."""

from __future__ import annotations

import itertools

import pytest

from stream_server.base.backoff import Backoff


@pytest.mark.parametrize(
    ("tries", "pauses"),
    [
        (0, []),
        (1, [1]),
        (7, [1, 2, 4, 8, 16, 32, 60]),
        (9, [1, 2, 4, 8, 16, 32, 60, 60, 60]),
    ],
)
def test_pauses_double_up_to_the_longest(tries: int, pauses: list[float]) -> None:
    backoff = Backoff(1, 60, rng=lambda: 0.5)
    assert [backoff.next_s() for _ in range(tries)] == pauses


@pytest.mark.parametrize(("drawn", "pause"), [(0.0, 8.0), (0.5, 10.0), (0.75, 11.0), (1.0, 12.0)])
def test_pauses_are_spread_by_a_fifth(drawn: float, pause: float) -> None:
    assert Backoff(10, 60, rng=lambda: drawn).next_s() == pytest.approx(pause)


def test_a_working_camera_starts_from_the_shortest_pause_again() -> None:
    backoff = Backoff(1, 60, rng=lambda: 0.5)
    assert [backoff.next_s() for _ in range(3)] == [1, 2, 4]
    backoff.reset()
    assert [backoff.next_s() for _ in range(2)] == [1, 2]


def test_fifty_cameras_lost_at_once_do_not_come_back_at_once() -> None:
    pauses = sorted(Backoff(60, 60).next_s() for _ in range(50))
    assert 48 <= pauses[0] <= pauses[-1] <= 72
    assert max(later - sooner for sooner, later in itertools.pairwise(pauses)) < 10
