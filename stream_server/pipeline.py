"""One camera's way from frame to stream: detect, track, annotate, encode, publish."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from detector.detections import Detections
from detector.pool import DetectorPool
from detector.pool.messages import DetectOptions
from stream_server.base.clock import wall_clock
from stream_server.base.latest import LatestSlot
from stream_server.cameras import crashes
from stream_server.cameras.camera import Camera
from stream_server.cameras.history import History
from stream_server.config import CameraConfig, DetectConfig, Overlay, SourceConfig, source_of
from stream_server.detection.camera_detector import CameraDetector, FrameDetections
from stream_server.errors import EncodeError, ImageError
from stream_server.media.frames import Frame
from stream_server.sources.base import Source
from stream_server.streaming.overload import STEPS, OverloadController
from stream_server.streaming.renderer import Renderer, Shown
from stream_server.streaming.streams import Stream, Streams, Variant
from stream_server.telemetry.stages import Counters, Stopwatch

log = logging.getLogger(__name__)

POLL_INTERVAL_S = 0.5
MESSAGE_EVERY_S = 1.0
"""How often viewers of a lost camera get a picture that says why."""
DETECTOR_LATE_S = 2.0
"""Without detections for this long, `overlay=exact` shows frames without boxes rather than nothing."""
FORGET_AFTER_S = 5.0
"""What was found longer ago is not said to be in the picture."""
DEFAULT_SIZE_WH = (1280, 720)
"""Size of the messages about a camera that has not shown a picture yet."""


@dataclass(frozen=True, slots=True)
class _Task:
    """What is looked for in a camera's frames, and by whom."""

    pool: DetectorPool
    model: str
    options: DetectOptions
    config: DetectConfig

    @classmethod
    def of(
        cls, config: CameraConfig, pool: DetectorPool | None, options: DetectOptions, model: str | None
    ) -> _Task | None:
        """Return what a camera's configuration asks for, None where nothing is looked for."""
        if pool is None or not config.detect.enabled:
            return None
        return cls(pool, model or pool.models[0], options, config.detect)


