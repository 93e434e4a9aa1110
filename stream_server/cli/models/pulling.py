"""Fetches a model and shows how far it is."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterator

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from detector.errors import ModelError
from detector.zoo.catalog import KNOWN_MODELS, find_in_zoo, model_names
from detector.zoo.download import Progress as Report
from detector.zoo.store import model_path, pull


def pull_model(name: str, *, url: str | None, again: bool, max_bytes: int) -> None:
    """Fetch one model and say where it is. Raises ModelError for an unknown name, DownloadError."""
    if any(name in (known.file.name, *known.aliases) for known in KNOWN_MODELS):
        click.echo(f"{name}: comes along, nothing to fetch")
        return
    model = find_in_zoo(name)
    if model is None:
        raise ModelError(f"{name}: no model of this name; {_hint(name)}")
    with _progress(model.name) as report:
        record = pull(model, progress=report, url=url, again=again, max_bytes=max_bytes)
    size = f"{record.size / 1e6:.1f} MB"
    click.echo(
        f"{model.name}: {size}, {model.licence}, in {model_path(model)}; use it as `model: {model.name}`"
    )


@contextlib.contextmanager
def _progress(name: str) -> Iterator[Report]:
    """Show a bar on a terminal, nothing elsewhere."""
    console = Console(stderr=True)
    columns = (TextColumn(name, markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _hint(name: str) -> str:
    if near := difflib.get_close_matches(name, model_names(), n=1):
        return f"did you mean {near[0]}?"
    return "`stream-server models list` shows them"
