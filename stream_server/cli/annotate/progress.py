"""What is seen of work on videos: a bar on a terminal, else a line a video, or nothing."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType

import click
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stream_server.base.file_names import readable
from stream_server.cli.annotate.terminal import caught, open_terminal
from stream_server.jobs.share import Share
from stream_server.video.pace import Pace, ProgressMeter
from stream_server.video.summary import Progress

OnProgress = Callable[[Progress], None]
_REFRESH_PER_S = 8
_LOOK_EVERY_S = 10.0
_WIDEST = 76
"""Columns of the bar; what is wider is broken, and left behind, by a window that becomes narrower."""


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
        click.echo(readable(line), err=True)


class Lines(Display):
    """A line a video, for logs and pipes."""

    def say(self, line: str) -> None:
        """Say what was done."""
        click.echo(readable(line))


class View:
    """Two lines about a video: its name and a bar; frames, frames a second, time left and objects."""

    def __init__(self, name: str) -> None:
        self.pace = Pace()
        self._name = readable(Path(name).name or name)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(options.max_width - 1, _WIDEST)
        name = Text(self._name)
        name.truncate(width // 2, overflow="ellipsis")
        pace, total = self.pace, self.pace.expected and max(self.pace.expected, self.pace.frames)
        bar = ProgressBar(total, pace.frames, width=width - name.cell_len - 1)
        line = Table.grid(padding=(0, 1, 0, 0))
        line.add_row(name, bar)
        yield line
        facts = next((text for text in _facts(pace) if len(text) <= width), _facts(pace)[-1])
        yield Text(facts)


def _facts(pace: Pace) -> tuple[str, ...]:
    """Return how far a video is, in ever fewer letters."""
    total = "?" if pace.expected is None else max(pace.expected, pace.frames)
    left = "-:--" if pace.left_s is None else _duration(pace.left_s)
    objects = f"{pace.objects} object{'' if pace.objects == 1 else 's'}"
    return (
        f"{pace.frames} of {total} frames · {pace.fps:.1f} fps · {left} left · {objects}",
        f"{pace.frames}/{total} · {pace.fps:.1f} fps · {left} · {objects}",
        f"{pace.frames}/{total} {pace.fps:.0f} fps {left} {objects}",
    )


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class Bars(Display):
    """A bar on a terminal, below all that is said there, by whomever."""

    def __init__(self) -> None:
        self._terminal = Console(file=os.fdopen(open_terminal(), "w", encoding="utf-8"))
        self._bar = Live(
            console=self._terminal,
            refresh_per_second=_REFRESH_PER_S,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._is_output_here = sys.stdout.isatty()
        self._open = ExitStack()

    def __enter__(self) -> Bars:
        with ExitStack() as stack:
            stack.enter_context(self._terminal.file)
            stack.enter_context(self._bar)
            stack.enter_context(caught(self._print))
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    @contextmanager
    def video(self, name: str) -> Iterator[OnProgress]:
        """Show a bar while the video is worked on."""
        view, pacer = View(name), ProgressMeter()

        share, looked_at, has_said = Share(), time.monotonic(), False

        def show(progress: Progress) -> None:
            nonlocal looked_at, has_said
            view.pace = pacer.take(progress)
            if not has_said and time.monotonic() - looked_at > _LOOK_EVERY_S:
                looked_at = time.monotonic()
                if waits_for := Pace(share=share.measure()).waits_for:
                    has_said = True
                    self._print(f"{readable(name)}: {waits_for}")

        self._bar.update(view)
        try:
            yield show
        finally:
            self._bar.update("")

    def say(self, line: str) -> None:
        """Print above the bar, or to where output goes."""
        if self._is_output_here:
            self._print(line)
        else:
            click.echo(readable(line))

    def warn(self, line: str) -> None:
        """Print above the bar."""
        self._print(line, "bold red")

    def _print(self, line: str, style: str = "") -> None:
        self._terminal.print(Text(readable(line)), style=style, soft_wrap=True)


def make_display(is_quiet: bool) -> Display:
    """Return what fits the place where output goes."""
    if is_quiet:
        return Display()
    return Bars() if sys.stderr.isatty() else Lines()
