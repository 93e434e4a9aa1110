"""The command line of `stream-server annotate`; what it alone needs is imported there."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from detector.detector import SCORE_THRESHOLD
from detector.errors import DetectorError
from detector.zoo.catalog import DEFAULT_MODEL
from stream_server.base.redaction import redact
from stream_server.errors import StreamServerError

T = TypeVar("T")


def _seconds(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """Read 90, 1:30 or 0:01:30.5."""
    if value is None:
        return None
    try:
        parts = [float(part) for part in value.split(":")]
    except ValueError:
        parts = []
    if not 1 <= len(parts) <= 3 or min(parts) < 0:
        raise click.BadParameter(f"got {value}, expected seconds, or h:mm:ss")
    return sum(part * scale for part, scale in zip(reversed(parts), (1, 60, 3600), strict=False))


def _words(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(word.strip() for word in value.split(",") if word.strip())


def _crop(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    try:
        numbers = tuple(int(part) for part in value.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 4:
        raise click.BadParameter(f"got {value}, expected X,Y,WIDTH,HEIGHT in pixels")
    return numbers


def _side_options(function: Callable[..., T]) -> Callable[..., T]:
    """Add a flag for each kind of file beside the video."""
    sides = {
        "json": "Beside it NDJSON, a line a frame.",
        "csv": "Beside it a CSV, a line an object and frame.",
        "srt": "Beside it subtitles that say what is in the picture.",
        "coco": "Beside it COCO's JSON of the analysed frames.",
        "contact-sheet": "Beside it a JPEG with one picture of each object.",
        "clips": "Beside it a folder of those parts that have objects.",
    }
    for name, text in reversed(sides.items()):
        key = f"side_{name.replace('-', '_')}"
        function = click.option(f"--{name}", key, is_flag=True, help=text)(function)
    return function


@click.command(short_help="Draw what is in videos.")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), help="File (.mp4, .mkv, .mov, .avi, .gif) or folder."
)
@click.option("--model", default=DEFAULT_MODEL, show_default=True, help="Name or file of the model.")
@click.option("--score", type=float, default=SCORE_THRESHOLD, show_default=True, help="Least score.")
@click.option("--classes", callback=_words, help="Labels to keep, separated by commas; default: all.")
@click.option(
    "--every", type=click.IntRange(1), default=1, show_default=True, help="Analyse each N-th frame."
)
@click.option("--start", callback=_seconds, help="Where to begin: seconds, or h:mm:ss.")
@click.option("--end", callback=_seconds, help="Where to end, likewise.")
@click.option("--crop", callback=_crop, metavar="X,Y,WIDTH,HEIGHT", help="Only this part of the picture.")
@click.option("--blur", callback=_words, metavar="LABELS", help="Make these unrecognisable, e.g. person.")
@click.option("--trails", is_flag=True, help="Draw the way that objects came.")
@click.option("--no-labels", is_flag=True, help="Draw boxes only.")
@click.option("--fps", type=float, default=25, show_default=True, help="Of a folder of pictures.")
@click.option("--duration", callback=_seconds, help="How long to record a camera.")
@_side_options
@click.option("--resume", is_flag=True, help="Go on where it was stopped; pass over what is done.")
@click.option("--overwrite", is_flag=True, help="Replace what is there.")
@click.option("--quiet", "-q", is_flag=True, help="Say only what went wrong.")
def annotate(
    *,
    inputs: tuple[str, ...],
    output: Path | None,
    start: float | None,
    end: float | None,
    crop: tuple[int, ...] | None,
    blur: tuple[str, ...] | None,
    no_labels: bool,
    duration: float | None,
    resume: bool,
    overwrite: bool,
    quiet: bool,
    **rest: Any,
) -> None:
    """Write videos with boxes around what is in them, as fast as this machine can.

    INPUT is a video, a folder of videos or of pictures, a pattern such as 'cam*/*.mp4', or a camera's
    address with --duration. Without -o the result is beside the input: film.annotated.mp4. Every frame is
    kept, at its time, and the sound is copied as it is.

    Exit code 1: something could not be done; the rest is. 2: an option is wrong. 130: stopped by Ctrl-C.
    """
    from stream_server.cli.annotate.batch import Batch  # noqa: PLC0415
    from stream_server.video.options import Crop, Options  # noqa: PLC0415

    flags = [key for key in rest if key.startswith("side_")]
    sides = {key.removeprefix("side_").replace("_", "-"): rest.pop(key) for key in flags}
    try:
        options = Options(
            start_s=start or 0.0,
            end_s=end,
            crop=Crop(*crop) if crop else None,
            blur=blur or (),
            draw_labels=not no_labels,
            duration_s=duration,
            side=frozenset(name for name, is_wanted in sides.items() if is_wanted),  # type: ignore[misc]
            **rest,
        )
        batch = Batch(inputs, output, options, resume=resume, overwrite=overwrite, is_quiet=quiet)
        sys.exit(batch.run())
    except (StreamServerError, DetectorError) as exc:
        click.echo(f"stream-server: {redact(' '.join(str(exc).split()))}", err=True)
        sys.exit(2)
