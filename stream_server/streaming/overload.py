"""Notices that a pipeline cannot keep up, and says how far to step down."""

from __future__ import annotations

from dataclasses import dataclass

WINDOW_S = 1.0
BUSY, RELAXED = 0.9, 0.5
"""Share of a window's time that was worked: above the one too much, below the other room for more."""
BUSY_WINDOWS, RELAXED_WINDOWS = 2, 5
"""So many windows in a row until a step down, or up: quick to help, slow to trust."""


@dataclass(frozen=True, slots=True)
class QualityStep:
    """What viewers get less than they asked for. quality: taken off the JPEG's; pace: share of the rate."""

    quality: int
    pace: float


STEPS = (QualityStep(0, 1.0), QualityStep(15, 0.75), QualityStep(30, 0.5), QualityStep(45, 0.33))
LEAST_QUALITY = 30


class OverloadController:
    """Watches how busy one thread is; `level` is the index of the step to take. For that thread alone."""

    def __init__(self, started_at: float) -> None:
        """Start at level 0. started_at: monotonic seconds, as in `worked`."""
        self.level = 0
        self._window_began = started_at
        self._busy_s = 0.0
        self._in_a_row = 0  # busy windows, or relaxed ones counted below zero

    @property
    def step(self) -> QualityStep:
        """What to take off now."""
        return STEPS[self.level]

    def worked(self, busy_s: float, now: float) -> bool:
        """Count work of `busy_s` seconds that ended `now`; return whether the level has changed."""
        self._busy_s += busy_s
        elapsed_s = now - self._window_began
        if elapsed_s < WINDOW_S:
            return False
        share, self._busy_s, self._window_began = self._busy_s / elapsed_s, 0.0, now
        if share > BUSY:
            self._in_a_row = max(self._in_a_row, 0) + 1
        elif share < RELAXED:
            self._in_a_row = min(self._in_a_row, 0) - 1
        else:
            self._in_a_row = 0
        return self._change()

    def _change(self) -> bool:
        old = self.level
        if self._in_a_row >= BUSY_WINDOWS:
            self.level = min(self.level + 1, len(STEPS) - 1)
            self._in_a_row = 0
        elif self._in_a_row <= -RELAXED_WINDOWS:
            self.level = max(self.level - 1, 0)
            self._in_a_row = 0
        return self.level != old

    def quality(self, asked: int) -> int:
        """Return the JPEG quality to use where `asked` is what was asked for."""
        return min(asked, max(LEAST_QUALITY, asked - self.step.quality))
