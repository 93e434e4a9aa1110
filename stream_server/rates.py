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
        """Mean rate within the window, 0.0 when fewer than two events fell into it."""
        since = self._clock() - self._window_s
        recent = [tick for tick in tuple(self._ticks) if tick >= since]
        if len(recent) < 2:
            return 0.0
        return (len(recent) - 1) / max(recent[-1] - recent[0], 1e-6)


class Throttle:
    """Says when the next event is due so that no more than `per_second` happen, without drifting slow."""

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
