"""When to try a lost camera again."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Seconds between the starts of two tries: doubling from `first_s` to `most_s`, spread by ±20 %."""

    JITTER = 0.2

    def __init__(self, first_s: float, most_s: float, rng: Callable[[], float] = random.random) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._rng = rng
        self._next_s = first_s

    def reset(self) -> None:
        """Start again from the shortest pause: the camera works."""
        self._next_s = self._first_s

    def next_s(self) -> float:
        """Return the pause before the next try, in seconds."""
        pause, self._next_s = self._next_s, min(self._next_s * 2, self._most_s)
        return pause * (1 + self.JITTER * (2 * self._rng() - 1))
