"""Time as the cameras see it, so that tests can let hours pass in no time."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """Monotonic seconds, and waiting by them."""

    def now(self) -> float:
        """Return seconds since an arbitrary start; never goes back."""
        ...

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Wait until `event` is set or the time is over; return whether it is set."""
        ...


class SystemClock:
    """The machine's monotonic clock."""

    def now(self) -> float:
        """Return `time.monotonic()`."""
        return time.monotonic()

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Wait until `event` is set or the time is over; return whether it is set."""
        return event.wait(timeout_s)


def wall_clock(monotonic_s: float) -> float:
    """Return the wall-clock time, in seconds since 1970, of a moment on the monotonic clock."""
    return time.time() - (time.monotonic() - monotonic_s)
