"""Several videos one after the other, with what people see of it: progress, troubles, and a way to stop."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from detector.errors import DetectorError, ModelError
from detector.pool import DetectorPool
from stream_server.base.redaction import redact
from stream_server.cli.annotate.inputs import VideoInput, plan
from stream_server.cli.annotate.progress import Display, make_display
from stream_server.errors import OptionError, SourceError, reason_of
from stream_server.video import journal
from stream_server.video.annotating import START_TIMEOUT_S, annotate, make_pool
from stream_server.video.formats import OutputError
from stream_server.video.memory import return_large_blocks
from stream_server.video.options import Options
from stream_server.video.summary import Summary

log = logging.getLogger(__name__)

WRONG_OPTION = 2
INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the signal's number, as shells have it."""


class Batch:
    """What one call of the command does."""

    def __init__(
        self,
        inputs: tuple[str, ...],
        output: Path | None,
        options: Options,
        *,
        resume: bool,
        overwrite: bool,
        is_quiet: bool,
    ) -> None:
        """Raises OutputError when outputs are in each other's way."""
        self._tasks, self._troubles = plan(inputs, output, has_sides=bool(options.side))
        self._options, self._resume, self._overwrite = options, resume, overwrite
        self._display: Display = make_display(is_quiet)
        self._stop = threading.Event()
        self._has_wrong_option = False
        for task in self._tasks if output else ():
            _make_folder(task.out.parent)

    def run(self) -> int:
        """Do it all; return the exit code. Raises ModelError, DetectorError and OptionError before it begins.

        What goes wrong with one video, whatever that is, is said in a line, and the next is begun.
        """
        return_large_blocks()
        for trouble in self._troubles:
            self._complain(trouble)
        if not self._tasks:
            return 1
        with self._display, _stopping(self._stop), make_pool(self._options) as pool:
            pool.wait_ready(START_TIMEOUT_S)
            self._options.check_labels(pool.labels)  # wrong for one is wrong for all
            results = [self._do(task, pool) for task in self._tasks]
        if self._stop.is_set():
            return INTERRUPTED
        if not all(results) or self._troubles:
            return WRONG_OPTION if self._has_wrong_option else 1
        return 0

    def _do(self, task: VideoInput, pool: DetectorPool) -> bool:
        """Do one video; return whether that went well."""
        if self._stop.is_set():
            return False
        try:
            if self._resume and task.out.exists() and not journal.path_for(task.out).exists():
                self._display.say(f"{task.out} is done already")
                return True
            with self._display.video(task.name) as on_progress:
                summary = annotate(
                    task.name,
                    task.out,
                    self._options,
                    pool=pool,
                    overwrite=self._overwrite,
                    resume=self._resume,
                    on_progress=on_progress,
                    is_stopped=self._stop.is_set,
                )
        except ModelError:
            raise
        except SourceError as exc:
            self._complain(_named(task.name, exc))
            return False
        except Exception as exc:
            log.debug("%s", task.name, exc_info=True)
            self._has_wrong_option |= isinstance(exc, OptionError)
            way_on = self._way_on(task) if _can_go_on(exc) else ""
            self._complain(f"{task.name}: {reason_of(exc)}{way_on}")
            return False
        self._report(task, summary)
        return True

    def _report(self, task: VideoInput, summary: Summary) -> None:
        self._display.say(summary_line(task.name, summary))
        for note in summary.notes:
            self._display.say(f"  {note}")
        if summary.failed:
            first = ", ".join(map(str, summary.failed[:5]))
            self._display.say(f"  {len(summary.failed)} frames could not be analysed: {first}")
        if not summary.is_complete:
            self._display.warn(f"stopped{self._way_on(task)}")

    @staticmethod
    def _way_on(task: VideoInput) -> str:
        if not journal.path_for(task.out).exists():
            return ""
        part = task.out.with_name(f"{task.out.name}.part")
        where = task.out if task.out.exists() and not part.exists() else part
        kept = f"; what was done is in {where}" if where.exists() else ""
        return f"{kept}; the same command with --resume goes on"

    def _complain(self, trouble: str) -> None:
        self._display.warn(f"stream-server: {redact(' '.join(trouble.split()))}")


def summary_line(name: str, summary: Summary) -> str:
    """Return what became of a video, in one line."""
    objects = (
        ", ".join(f"{count} {label}" for label, count in sorted(summary.objects.items())) or "no objects"
    )
    fps = summary.frames / summary.took_s if summary.took_s else 0.0
    return f"{name} -> {summary.path}: {summary.frames} frames at {fps:.1f} fps, {objects}"


def _can_go_on(error: Exception) -> bool:
    """Whether the same, tried again, may well go further."""
    return isinstance(error, DetectorError) or (isinstance(error, OutputError) and error.may_pass)


def _named(name: str, error: SourceError) -> str:
    return error.reason if name in error.reason else f"{name}: {error.reason}"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise OptionError("output", f"{folder} cannot be made: {exc.strerror}") from None


@contextmanager
def _stopping(stop: threading.Event) -> Iterator[None]:
    """Set `stop` on the first Ctrl-C or SIGTERM; a second one ends the program at once."""

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            sys.exit(INTERRUPTED)
        stop.set()
        click.echo("stopping: the file is being finished; once more to give up", err=True)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
