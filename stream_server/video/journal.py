"""What was found so far in a video, kept beside the output until that is whole, so that work can go on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np

from detector.detections import Detections
from stream_server.video.formats import OutputError
from stream_server.video.options import Options

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known about a frame that was analysed: what was found in it, or why nothing is known."""

    found: Detections | None
    error: str | None = None


def path_for(out: Path) -> Path:
    """Return where the journal of the output `out` is."""
    return out.with_name(f"{out.name}.journal")


def identity(source: Path, options: Options) -> str:
    """Return what must be the same for work to go on: the input, and what is to be done with it."""
    try:
        stat = source.stat()
    except OSError:
        return f"{source}"
    relevant = replace(options, side=frozenset())
    return f"{_VERSION} {source.name} {stat.st_size} {stat.st_mtime_ns} {relevant}"


class Journal:
    """A line a frame. What an earlier run has written is read again, in order; what is new is added."""

    def __init__(self, path: Path, identity: str, *, go_on: bool) -> None:
        """go_on: keep what is there. Raises OutputError when that is about another input or other options."""
        self._path = path
        self._past: Iterator[tuple[int, Answer]] = iter(())
        if go_on and path.exists():
            self._check(identity)
            self._past = self._read()
        self._next = next(self._past, None)
        self._is_past = self._next is not None
        self._file: IO[str] = self._open("a" if self._is_past else "w")
        if not self._is_past:
            self._line(identity)

    def known(self, number: int) -> Answer | None:
        """Return what an earlier run has found in a frame; asked in the frames' order, from one thread."""
        while self._next is not None and self._next[0] < number:
            self._next = next(self._past, None)
        return self._next[1] if self._next is not None and self._next[0] == number else None

    def note(self, number: int, answer: Answer) -> None:
        """Keep what is known about a frame. Raises OutputError."""
        found = answer.found
        objects = None if found is None else _rows(found)
        self._line([number, objects, answer.error])

    def remove(self) -> None:
        """Forget it all: the output is whole."""
        self.close()
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._file.close()

    def _open(self, mode: str) -> IO[str]:
        try:
            return self._path.open(mode, encoding="utf-8", buffering=1)
        except OSError as exc:
            raise OutputError.of(self._path, exc) from None

    def _line(self, value: object) -> None:
        try:
            self._file.write(json.dumps(value, separators=(",", ":")) + "\n")
        except OSError as exc:
            raise OutputError.of(self._path, exc) from None

    def _check(self, identity: str) -> None:
        with self._path.open(encoding="utf-8", errors="replace") as file:
            first = file.readline()
        if first and first.rstrip("\n") != json.dumps(identity, separators=(",", ":")):
            raise OutputError(
                f"{self._path.name} is about another input or other options: give the same, or overwrite it"
            )

    def _read(self) -> Iterator[tuple[int, Answer]]:
        with self._path.open(encoding="utf-8", errors="replace") as file:
            file.readline()
            for line in file:
                try:
                    number, rows, error = json.loads(line)
                    yield int(number), Answer(None if rows is None else _detections(rows), error)
                except (ValueError, TypeError):
                    return  # the line that a crash cut off


def _rows(found: Detections) -> list[list[float]]:
    table = zip(found.boxes.tolist(), found.scores.tolist(), found.class_ids.tolist(), strict=True)
    return [[*box, score, class_id] for box, score, class_id in table]


def _detections(rows: list[list[float]]) -> Detections:
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Detections(
        table[:, :4].astype(np.float32), table[:, 4].astype(np.float32), table[:, 5].astype(np.int64)
    )
