"""How long the stages take now: Prometheus' histograms over the last minute, and percentiles of them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from stream_server.telemetry.stages import BUCKETS_S, STAGES, Telemetry

WINDOW_S = 60.0
KEEP_EVERY_S = 5.0

Counts: TypeAlias = NDArray[np.int64]
"""(stages, buckets + 1): how many frames took how long, in the order of STAGES and BUCKETS_S."""


class Latencies:
    """Remembers the histograms of the last minute, as long as somebody asks. Any thread may ask."""

    def __init__(self, telemetry: Telemetry, clock: Callable[[], float] = time.monotonic) -> None:
        self._telemetry = telemetry
        self._clock = clock
        self._lock = threading.Lock()  # guards the line
        self._kept: deque[tuple[float, Mapping[str, Counts]]] = deque()

    def read(self, cameras: Iterable[str]) -> tuple[float | None, dict[str, Counts]]:
        """Return over how many seconds, and the counts of each of all cameras in that time.

        None seconds: since each camera's start, for nobody has asked in the last minute.
        """
        now = self._clock()
        newest = {camera: np.array(self._telemetry.counts(camera)) for camera in cameras}
        with self._lock:
            while self._kept and now - self._kept[0][0] > WINDOW_S + KEEP_EVERY_S:
                self._kept.popleft()
            since, before = self._kept[0] if self._kept else (None, {})
            if not self._kept or now - self._kept[-1][0] >= KEEP_EVERY_S:
                self._kept.append((now, newest))
        recent = {camera: _since(counts, before.get(camera)) for camera, counts in newest.items()}
        return None if since is None else now - since, recent


def _since(newest: Counts, before: Counts | None) -> Counts:
    """Return what was counted after `before`; all of it where the camera is another one of that name."""
    return newest if before is None or (newest < before).any() else newest - before


def total(counts: Iterable[Counts]) -> Counts:
    """Return the counts of several cameras together."""
    return sum(counts, np.zeros((len(STAGES), len(BUCKETS_S) + 1), np.int64))


def percentile_s(counts: Sequence[int], percent: float) -> float | None:
    """Return within which time so many percent of frames were done; None when there were none.

    counts: one for each of BUCKETS_S, and one above. Within a bucket times are taken for evenly spread; for
    those above the last one, that is returned: as `histogram_quantile` in Prometheus does.
    """
    rank = sum(counts) * percent / 100
    if rank == 0:
        return None
    low, below = 0.0, 0
    for high, count in zip(BUCKETS_S, counts, strict=False):
        if count and below + count >= rank:
            return low + (high - low) * (rank - below) / count
        low, below = high, below + count
    return BUCKETS_S[-1]
