"""How often lost workers may be replaced."""

from __future__ import annotations


class RestartBudget:
    """A purse of `burst` replacements that refills by one every `refill_s` seconds.

    A worker that crashes now and then is replaced at once; one that crashes whenever it starts costs `burst`
    starts and then one every `refill_s`, so that a bad model or a full machine is retried for ever but
    cheaply. Times are `time.monotonic()` seconds. Not thread-safe.
    """

    def __init__(self, burst: int = 5, refill_s: float = 60.0) -> None:
        self._burst = burst
        self._refill_s = refill_s
        self._left = burst
        self._refilling_since = 0.0

    def take(self, now: float) -> bool:
        """Spend one replacement; False when there is none to spend at the time `now`."""
        self._refill(now)
        if self._left == 0:
            return False
        if self._left == self._burst:
            self._refilling_since = now
        self._left -= 1
        return True

    def wait_s(self, now: float) -> float:
        """Return the seconds from `now` until `take` succeeds."""
        self._refill(now)
        return 0.0 if self._left else self._refilling_since + self._refill_s - now

    def _refill(self, now: float) -> None:
        while self._left < self._burst and now - self._refilling_since >= self._refill_s:
            self._left += 1
            self._refilling_since += self._refill_s
