"""Keeps recorded pictures at the pace of the clock."""

from __future__ import annotations

import threading
import time

from stream_server.errors import SourceError

SLICE_S = 1.0
"""A wait is cut into pieces of this length, so that a slow source still shows that it lives."""


class Pacer:
    """Waits until a position in a recording is due. Used by one thread; `stop` may be called by any."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._started_at = time.monotonic()

    def restart(self, position_s: float = 0.0) -> None:
        """Make `position_s` due now."""
        self._started_at = time.monotonic() - position_s

    @property
    def position_s(self) -> float:
        """The position that is due now, in seconds."""
        return time.monotonic() - self._started_at

    def wait_until(self, position_s: float) -> bool:
        """Wait until `position_s` is due, but no longer than SLICE_S; return whether it is.

        Raises SourceError once stopped.
        """
        wait_s = position_s - self.position_s
        if self._stop.wait(min(max(0.0, wait_s), SLICE_S)):
            raise SourceError("the source was closed")
        return wait_s <= SLICE_S

    def stop(self) -> None:
        """End this and every later wait."""
        self._stop.set()
