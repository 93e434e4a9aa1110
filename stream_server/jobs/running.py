"""A video that is being worked on: how far it is, at which pace, and how to end that."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

from stream_server.jobs.process import WorkProcess
from stream_server.jobs.work import Report

_PACE_OVER_S = 10.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How far a job is. frames: done, of about `expected`. left_s: until its end, None where nobody knows."""

    frames: int = 0
    expected: int | None = None
    objects: int = 0
    position_s: float = 0.0
    fps: float = 0.0
    left_s: float | None = None


class Running:
    """One run of a job. `kill` and `pace` from any thread."""

    def __init__(self) -> None:
        self.pace = Pace()
        self.why_killed: str | None = None
        self.ended = threading.Event()
        self._lock = threading.Lock()  # guards the process' start against `kill`
        self._process: WorkProcess | None = None
        self._seen: deque[tuple[float, int]] = deque()

    def begin(self, process: WorkProcess) -> None:
        """Know the process that works on it."""
        with self._lock:
            self._process = process
            if self.why_killed is not None:
                process.kill()

    def kill(self, reason: str) -> None:
        """End it now, for this reason."""
        with self._lock:
            self.why_killed = self.why_killed or reason
            if self._process:
                self._process.kill()

    def take(self, report: Report) -> None:
        """Note how far it is."""
        now = time.monotonic()
        self._seen.append((now, report.frames))
        while now - self._seen[0][0] > _PACE_OVER_S:
            self._seen.popleft()
        (since, before), fps = self._seen[0], 0.0
        if now > since:
            fps = (report.frames - before) / (now - since)
        left = None if report.expected is None else max(0, report.expected - report.frames)
        self.pace = Pace(
            report.frames,
            report.expected,
            report.objects,
            report.position_s,
            fps,
            left / fps if left is not None and fps else None,
        )
