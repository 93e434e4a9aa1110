"""The command line of `stream-server models`; what one of its commands alone needs is imported there."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import click

from detector.errors import DetectorError, DownloadError
from stream_server.base.redaction import redact, register_address
from stream_server.errors import StreamServerError

P = ParamSpec("P")

_JSON = click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")


def _one_line_errors(function: Callable[P, None]) -> Callable[P, None]:
    """Show our own errors in one line: exit code 1 for a download that failed, 2 for what is wrong itself."""

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except (StreamServerError, DetectorError) as exc:
            click.echo(f"stream-server: {redact(' '.join(str(exc).split()))}", err=True)
            sys.exit(1 if isinstance(exc, DownloadError) else 2)

    return wrapped


@click.group(short_help="List, describe, fetch and measure models.")
def models() -> None:
    """List, describe, fetch and measure detection models."""


@models.command("list", short_help="Show the models known by name.")
@_JSON
@_one_line_errors
def list_(as_json: bool) -> None:
    """Show the models known by name, and which of them are here."""
    from stream_server.cli.models.listing import as_table, list_models  # noqa: PLC0415

    listed = list_models()
    if as_json:
        click.echo(json.dumps([model.model_dump() for model in listed], indent=1))
    else:
        _print(as_table(listed))


@models.command(short_help="Say what a model file is.")
@click.argument("file")
@_JSON
@_one_line_errors
def info(file: str, as_json: bool) -> None:
    """Say what a model FILE (a path or a name) is: its input and outputs, what they mean, its labels.

    Exit code 2 when it cannot be used, with the reason.
    """
    from stream_server.cli.models.inspection import as_lines, inspect_model  # noqa: PLC0415

    found = inspect_model(file)
    click.echo(found.model_dump_json(indent=1) if as_json else "\n".join(as_lines(found)))


@models.command(short_help="Fetch models.")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--url", metavar="ADDRESS", help="A mirror's address of the very same file.")
@click.option("--again", is_flag=True, help="Also when it is here already.")
@click.option(
    "--max-mb", type=click.IntRange(1), default=2048, show_default=True, help="Refuse a larger file."
)
@_one_line_errors
def pull(names: tuple[str, ...], url: str | None, again: bool, max_mb: int) -> None:
    """Fetch models by NAME (see `list`) into the folder of models.

    A download that stopped goes on with the next call. The checksum of the first download is kept, and every
    later one must have it. Exit code 1: it failed; 2: there is no such model.
    """
    from stream_server.cli.models.pulling import pull_model  # noqa: PLC0415

    if url is not None and len(names) > 1:
        raise click.UsageError("--url is the address of one file: give one NAME")
    if url is not None:
        register_address(url)
    for name in names:
        pull_model(name, url=url, again=again, max_bytes=max_mb * 1_000_000)


@models.command(short_help="Measure models on this machine.")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--coco", type=click.Path(path_type=Path), help="Folder of pictures with COCO's JSON: adds AP.")
@click.option("--size", default="1280x720", show_default=True, help="Of the pictures.")
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, 600),
    default=3,
    show_default=True,
    help="Of measuring a row.",
)
@_JSON
@_one_line_errors
def bench(names: tuple[str, ...], coco: Path | None, size: str, seconds: float, as_json: bool) -> None:
    """Measure models (names or paths; default: those here) on this machine.

    Prints how long a picture takes and how many there are in a second, for each division of the cores among
    worker processes and their threads, and for how many cameras that is enough.
    """
    from stream_server.cli.models.bench import as_table, bench_models  # noqa: PLC0415

    report = bench_models(names, size=size, seconds=seconds, coco=coco, say=_say)
    if as_json:
        click.echo(report.model_dump_json(indent=1))
        return
    _print(as_table(report))
    for line in report.in_words:
        click.echo(line)


def _say(line: str) -> None:
    """Say how far it is, beside the results."""
    click.echo(line, err=True)


def _print(table: Any) -> None:
    from rich.console import Console  # noqa: PLC0415

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200  # what is piped is not wrapped
    console.print(table)
