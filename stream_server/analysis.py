"""A camera's frames at the detector: which are offered, and what becomes of the answers."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass

from detector.detections import BGRImage, Detections
from detector.detector import SCORE_THRESHOLD
from detector.errors import DetectorBusy, DetectorError
from detector.pool import DetectorPool
from detector.worker import DetectOptions
from stream_server.config import DetectConfig
from stream_server.errors import ImageError
from stream_server.frames import Frame
from stream_server.rates import RateMeter, Throttle
from stream_server.telemetry import Counters, Stopwatch
from stream_server.tracking import Tracker

UNSURE = 0.5
"""Objects already followed are looked for down to this share of the threshold (ByteTrack's second stage)."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """What was found in one frame of a camera; boxes are in pixels of `frame`."""

    frame: Frame
    detections: Detections
    latency_s: float


class Analyst:
    """Has one camera's frames looked at, newest first, and follows what is found.

    Belongs to the pipeline's thread; `latest` and `rate` may be read from any.
    """

    def __init__(
        self,
        pool: DetectorPool,
        config: DetectConfig,
        options: DetectOptions,
        *,
        image_of: Callable[[Frame], BGRImage],
        counters: Counters,
        stopwatch: Stopwatch,
        wake: Callable[[], None],
    ) -> None:
        """image_of: returns a frame's pixels or raises ImageError.

        wake: called, on any thread, when `collect` has something to do.
        """
        self.latest: Analysis | None = None
        self.rate = RateMeter()
        self._pool = pool
        self._options = options
        self._image_of = image_of
        self._counters = counters
        self._stopwatch = stopwatch
        self._wake = wake
        self._throttle = Throttle(config.fps)
        self._submitted = 0
        self._finished: deque[tuple[Frame, Future[Detections]]] = deque()
        asked = options.score_threshold
        self._score_threshold = SCORE_THRESHOLD if asked is None else asked
        self._tracker = Tracker(self._score_threshold)
        self._tracked_wh = (0, 0)
        self._analysed_at = float("-inf")

    def offer(self, frame: Frame) -> None:
        """Have `frame` looked at if it is time and somebody has time for it; it is never waited with."""
        if not self._is_wanted(frame) or not self._pool.idle_workers:
            return
        self._throttle.take(frame.captured_at)
        self._submitted = frame.sequence
        try:
            self._submit(frame)
        except ImageError:
            self._counters.decode_errors += 1
        except DetectorBusy:
            pass
        except DetectorError:
            self._counters.detector_errors += 1

    def collect(self) -> Iterator[Analysis]:
        """Take in the answers that came since last time, and yield what they say."""
        while self._finished:
            frame, future = self._finished.popleft()
            if future.cancelled():
                continue
            error = future.exception()
            if error is None:
                yield from self._take_in(frame, future.result())
            elif isinstance(error, DetectorError):
                self._counters.detector_errors += 1
            else:
                raise error

    def boxes_at(self, captured_at: float) -> Detections:
        """Return what is followed, carried to the time of a frame."""
        return self._tracker.at(captured_at)

    def silent_s(self, captured_at: float) -> float:
        """Return how much older than a frame of that time the last analysed one is; inf before the first."""
        return captured_at - self._analysed_at

    def _is_wanted(self, frame: Frame) -> bool:
        is_new = frame.sequence > self._submitted
        return is_new and self._throttle.is_due(frame.captured_at) and self._gate(frame)

    def _gate(self, frame: Frame) -> bool:
        """Whether `frame`, new and due, is worth the detector's time.

        Asked for the newest frame again and again until one is taken.
        """
        return True

    def _filter(self, frame: Frame, detections: Detections) -> Detections:
        """Return those of the detections in `frame` that count for this camera."""
        return detections

    def _submit(self, frame: Frame) -> None:
        future = self._pool.submit(
            self._image_of(frame),
            score_threshold=UNSURE * self._score_threshold,
            iou_threshold=self._options.iou_threshold,
            classes=self._options.classes,
            max_detections=self._options.max_detections,
            may_wait=False,
        )
        future.add_done_callback(lambda done: self._finish(frame, done))

    def _finish(self, frame: Frame, future: Future[Detections]) -> None:
        """Remember the answer and wake the pipeline; called on the pool's thread."""
        self._finished.append((frame, future))
        self._wake()

    def _take_in(self, frame: Frame, detections: Detections) -> Iterator[Analysis]:
        if frame.captured_at <= self._analysed_at:
            return  # a slower worker's answer about an older frame than the tracker knows
        self._analysed_at = frame.captured_at
        if frame.size_wh != self._tracked_wh:
            self._tracker.forget()
            self._tracked_wh = frame.size_wh
        tracked = self._tracker.update(self._filter(frame, detections), frame.captured_at)
        self.latest = Analysis(frame, tracked, time.monotonic() - frame.captured_at)
        self.rate.tick()
        self._stopwatch.took("detect", self.latest.latency_s)
        yield self.latest
