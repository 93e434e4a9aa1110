"""A video that is being worked on: how far it is, at which pace, and how to end that."""

from __future__ import annotations

import threading

from stream_server.jobs.worker import Report
from stream_server.jobs.worker_process import WorkProcess
from stream_server.video.pace import Pace, ProgressMeter
from stream_server.video.summary import Progress


class JobRun:
    """One run of a job. `kill` and `pace` from any thread."""

    def __init__(self) -> None:
        self.pace = Pace()
        self.why_killed: str | None = None
        self.ended = threading.Event()
        self._lock = threading.Lock()  # guards the process' start against `kill`
        self._process: WorkProcess | None = None
        self._pacer = ProgressMeter()

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
        self.pace = self._pacer.take(
            Progress(report.frames, report.expected, report.objects, report.position_s), report.share
        )
