from __future__ import annotations

import pytest

from detector.pool.restarts import RestartBudget


def takes(budget: RestartBudget, times: list[float]) -> list[bool]:
    return [budget.take(time) for time in times]


def test_burst_is_spent_at_once_then_one_a_minute() -> None:
    budget = RestartBudget(burst=5, refill_s=60)
    assert takes(budget, [0, 1, 2, 3, 4]) == [True] * 5
    assert takes(budget, [5, 30, 59.9, 60, 61, 119, 120, 121]) == [
        False, False, False, True, False, False, True, False,
    ]  # fmt: skip


def test_quiet_minutes_fill_the_purse_to_its_size_and_no_further() -> None:
    budget = RestartBudget(burst=2, refill_s=60)
    assert takes(budget, [0, 0, 10]) == [True, True, False]
    assert takes(budget, [10_000, 10_000, 10_000]) == [True, True, False]


@pytest.mark.parametrize(
    ("taken", "now", "wait_s"),
    [([], 5.0, 0.0), ([0.0], 5.0, 55.0), ([0.0], 60.0, 0.0), ([0.0, 60.0], 61.0, 59.0)],
)
def test_wait_is_the_time_to_the_next_success(taken: list[float], now: float, wait_s: float) -> None:
    budget = RestartBudget(burst=1, refill_s=60)
    assert all(takes(budget, taken))
    assert budget.wait_s(now) == pytest.approx(wait_s)
