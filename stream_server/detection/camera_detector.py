"""A camera's frames at the detector: which are offered, and what becomes of the answers."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from functools import partial

from detector.detections import BGRImage, Detections
from detector.detector import IOU_THRESHOLD, MAX_DETECTIONS, SCORE_THRESHOLD
from detector.errors import DetectorBusy, DetectorError
from detector.pool import DetectorPool
from detector.pool.messages import DetectOptions
from stream_server.base.rates import RateMeter
from stream_server.config import DetectConfig
from stream_server.detection.motion import MotionGate
from stream_server.detection.regions import Regions, Thresholds
from stream_server.detection.schedule import DetectionSchedule
from stream_server.detection.tiles import Gathering, Tile, cut_out, merge, split
from stream_server.detection.tracking import Followed, Tracker
from stream_server.errors import ImageError
from stream_server.media.encode import encode_jpeg, resize
from stream_server.media.frames import Frame
from stream_server.telemetry.stages import Counters, Stopwatch

UNSURE = 0.5
"""Objects already followed are looked for down to this share of the threshold (ByteTrack's second stage)."""


@dataclass(frozen=True, slots=True)
class FrameDetections:
    """What was found in one frame of a camera, and what is followed since; boxes are in pixels of `frame`."""

    frame: Frame
    detections: Detections
    followed: Followed
    latency_s: float
    _jpegs: dict[tuple[int | None, int], bytes] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def jpeg(self, width: int | None, quality: int) -> bytes:
        """Return the frame, nothing drawn on it, as a JPEG; made when first asked for, any thread may ask.

        width: in pixels, at most the frame's own; None: that. Two threads at once make it twice, which is
        cheaper than a lock: both are right. Raises ImageError, EncodeError.
        """
        jpeg = self._jpegs.get((width, quality))
        if jpeg is None:
            jpeg = self._jpegs[width, quality] = encode_jpeg(resize(self.frame.image, width), quality)
        return jpeg


@dataclass(frozen=True, slots=True)
class _Answer:
    """What is said about a frame. found: returns it, or raises what went wrong.

    is_repeated: nobody looked: nothing moved since the last answer, which this is.
    """

    frame: Frame
    found: Callable[[], Detections]
    is_repeated: bool = False


class CameraDetector:
    """Has one camera's frames looked at, newest first, and follows what is found.

    Belongs to the pipeline's thread; `latest` and `rate` may be read from any.
    """

    def __init__(
        self,
        pool: DetectorPool,
        config: DetectConfig,
        options: DetectOptions,
        *,
        name: str,
        model: str,
        image_of: Callable[[Frame], BGRImage],
        counters: Counters,
        stopwatch: Stopwatch,
        wake: Callable[[], None],
    ) -> None:
        """name: of the camera. model: one of the pool's, by name.

        image_of: returns a frame's pixels or raises ImageError.
        wake: called, on any thread, when `collect` has something to do or a frame may be offered.
        """
        self.latest: FrameDetections | None = None
        self.rate = RateMeter()
        self._labels = partial(pool.labels_of, model)
        self._model = model
        self._options = options
        self._image_of = image_of
        self._counters = counters
        self._stopwatch = stopwatch
        self._wake = wake
        self._moved = 0
        self._in_flight = 0
        self._finished: deque[_Answer] = deque()
        asked = options.score_threshold
        self._thresholds = Thresholds(SCORE_THRESHOLD if asked is None else asked, config.score_thresholds)
        self._regions = Regions(
            inside=config.inside, ignore=config.ignore, min_wh=(config.min_width, config.min_height)
        )
        self._gate = MotionGate(config.motion, self._regions) if config.motion.gate else None
        self._grid = config.grid
        columns, rows = config.grid
        self._client = pool.client(
            f"camera {name}", weight=config.weight, max_waiting=columns * rows + 1, on_turn=wake
        )
        self._turns = DetectionSchedule(self._client, config, counters, stopwatch)
        self._tracker = Tracker()
        self._tracked_wh = (0, 0)
        self._found = Detections.none()
        self._analysed_at = float("-inf")

    def offer(self, frame: Frame) -> None:
        """Have `frame`, the newest, looked at if it is time and this camera's turn.

        A frame waits for its turn until there is a newer one, or it is too old. It is decoded when it has
        its turn. Of a still frame the last answer is repeated.
        """
        if not self._turns.is_due(frame):
            return
        try:
            if self._is_still(frame):
                self._turns.skip(frame)
                self._repeat(frame)
            elif self._turns.has_come(frame):
                self._turns.take(frame)
                self._submit(frame)
        except ImageError:
            self._turns.skip(frame)
            self._counters.decode_errors += 1
        except DetectorBusy:
            pass
        except DetectorError:
            self._counters.detector_errors += 1

    def close(self) -> None:
        """Offer no more frames."""
        self._client.close()

    def collect(self) -> Iterator[FrameDetections]:
        """Take in the answers that came since last time, and yield what they say."""
        while self._finished:
            answer = self._finished.popleft()
            self._in_flight -= not answer.is_repeated
            try:
                found = answer.found()
            except CancelledError:
                continue
            except DetectorError:
                self._counters.detector_errors += 1
            else:
                yield from self._take_in(answer, found)

    @property
    def labels(self) -> Mapping[int, str]:
        """The names of the class ids; empty before the detector is ready."""
        return self._labels()

    def boxes_at(self, captured_at: float) -> Detections:
        """Return what is followed, carried to the time of a frame."""
        return self._tracker.at(captured_at)

    def silent_s(self, captured_at: float) -> float:
        """Return how much older than a frame of that time the last analysed one is; inf before the first."""
        return captured_at - self._analysed_at

    # Which frames are looked at.

    def _is_still(self, frame: Frame) -> bool:
        """Whether `frame`, new and due, is not worth the detector's time."""
        if self._gate is None or frame.sequence == self._moved:
            return False  # it has been asked about already, and waits for its turn
        if self._gate.opens(frame.picture, frame.captured_at):
            self._moved = frame.sequence
            return False
        return frame.size_wh == self._tracked_wh

    def _repeat(self, frame: Frame) -> None:
        """Say of `frame` what was found last, unless a newer answer is on its way."""
        self._counters.still += 1
        if not self._in_flight:
            self._finished.append(_Answer(frame, lambda: self._found, is_repeated=True))

    # How they are.

    def _submit(self, frame: Frame) -> None:
        image, tiles = self._image_of(frame), split(frame.size_wh, *self._grid)
        answers: list[Future[Detections]] = []
        try:
            for tile in tiles:
                answers.append(self._submit_tile(cut_out(image, tile), self._turns.seconds_left(frame)))
        except DetectorError:
            for answer in answers:
                answer.cancel()
            raise
        self._in_flight += 1
        Gathering(answers, partial(self._finish, frame, tiles))

    def _submit_tile(self, image: BGRImage, timeout_s: float) -> Future[Detections]:
        return self._client.submit(
            image,
            model=self._model,
            score_threshold=UNSURE * self._thresholds.lowest,
            iou_threshold=self._options.iou_threshold,
            classes=self._options.classes,
            max_detections=self._options.max_detections,
            timeout_s=timeout_s,
        )

    def _finish(self, frame: Frame, tiles: list[Tile], answers: Sequence[Future[Detections]]) -> None:
        """Remember the answer and wake the pipeline; called on the pool's thread."""
        self._finished.append(_Answer(frame, partial(self._merge, answers, tiles)))
        self._wake()

    def _merge(self, answers: Sequence[Future[Detections]], tiles: list[Tile]) -> Detections:
        """Return what was found in all tiles; raises what went wrong first, CancelledError included."""
        iou_threshold, most = self._options.iou_threshold, self._options.max_detections
        return merge(
            [answer.result() for answer in answers],
            tiles,
            iou_threshold=IOU_THRESHOLD if iou_threshold is None else iou_threshold,
            max_detections=MAX_DETECTIONS if most is None else most,
        )

    # What becomes of the answers.

    def _take_in(self, answer: _Answer, found: Detections) -> Iterator[FrameDetections]:
        frame = answer.frame
        if frame.captured_at <= self._analysed_at:
            return  # a slower worker's answer about an older frame than the tracker knows
        self._analysed_at = frame.captured_at
        if frame.size_wh != self._tracked_wh:
            self._tracker.forget()
            self._tracked_wh = frame.size_wh
        self._found = found
        detections = self._follow(frame, found)
        latency_s = time.monotonic() - frame.captured_at
        self.latest = FrameDetections(frame, detections, self._tracker.followed(), latency_s)
        if not answer.is_repeated:
            self._count(self.latest)
        yield self.latest

    def _follow(self, frame: Frame, found: Detections) -> Detections:
        """Return, with ids, what counts for this camera of what was found in `frame`."""
        found = self._regions.keep(found, frame.size_wh)
        thresholds = self._thresholds.of(found.class_ids, self.labels)
        is_near = found.scores >= UNSURE * thresholds
        return self._tracker.update(found[is_near], frame.captured_at, thresholds[is_near])

    def _count(self, analysis: FrameDetections) -> None:
        frame = analysis.frame
        if self._gate:
            self._gate.learn(analysis.detections.boxes, frame.size_wh, frame.captured_at)
        self._counters.analysed += 1
        self.rate.tick()
        self._stopwatch.observe("detect", analysis.latency_s)
