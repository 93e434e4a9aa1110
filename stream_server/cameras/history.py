"""How a camera did in the last minutes: a sample every few seconds, the oldest forgotten."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

from stream_server.detection.camera_detector import FrameDetections

STEP_S = 2.0
KEPT_S = 600.0


@dataclass(frozen=True, slots=True)
class Sample:
    """A step of a camera's history.

    at: its end, monotonic seconds. latency_s: mean of the frames analysed in it; None without any.
    objects: by class id the most that one frame showed.
    """

    at: float
    fps: float
    detection_fps: float
    latency_s: float | None
    objects: Mapping[int, int]


class History:
    """The last KEPT_S of a camera. One thread notes, any thread reads."""

    def __init__(self, now: float | None = None) -> None:
        """now: monotonic seconds when it begins; default: now."""
        self._samples: deque[Sample] = deque(maxlen=round(KEPT_S / STEP_S))
        self._due = (time.monotonic() if now is None else now) + STEP_S
        self._latencies_s: list[float] = []
        self._objects: Counter[int] = Counter()

    def found(self, analysis: FrameDetections) -> None:
        """Note what a frame shows, in the step that runs."""
        self._latencies_s.append(analysis.latency_s)
        self._objects |= Counter(analysis.detections.class_ids.tolist())

    def is_due(self, now: float) -> bool:
        """Return whether the step that runs is over."""
        return now >= self._due

    def note(self, now: float, *, fps: float, detection_fps: float) -> None:
        """End the step that runs, with how many frames came and were analysed per second."""
        latency_s = sum(self._latencies_s) / len(self._latencies_s) if self._latencies_s else None
        self._samples.append(Sample(now, fps, detection_fps, latency_s, dict(self._objects)))
        self._latencies_s, self._objects = [], Counter()
        self._due = max(self._due + STEP_S, now)

    @property
    def samples(self) -> tuple[Sample, ...]:
        """What is kept, the oldest first."""
        return tuple(self._samples)