class Pipeline:
    """Owns a camera, its streams and its tracker, and the thread that carries frames from one to the other.

    `camera`, `streams`, `counters`, `history`, `analysis`, `analyses` and `detections_per_s` may be read
    from any thread. Who listens to `analyses` keeps the camera open.
    """

    def __init__(
        self,
        name: str,
        config: CameraConfig,
        open_source: Callable[[SourceConfig], Source],
        *,
        pool: DetectorPool | None,
        options: DetectOptions,
        model: str | None = None,
        stopwatch: Stopwatch,
        on_publish: Callable[[Stream], None] = lambda stream: None,
    ) -> None:
        """Prepare it all; `start` begins.

        pool: None for no detection, whatever the config says. model: one of its, by name; default: its first.
        on_publish: called with a stream that has a new frame or has ended; must be quick.
        """
        self.name = name
        self.config = config
        self.counters = Counters()
        self.history = History()
        self.analyses: LatestSlot[FrameDetections] = LatestSlot()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self.camera = Camera(name, config, open_source, on_change=self._wake.set)
        self.streams = Streams(self._wake.set, on_publish, partial(stopwatch.observe, "send"))
        self._stopwatch = stopwatch
        self.overload = OverloadController(time.monotonic())
        self._renderer = Renderer(self.counters, stopwatch, self.overload)
        self._task = _Task.of(config, pool, options, model)
        self._analyst = self._make_analyst(self._task)
        self._next_analysts: deque[CameraDetector | None] = (
            deque()
        )  # made elsewhere, for the pipeline's thread
        self._seen = 0
        self._message_at = float("-inf")
        self._has_lease = False
        self._thread = threading.Thread(target=self._run, name=f"pipeline-{name}", daemon=True)

    @property
    def title(self) -> str:
        """What people call the camera: the configured title, else its name."""
        return self.config.title or self.name

    def start(self) -> None:
        """Start the camera and the pipeline's thread."""
        self.camera.start()
        self._thread.start()

    def reconfigure(
        self,
        config: CameraConfig,
        *,
        pool: DetectorPool | None,
        options: DetectOptions,
        model: str | None = None,
    ) -> None:
        """Work by `config` from now on; parameters as for a new one. One thread at a time may call this.

        Viewers stay. The source is opened anew only where something else is asked of it; what was found is
        forgotten only where something else is looked for.
        """
        asks_the_same = source_of(config) == source_of(self.config)
        self.config = config
        task = _Task.of(config, pool, options, model)
        if task != self._task:
            self._task = task
            self._next_analysts.append(self._make_analyst(task))
        if asks_the_same:
            self.camera.adjust(config)
        else:
            self.camera.reconfigure(config)
        self._wake.set()

    def stop(self) -> None:
        """End the streams at once, the thread and the camera soon; see `join`."""
        self._stop.set()
        self._wake.set()
        self.streams.close()
        self.analyses.close()
        self.camera.stop()

    def join(self, timeout_s: float) -> None:
        """Wait until all that `stop` ends has ended; what has not is named in the log."""
        until = time.monotonic() + timeout_s
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        if self._thread.is_alive():
            log.warning("camera %s: its pipeline did not end within %.0f s", self.name, timeout_s)
        self.camera.join(max(0.0, until - time.monotonic()))

    @property
    def is_alive(self) -> bool:
        """Whether the thread that carries frames runs."""
        return self._thread.is_alive()

    @property
    def detects(self) -> bool:
        """Whether objects are looked for in this camera's frames."""
        return self._task is not None

    @property
    def decode_errors(self) -> int:
        """Pictures since the start that were broken, or predicted from one that was broken or lost."""
        return self.counters.decode_errors + self.camera.decode_errors

    @property
    def labels(self) -> Mapping[int, str]:
        """The names of the class ids; empty without a detector or before it is ready."""
        return self._analyst.labels if self._analyst else {}

    @property
    def analysis(self) -> FrameDetections | None:
        """What was found last."""
        return self._analyst.latest if self._analyst else None

    @property
    def detections_per_s(self) -> float:
        """Frames analysed per second."""
        return self._analyst.rate.per_second if self._analyst else 0.0

    def objects(self) -> Counter[str]:
        """Return how many of each label the last analysed frame shows; empty when that is long ago."""
        analysis = self.analysis
        if analysis is None or time.monotonic() - analysis.frame.captured_at > FORGET_AFTER_S:
            return Counter()
        return Counter(self.labels.get(int(i), str(i)) for i in analysis.detections.class_ids)

    def _make_analyst(self, task: _Task | None) -> CameraDetector | None:
        if task is None:
            return None
        return CameraDetector(
            task.pool,
            task.config,
            task.options,
            name=self.name,
            model=task.model,
            image_of=self._renderer.image_of,
            counters=self.counters,
            stopwatch=self._stopwatch,
            wake=self._wake.set,
        )

    def _run(self) -> None:
        with crashes.working_on(self.name, self.config):
            try:
                self._run_until_stopped()
            finally:
                self._change_analyst()
                if self._analyst:
                    self._analyst.close()

    def _run_until_stopped(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(POLL_INTERVAL_S)
            self._wake.clear()
            began = time.monotonic()
            try:
                self._step()
                self._govern(began)
            except Exception:
                log.exception("camera %s: a frame was lost", self.name)
                self._stop.wait(POLL_INTERVAL_S)  # whatever is broken, let it not fill the disk

    def _govern(self, began: float) -> None:
        """Step quality and rate down while there is more to do than time, and up again after."""
        now = time.monotonic()
        if self.overload.worked(now - began, now):
            level = self.overload.level
            text = (
                f"quality and rate are stepped down {level} of {len(STEPS) - 1}"
                if level
                else "keeps up again"
            )
            log.log(logging.WARNING if level else logging.INFO, "camera %s: %s", self.name, text)
            self.streams.set_pace(self.overload.step.pace)

    def _change_analyst(self) -> None:
        """Have frames looked at as was said last."""
        while self._next_analysts:
            if self._analyst:
                self._analyst.close()
            self._analyst = self._next_analysts.popleft()

    def _step(self) -> None:
        self._change_analyst()
        self._update_lease()
        frame = self.camera.frames.item
        if self._analyst and frame is not None:
            self._analyst.offer(frame)
        self._collect()
        self._note()
        if not self.camera.is_online:
            self._publish_message()
        elif frame is not None:
            self._publish_frame(frame)

    # Which frames are wanted.

    def _update_lease(self) -> None:
        """Want frames while someone watches, and always where detection runs on a camera kept open."""
        detects_always = self._task is not None and not self.config.on_demand
        wanted = detects_always or self.streams.viewers > 0 or self.analyses.is_heard
        if wanted and not self._has_lease:
            self.camera.acquire()
        elif self._has_lease and not wanted:
            self.camera.release()
        self._has_lease = wanted

    def _collect(self) -> None:
        """Publish what was found since last time, and the frames to those who see no others."""
        if self._analyst is None:
            return
        for analysis in self._analyst.collect():
            self.history.found(analysis)
            self.analyses.put(analysis)
            for stream in self._watched("exact"):
                if stream.is_due(analysis.frame, time.monotonic()):
                    self._publish(stream, analysis.frame, analysis.detections)

    def _note(self) -> None:
        now = time.monotonic()
        if self.history.is_due(now):
            self.history.note(now, fps=self.camera.fps, detection_fps=self.detections_per_s)

    # Publishing.

    def _watched(self, *overlays: Overlay) -> list[Stream]:
        return [stream for stream in self.streams.watched if stream.variant.overlay in overlays]

    def _publish_frame(self, frame: Frame) -> None:
        """Publish the camera's newest frame to the streams that it is due for."""
        self._count(frame)
        overlays: tuple[Overlay, ...] = ("live", "none")
        if self._analyst is None or self._analyst.silent_s(frame.captured_at) > DETECTOR_LATE_S:
            overlays = ("live", "none", "exact")
        now = time.monotonic()
        for stream in self._watched(*overlays):
            if stream.is_due(frame, now):
                self._publish(stream, frame, self._detections_for(stream.variant, frame))

    def _detections_for(self, variant: Variant, frame: Frame) -> Detections:
        if self._analyst is None or variant.overlay == "none" or not variant.boxes:
            return Detections.none()  # carrying them costs as much as all else here
        return self._analyst.boxes_at(frame.captured_at)

    def _count(self, frame: Frame) -> None:
        if frame.sequence != self._seen:
            self.counters.seen += 1
            self.counters.dropped += max(0, frame.sequence - self._seen - 1)
            self._seen = frame.sequence
            self._stopwatch.observe("capture", time.monotonic() - frame.captured_at)

    def _publish(self, stream: Stream, frame: Frame, detections: Detections) -> None:
        try:
            encoded = self._renderer.render(stream.variant, frame, detections, self._shown_of(frame))
        except (ImageError, EncodeError):
            self.counters.decode_errors += 1
        else:
            stream.publish(encoded)

    def _shown_of(self, frame: Frame) -> Shown:
        taken_at = datetime.fromtimestamp(wall_clock(frame.captured_at))
        caption = f"{self.title}  {taken_at:%Y-%m-%d %H:%M:%S}  {self.camera.fps:.0f} fps"
        return Shown(self.labels, (caption,), self.config.stream.quality)

    def _publish_message(self) -> None:
        """Show viewers of a lost camera why it is lost, once a second."""
        now = time.monotonic()
        is_due = now - self._message_at >= MESSAGE_EVERY_S
        for stream in self.streams.watched:
            if is_due or stream.frames.item is None:
                self._message_at = now
                self._publish_reason(stream)
        if self.camera.state == "ended":
            self.streams.end()

    def _publish_reason(self, stream: Stream) -> None:
        size_wh = self.camera.size_wh if all(self.camera.size_wh) else DEFAULT_SIZE_WH
        state = self.camera.state.replace("_", " ")
        reason = f"{state}: {self.camera.reason}" if self.camera.reason else state
        quality = self.config.stream.quality
        stream.publish(
            self._renderer.message(stream.variant, size_wh, (self.title, reason), self._seen, quality)
        )
