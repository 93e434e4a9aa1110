"""How often something happens."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable


class RateMeter:
    """Events per second over the last few seconds. One thread ticks, any thread reads."""

    def __init__(self, window_s: float = 4.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.count = 0
        self._window_s = window_s
        self._clock = clock
        self._ticks: deque[float] = deque(maxlen=1024)

    def tick(self) -> None:
        """Count one event, now."""
        self.count += 1
        self._ticks.append(self._clock())

    @property
    def per_second(self) -> float:
        """Mean rate within the window, of the last two events where they are rarer; 0.0 when they ended."""
        now, ticks = self._clock(), tuple(self._ticks)
        recent = [tick for tick in ticks if tick >= now - self._window_s]
        if len(recent) < 2:
            recent = list(ticks[-2:])
        if len(recent) < 2:
            return 0.0
        interval_s = max((recent[-1] - recent[0]) / (len(recent) - 1), 1e-6)
        has_ended = now - recent[-1] > max(self._window_s, 2 * interval_s)
        return 0.0 if has_ended else 1 / interval_s


class Throttle:
    """Says when the next event is due so that no more than `per_second` happen, without drifting slow."""

    __slots__ = ("_due", "_interval_s")

    def __init__(self, per_second: float) -> None:
        self._interval_s = 1 / per_second
        self._due = float("-inf")

    def seconds_left(self, now: float) -> float:
        """Return how long until the next event is due, 0.0 when it is."""
        return max(0.0, self._due - now)

    def is_due(self, at: float) -> bool:
        """Return whether an event at that time is not too soon.

        A tenth of the interval early counts as due; else jitter makes 10 fps of a limit of 15 at 30 fps.
        """
        return at >= self._due - 0.1 * self._interval_s

    def take(self, at: float) -> None:
        """Count an event at that time; the next is due an interval after this one was.

        One that came a whole interval late or more starts the count anew: no burst follows a pause.
        """
        starts_anew = at - self._due >= self._interval_s
        self._due = (at if starts_anew else self._due) + self._interval_s
