"""A clock that tests move by hand, so that hours pass in no time."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import cast

SETTLE_TIMEOUT_S = 20.0
"""Real seconds in which threads have to come to rest."""


@dataclass(eq=False)
class _Sleeper:
    due: float
    event: threading.Event
    is_over: bool = False


class FakeClock:
    """Time stands still except in `advance`, which wakes who waits by this clock, one after the other."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._changed = threading.Condition()  # guards _now and _sleepers
        self._sleepers: list[_Sleeper] = []

    def now(self) -> float:
        """Return the seconds on this clock."""
        return self._now

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Wait until `event` is set or the clock was moved that far; return whether it is set."""
        with self._changed:
            sleeper = _Sleeper(self._now + timeout_s, event)
            self._sleepers.append(sleeper)
            self._changed.notify_all()
        woken = _condition(event)
        with woken:
            woken.wait_for(lambda: event.is_set() or sleeper.is_over)
        with self._changed:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)
        return event.is_set()

    def wait_for_sleepers(self, count: int) -> None:
        """Return once so many threads wait by this clock."""
        with self._changed:
            came = self._changed.wait_for(lambda: self._count() >= count, SETTLE_TIMEOUT_S)
        assert came, f"{self._count()} threads wait, expected {count}"

    def advance(self, seconds: float, *, sleepers: int = 0) -> None:
        """Let time pass; before each step so many threads have to be waiting by this clock."""
        end = self._now + seconds
        until = time.monotonic() + 60
        while time.monotonic() < until:
            self.wait_for_sleepers(sleepers)
            if not self._wake_next(end):
                break
        with self._changed:
            self._now = max(self._now, end)

    def spend(self, seconds: float) -> None:
        """Let time pass for who is at work; nobody is woken."""
        with self._changed:
            self._now += seconds

    def wake_next(self) -> None:
        """Once somebody waits, let the shortest wait pass."""
        self.wait_for_sleepers(1)
        self._wake_next(float("inf"))

    def _count(self) -> int:
        return sum(not sleeper.event.is_set() for sleeper in self._sleepers)

    def _wake_next(self, end: float) -> bool:
        """Move on to the next time someone waits for and wake them; return False when it is after `end`."""
        with self._changed:
            due = min((sleeper.due for sleeper in self._sleepers), default=None)
            if due is None or due > end:
                return False
            self._now = max(due, self._now)
            over = [sleeper for sleeper in self._sleepers if sleeper.due <= self._now]
            self._sleepers = [sleeper for sleeper in self._sleepers if sleeper.due > self._now]
        for sleeper in over:
            woken = _condition(sleeper.event)
            with woken:
                sleeper.is_over = True
                woken.notify_all()
        return True


def _condition(event: threading.Event) -> threading.Condition:
    """Return what `Event.wait` waits on; an event has no public way to be woken without being set."""
    return cast(threading.Condition, vars(event)["_cond"])
