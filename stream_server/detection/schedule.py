"""When a camera's frames are to be looked at, and whether it is its turn at the detector."""

from __future__ import annotations

import time

from detector.pool.client import PoolClient
from stream_server.base.rates import Throttle
from stream_server.config import DetectConfig
from stream_server.media.frames import Frame
from stream_server.telemetry.stages import Counters, Stopwatch


class DetectionSchedule:
    """The rate at which one camera's frames are analysed, its place among the others, and what it misses.

    Belongs to the pipeline's thread.
    """

    def __init__(
        self, client: PoolClient, config: DetectConfig, counters: Counters, stopwatch: Stopwatch
    ) -> None:
        """client: is called when the pipeline is to look again."""
        self._client = client
        self._fps = config.fps
        self._max_age_s = config.max_age_s
        self._counters = counters
        self._stopwatch = stopwatch
        self._throttle = Throttle(config.fps)
        self._taken = 0
        self._waits_since: float | None = None
        self._missed = 0

    def is_due(self, frame: Frame) -> bool:
        """Whether `frame` is new, and the last one that was taken long enough ago."""
        return frame.sequence > self._taken and self._throttle.is_due(frame.captured_at)

    def has_come(self, frame: Frame) -> bool:
        """Whether a worker has time for `frame`, which is due; if not, the camera is in line for one now."""
        now = time.monotonic()
        if now - frame.captured_at > self._max_age_s:
            self._client.give_back()
            return False
        if self._waits_since is None:
            self._waits_since = now
        has_come = self._client.ask()
        self._count_missed(now - self._waits_since)
        if has_come:
            self._stopwatch.observe("turn", now - self._waits_since)
            self._waits_since, self._missed = None, 0
        return has_come

    def take(self, frame: Frame) -> None:
        """Count `frame`: neither it nor what follows too soon is due any more."""
        if frame.sequence > self._taken:
            self._throttle.take(frame.captured_at)
            self._taken = frame.sequence

    def skip(self, frame: Frame) -> None:
        """Take `frame`, and let others have the turn."""
        self.take(frame)
        self._client.give_back()
        self._waits_since, self._missed = None, 0

    def seconds_left(self, frame: Frame) -> float:
        """Return how long `frame` may still wait for a worker."""
        return max(0.001, frame.captured_at + self._max_age_s - time.monotonic())

    def _count_missed(self, waits_s: float) -> None:
        """Count how many frames were to be analysed in that time."""
        missed = int(waits_s * self._fps)
        self._counters.skipped += missed - self._missed
        self._missed = missed
