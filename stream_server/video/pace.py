"""At which pace a video is worked on, and how long that will take."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

from stream_server.video.summary import Progress

_OVER_S = 10.0
_FEW_FRAMES = 10
_HELD_UP = 0.3


@dataclass(frozen=True, slots=True)
class Pace:
    """How far a video is, as in `Progress`. fps: lately. left_s: until its end, None where nobody knows.

    share: of the time in which it could run, that in which it does; None where nobody knows.
    """

    frames: int = 0
    expected: int | None = None
    objects: int = 0
    position_s: float = 0.0
    fps: float = 0.0
    left_s: float | None = None
    share: float | None = None

    @property
    def waits_for(self) -> str | None:
        """What holds it up, in words; None where nothing does."""
        if self.share is None or self.share > _HELD_UP:
            return None
        percent = max(1, round(100 * self.share))
        return f"others keep the processor busy: it gets {percent} % of the time in which it could work"


class ProgressMeter:
    """Watches the progress of one video; the last ten seconds count, or the last few frames."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def take(self, progress: Progress, share: float | None = None) -> Pace:
        """Return the pace now that it is so far; share: as in `Pace`."""
        now, frames, expected = time.monotonic(), progress.frames, progress.expected
        self._seen.append((now, frames))
        while now - self._seen[0][0] > _OVER_S and frames - self._seen[0][1] > _FEW_FRAMES:
            self._seen.popleft()
        since, before = self._seen[0]
        fps = (frames - before) / (now - since) if now > since else 0.0
        left = None if expected is None else max(0, expected - frames)
        left_s = left / fps if left is not None and fps else None
        return Pace(frames, expected, progress.objects, progress.position_s, fps, left_s, share)
