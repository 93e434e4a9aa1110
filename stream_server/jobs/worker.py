"""The process that annotates one video, at the lowest priority, with detectors of its own.

Cameras keep their rate since the kernel gives this process, and its detectors, what nobody else wants: it
takes a core away in the middle of an image, which no fair queue in front of shared detectors can. And what a
hostile file does to a decoder, it does to this process.

Reads a pickled `WorkerTask` from stdin; writes JSON to stdout, one `Report` a line. The kernel ends it when
its owner dies.
"""

from __future__ import annotations

import logging
import math
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from pydantic import BaseModel

from detector.detector import Detector, load_detector
from detector.model_file import ModelFile
from detector.pool import DetectorPool
from detector.pool.tuning import planner_for
from detector.pool.worker import die_with
from stream_server.errors import JobError, reason_of
from stream_server.jobs.job import VideoSummary
from stream_server.jobs.share import Share, Weight, set_session_nice
from stream_server.video import Options, Progress, Summary, annotate
from stream_server.video.input.film import FileReader
from stream_server.video.memory import return_large_blocks

log = logging.getLogger(__name__)

REPORT_EVERY_S = 0.25
POLL_INTERVAL_S = 2.0
PATIENCE_S = 3600.0
"""Cameras may leave next to nothing, for long; that is no failure."""


@dataclass(frozen=True, slots=True)
class WorkerTask:
    """What is to be done. source, out: the video, and what is to be written. nice: see nice(2)."""

    source: Path
    out: Path
    options: Options
    model: ModelFile
    workers: int | Literal["auto"]
    threads: int | Literal["auto"]
    max_length_s: float
    nice: int


class Report(BaseModel):
    """How far it is; the last one says what became of it, or why nothing did.

    share: of the time in which it could run, that in which it does, lately; None where it is not known.
    """

    frames: int = 0
    expected: int | None = None
    objects: int = 0
    position_s: float = 0.0
    share: float | None = None
    summary: VideoSummary | None = None
    error: str | None = None


def main() -> None:
    """Do the task on stdin. Argument: the owner's process id."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the owner, which ends us
    die_with(int(sys.argv[1]))
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)-7s video: %(message)s")
    task: WorkerTask = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our owner
    return_large_blocks()
    os.nice(task.nice)
    set_session_nice(os.getpid(), os.nice(0))
    with os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1) as reports:
        os.dup2(2, 1)  # what libraries print is no report
        reports.write(do(task, reports).model_dump_json() + "\n")


def load(model: ModelFile, *, threads: int = 1) -> Detector:
    """Return a detector in a worker process, which has a session of its own."""
    set_session_nice(os.getpid(), os.nice(0))
    return load_detector(model, threads=threads)


def do(task: WorkerTask, reports: IO[str]) -> Report:
    """Annotate the video; return the last report."""
    try:
        with suppress(FileExistsError):
            task.out.parent.mkdir()
        _check_length(task)
        with _Reporter(reports, task) as reporter:
            summary = _annotate(task, reporter.take)
    except Exception as exc:  # it would be the same the next time
        log.debug("%s", task.source, exc_info=True)
        return Report(error=_without_paths(reason_of(exc), task))
    return Report(frames=summary.frames, expected=summary.frames, summary=_summary(summary))


def _check_length(task: WorkerTask) -> None:
    with FileReader(task.source, task.options) as film:
        length_s = (film.expected_frames or 0) / film.look.rate
    _check(float(length_s), task.max_length_s)


def _check(length_s: float, most_s: float) -> None:
    if length_s > most_s:
        raise JobError(f"the video is longer than {most_s:g} s (videos.max_length_s)")


def _annotate(task: WorkerTask, on_progress: Callable[[Progress], None]) -> Summary:
    with DetectorPool(
        task.model,
        workers=planner_for(task.model, task.workers, task.threads),
        loader=f"{__package__}.worker:load",
        timeout_s=PATIENCE_S,
        start_timeout_s=PATIENCE_S,
    ) as pool:
        pool.wait_ready(PATIENCE_S)
        return annotate(
            task.source,
            task.out,
            task.options,
            pool=pool,
            overwrite=True,
            resume=True,
            on_progress=on_progress,
        )


class _Reporter:
    """Tells the owner how far it is, and sees to the least share of the processor."""

    def __init__(self, reports: IO[str], task: WorkerTask) -> None:
        self._reports, self._max_length_s = reports, task.max_length_s
        self._lock = threading.Lock()  # guards the report and the pipe
        self._report = Report()
        self._told_at = -math.inf
        self._share, self._weight = Share(), Weight(task.nice)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="share", daemon=True)

    def __enter__(self) -> _Reporter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def take(self, progress: Progress) -> None:
        """Note how far it is, and tell it now and then. Raises JobError for a video that is too long."""
        with self._lock:
            self._report = Report(
                frames=progress.frames,
                expected=progress.expected,
                objects=progress.objects,
                position_s=round(progress.position_s, 3),
                share=self._report.share,
            )
            if time.monotonic() - self._told_at < REPORT_EVERY_S:
                return
            self._tell()
        _check(progress.position_s, self._max_length_s)  # what a file says of its length need not be so

    def _watch(self) -> None:
        while not self._ended.wait(POLL_INTERVAL_S):
            share = self._share.measure()
            self._weight.adapt(share)
            with self._lock, suppress(OSError):  # the owner is gone, and ends us
                self._report = self._report.model_copy(update={"share": share})
                self._tell()

    def _tell(self) -> None:
        self._told_at = time.monotonic()
        self._reports.write(self._report.model_dump_json() + "\n")


def _summary(summary: Summary) -> VideoSummary:
    return VideoSummary(
        frames=summary.frames,
        analysed=summary.analysed,
        failed=len(summary.failed),
        objects=dict(summary.objects),
        duration_s=round(summary.duration_s, 3),
        took_s=round(summary.took_s, 1),
        notes=summary.notes,
    )


def _without_paths(reason: str, task: WorkerTask) -> str:
    """Return a reason that tells who asked nothing about the server's folders."""
    for path in (task.source, task.out.parent):
        reason = reason.replace(str(path.absolute()), path.name).replace(str(path), path.name)
    return reason
