"""What is seen of work on videos: a bar on a terminal, else a line a video, or nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from stream_server.video.summary import Progress

OnProgress = Callable[[Progress], None]
_EVERY_S = 0.1


class Display:
    """Says nothing but what went wrong. A context manager."""

    def __enter__(self) -> Display:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open."""

    @contextmanager
    def video(self, name: str) -> Iterator[OnProgress]:
        """Show the work on a video; give what is told how far it is."""
        yield lambda progress: None

    def say(self, line: str) -> None:
        """Say what was done."""

    def warn(self, line: str) -> None:
        """Say what went wrong."""
        click.echo(line, err=True)


class Lines(Display):
    """A line a video, for logs and pipes."""

    def say(self, line: str) -> None:
        """Say what was done."""
        click.echo(line)


class Bars(Display):
    """A bar with frames, frames a second, time left and objects, on a terminal."""

    def __init__(self, console: Console) -> None:
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[fps]:5.1f} fps"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[objects]} objects"),
            console=console,
            transient=True,
        )

    def __enter__(self) -> Bars:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    @contextmanager
    def video(self, name: str) -> Iterator[OnProgress]:
        """Show a bar while the video is worked on."""
        task = self._bar.add_task(Path(name).name or name, total=None, fps=0.0, objects=0)
        began, shown_at = time.monotonic(), 0.0

        def show(progress: Progress) -> None:
            nonlocal shown_at
            now = time.monotonic()
            if now - shown_at < _EVERY_S:
                return
            shown_at = now
            fps = progress.frames / max(now - began, 0.001)
            total = progress.expected and max(progress.expected, progress.frames)
            self._bar.update(task, completed=progress.frames, total=total, fps=fps, objects=progress.objects)

        try:
            yield show
        finally:
            self._bar.remove_task(task)

    def say(self, line: str) -> None:
        """Print above the bar."""
        self._bar.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def warn(self, line: str) -> None:
        """Print above the bar."""
        self._bar.console.print(line, style="bold red", highlight=False, markup=False, soft_wrap=True)


def make_display(is_quiet: bool) -> Display:
    """Return what fits the place where output goes."""
    if is_quiet:
        return Display()
    console = Console(stderr=True)
    return Bars(console) if console.is_terminal else Lines()
