"""How far a video is, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is. frames: done, of about `expected`. objects: followed. position_s: in the video."""

    frames: int
    expected: int | None
    objects: int
    position_s: float


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of a video.

    frames: written, as many as were read. analysed: of them; failed: numbers of those that should have been.
    objects: how many of each label were followed. duration_s: of the video; took_s: to do it.
    is_complete: False when it was stopped before its end. notes: what its user should know.
    """

    path: Path
    frames: int
    analysed: int
    failed: tuple[int, ...]
    objects: Mapping[str, int]
    duration_s: float
    took_s: float
    is_complete: bool
    notes: tuple[str, ...]
