"""Keeps recorded pictures at the pace of the clock."""

from __future__ import annotations

import threading
import time

from stream_server.errors import SourceError

SLICE_S = 0.5
"""A wait is cut into pieces of this length, so that a slow source still shows that it lives."""

MAX_LAG_S = 1.0


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
        self._stop.wait(min(max(0.0, wait_s), SLICE_S))
        self.check()
        return wait_s <= SLICE_S

    def keep_up(self, position_s: float) -> bool:
        """Wait as `wait_until` does; who is late for long stays so rather than hurry through what is left."""
        if self.position_s - position_s > MAX_LAG_S:
            self.restart(position_s)
        return self.wait_until(position_s)

    def check(self) -> None:
        """Raise SourceError once stopped."""
        if self._stop.is_set():
            raise SourceError("interrupted")

    def stop(self) -> None:
        """End this and every later wait."""
        self._stop.set()


class Timeline:
    """Gives each frame of a recording its position in what is played, whatever its time stamps do."""

    MAX_STEP_S = 5.0
    """A larger step, or one back, is no pause but another time line (MediaMTX's rule)."""

    def __init__(self) -> None:
        self._frame_s = 0.04
        self._origin_s: float | None = None  # the time stamp at position 0
        self._last_s: float | None = None
        self.is_empty = True

    def start(self, frame_s: float) -> None:
        """Put what comes now right after what was placed so far.

        frame_s: how long a frame is shown where time stamps do not say it.
        """
        self._frame_s = frame_s
        self._origin_s = None
        self.is_empty = True

    def place(self, time_s: float | None) -> float:
        """Return the position of the frame with that time stamp, in seconds from the first frame of all."""
        position_s = self._position(time_s)
        if time_s is not None:
            self._origin_s = time_s - position_s
        self._last_s = position_s
        self.is_empty = False
        return position_s

    def _position(self, time_s: float | None) -> float:
        if self._last_s is None:
            return 0.0
        if time_s is not None and self._origin_s is not None:
            position_s = time_s - self._origin_s
            if 0 <= position_s - self._last_s <= self.MAX_STEP_S:
                return position_s
        return self._last_s + self._frame_s
