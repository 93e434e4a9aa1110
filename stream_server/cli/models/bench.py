"""How fast models are on this machine, and for how many cameras that is enough."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field
from rich.table import Table

from detector import load_detector
from detector.backends.loading import kind_of
from detector.machine import describe, usable_cores
from detector.model_file import ModelFile
from detector.pool.layout import Layout, layouts
from detector.pool.speed import Speed, measure, sample_images
from detector.zoo.catalog import KNOWN_MODELS, find_model
from detector.zoo.entries import ZOO
from detector.zoo.store import read_record
from stream_server.cli.models.accuracy import Photos, average_precision, read_photos
from stream_server.errors import ConfigError

CAMERA_RATES = (5, 15, 30)


class Row(BaseModel):
    """One model with one division of the cores."""

    model_config = ConfigDict(frozen=True)

    model: str
    runtime: str
    workers: int
    threads: int = Field(description="In each worker.")
    ms: float = Field(description="From handing over a picture to its detections, alone, median.")
    fps: float = Field(description="Pictures a second with all workers busy.")
    memory_mb: float = Field(description="Of all workers, their own.")


class Report(BaseModel):
    """What was measured."""

    model_config = ConfigDict(frozen=True)

    machine: str
    size: str = Field(description="Of the pictures.")
    rows: tuple[Row, ...]
    accuracy: dict[str, float] = Field(description="AP on the given pictures, by model.")
    in_words: tuple[str, ...]


def bench_models(
    names: Sequence[str], *, size: str, seconds: float, coco: Path | None, say: Callable[[str], None]
) -> Report:
    """Return how fast the models are; without names: those that are here.

    size: of the pictures, e.g. "1280x720". seconds: of measuring for each row. coco: pictures to measure AP
    on. say: told what is being measured.

    Raises ConfigError for another size or folder, DetectorError when a model cannot be used.
    """
    size_wh = _parse_size(size)
    photos = read_photos(coco) if coco else None
    files = [find_model(name) for name in names or _names_here()]
    rows: list[Row] = []
    accuracy: dict[str, float] = {}
    for file in files:
        for layout in _layouts(usable_cores()):
            say(f"{file.name}: {_layout_in_words(layout)}")
            rows.append(_row(file, measure(file, layout, sample_images(size_wh), seconds)))
        if photos:
            say(f"{file.name}: {len(photos.paths)} pictures")
            accuracy[file.name] = _accuracy(file, photos)
    return Report(
        machine=describe(), size=size, rows=tuple(rows), accuracy=accuracy, in_words=tuple(_in_words(rows))
    )


def as_table(report: Report) -> Table:
    """Return the report for a terminal."""
    table = Table(title=f"{report.machine}; pictures of {report.size}", title_justify="left", box=None)
    headings = ("model", "runtime", "workers", "threads each", "ms a picture", "pictures/s", "memory MB")
    for heading in (*headings, *(("AP",) if report.accuracy else ())):
        table.add_column(heading, justify="left" if heading in ("model", "runtime") else "right")
    for row in report.rows:
        ap = [f"{report.accuracy[row.model]:.3f}"] if report.accuracy else []
        figures = (f"{row.ms:.1f}", f"{row.fps:.1f}", f"{row.memory_mb:.0f}")
        table.add_row(row.model, row.runtime, str(row.workers), str(row.threads), *figures, *ap)
    return table


def _parse_size(size: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{2,4})x(\d{2,4})", size)
    if not match:
        raise ConfigError(f"--size: got {size}, expected width x height, e.g. 1280x720")
    return int(match[1]), int(match[2])


def _names_here() -> list[str]:
    return [known.file.name for known in KNOWN_MODELS] + [model.name for model in ZOO if read_record(model)]


def _layouts(cores: int) -> list[Layout]:
    """Return one worker of one thread, for comparison, and the ways to use all cores."""
    return list(dict.fromkeys([Layout(1, 1), *layouts(cores)]))


def _row(file: ModelFile, speed: Speed) -> Row:
    return Row(
        model=file.name,
        runtime="LiteRT" if kind_of(file.path) == "tflite" else "TensorFlow",
        workers=speed.layout.workers,
        threads=speed.layout.threads,
        ms=round(speed.latency_ms, 2),
        fps=round(speed.per_s, 2),
        memory_mb=round(speed.memory_bytes / 1e6, 1),
    )


def _accuracy(file: ModelFile, photos: Photos) -> float:
    with load_detector(file, threads=usable_cores()) as detector:
        return round(average_precision(detector, photos), 4)


def _in_words(rows: Sequence[Row]) -> Iterator[str]:
    """Yield for each model what its fastest row is good for."""
    for model in dict.fromkeys(row.model for row in rows):
        best = max((row for row in rows if row.model == model), key=lambda row: row.fps)
        layout = _layout_in_words(Layout(best.workers, best.threads))
        yield f"{model}: {best.fps:.0f} pictures a second with {layout}: {cameras_in_words(best.fps)}"


def cameras_in_words(fps: float) -> str:
    """Return for how many cameras so many pictures a second are enough."""
    enough = [(int(fps // rate), rate) for rate in CAMERA_RATES if fps >= rate]
    if not enough:
        return f"1 camera at {fps:.1f} fps"
    return " or ".join(f"{count} camera{'s' * (count > 1)} at {rate} fps" for count, rate in enough)


def _layout_in_words(layout: Layout) -> str:
    workers, threads = layout
    return f"{workers} worker{'s' * (workers > 1)} of {threads} thread{'s' * (threads > 1)}"
