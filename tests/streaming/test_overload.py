"""Stepping down when a pipeline cannot keep up, and up again when it can."""

from __future__ import annotations

import pytest

from stream_server.streaming.overload import STEPS, OverloadController


def after(governor: OverloadController, shares: list[float], began: float = 0.0) -> int:
    """Return the level after windows of a second in which so much of the time was worked."""
    for second, share in enumerate(shares, start=1):
        governor.worked(share, began + second)
    return governor.level


@pytest.mark.parametrize(
    ("shares", "level"),
    [
        ([], 0),
        ([0.6] * 20, 0),
        ([0.95], 0),
        ([0.95, 0.6, 0.95], 0),
        ([0.95, 0.95], 1),
        ([0.95] * 4, 2),
        ([0.95] * 40, len(STEPS) - 1),
        ([0.95] * 2 + [0.2] * 4, 1),
        ([0.95] * 2 + [0.2] * 5, 0),
        ([0.95] * 2 + [0.7] * 20, 1),
        ([0.2] * 20 + [0.95] * 2, 1),
    ],
)
def test_the_level_follows_how_busy_the_last_seconds_were(shares: list[float], level: int) -> None:
    assert after(OverloadController(0.0), shares) == level


def test_much_work_within_one_window_counts_once() -> None:
    governor = OverloadController(0.0)
    assert not any(governor.worked(0.1, tenth / 10) for tenth in range(1, 10))
    assert governor.level == 0


def test_quality_is_lowered_but_never_raised_nor_below_the_least() -> None:
    governor = OverloadController(0.0)
    assert governor.quality(80) == 80
    after(governor, [1.0] * 6)
    assert [governor.quality(asked) for asked in (100, 80, 40, 20)] == [55, 35, 30, 20]
