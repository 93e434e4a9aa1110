"""A video in, an annotated video out: decode, detect, draw and encode at the same time, frames in order."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from detector.detections import Detections
from detector.pool import DetectorPool
from detector.tuning import planner_for
from stream_server.video.encoding import Drawn, Encoding
from stream_server.video.film import Film
from stream_server.video.footage import Footage
from stream_server.video.looking import Looker, Seen
from stream_server.video.options import Options
from stream_server.video.pixels import Pixels
from stream_server.video.scene import Follower, Scene, draw
from stream_server.video.summary import Progress, Summary
from stream_server.video.writing import OutputError, VideoWriter, kind_of

START_TIMEOUT_S = 120.0
ANSWER_TIMEOUT_S = 30.0

Stopped: TypeAlias = Callable[[], bool]


def annotate(
    path: str | Path,
    out: str | Path,
    options: Options | None = None,
    *,
    pool: DetectorPool | None = None,
    weight: float = 1.0,
    overwrite: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    is_stopped: Stopped = lambda: False,
) -> Summary:
    """Write the video at `path` to `out`, with what is in it drawn, and return what was done.

    out: its extension says what is written, see `writing.KINDS`. It appears when it is whole.
    pool: started; default: one of its own. weight: of this video among all who share the pool.
    on_progress: called after each frame, on this thread; must be quick.
    is_stopped: asked after each frame; once it says so, the file is ended properly there.

    Raises SourceError when `path` cannot be read, OutputError when `out` cannot be written, OptionError for
    wrong options, DetectorError when the model cannot be used.
    """
    options = options or Options()
    with open_footage(path, options) as footage, _pool(options, pool) as detector:
        job = _Job(footage, Path(out), options, detector, overwrite=overwrite)
        return job.run(weight, on_progress, is_stopped)


def detections(
    path: str | Path, options: Options | None = None, *, pool: DetectorPool | None = None
) -> Iterator[tuple[float, Detections]]:
    """Yield, for each frame of the video at `path`, its time and what is in it.

    The time is in seconds from the beginning of the video. Boxes are in pixels of the upright picture, (0, 0)
    its upper left corner (with a crop: of what is cropped); track ids number the objects. In frames that
    `options.every` passes over, objects are carried on. Raises as `annotate` does.
    """
    options = options or Options()
    with open_footage(path, options) as footage, _pool(options, pool) as detector:
        pixels = Pixels(footage.look, options.crop)
        follower = Follower(options, _labels(detector, options))
        with Looker(footage, pixels, detector, options) as looker:
            for item in looker.seen():
                if isinstance(item, Seen):
                    yield item.shot.time_s, follower.follow(item).objects


def open_footage(path: str | Path, options: Options) -> Footage:
    """Return what is at `path`, open. Raises SourceError with the reason."""
    return Film(Path(path), options)


@contextmanager
def _pool(options: Options, pool: DetectorPool | None) -> Iterator[DetectorPool]:
    """Give the pool that was given, or one of its own, once it takes images."""
    if pool is not None:
        pool.wait_ready(START_TIMEOUT_S)
        yield pool
        return
    with make_pool(options) as own:
        own.wait_ready(START_TIMEOUT_S)
        yield own


def make_pool(options: Options) -> DetectorPool:
    """Return a pool for videos, not started yet: all cores, throughput before latency."""
    planner = planner_for(options.model, "auto", "auto")
    return DetectorPool(options.model, workers=planner, timeout_s=ANSWER_TIMEOUT_S)


def _labels(pool: DetectorPool, options: Options) -> Mapping[int, str]:
    labels = pool.labels
    options.check_labels(set(labels.values()))
    return labels


@dataclass(slots=True)
class _Tally:
    """What is counted on the way."""

    frames: int = 0
    analysed: int = 0
    failed: list[int] = field(default_factory=list)
    labels: dict[int, str] = field(default_factory=dict)
    position_s: float = 0.0

    def count(self, scene: Scene, labels: Mapping[int, str]) -> None:
        seen, objects = scene.seen, scene.objects
        self.frames += 1
        self.analysed += seen.found is not None
        self.position_s = seen.shot.time_s
        if seen.error:
            self.failed.append(seen.shot.number)
        for track_id, class_id in zip(objects.track_ids.tolist(), objects.class_ids.tolist(), strict=True):
            if track_id:
                self.labels.setdefault(track_id, labels.get(class_id, str(class_id)))


class _Job:
    """One video on its way."""

    def __init__(
        self, footage: Footage, out: Path, options: Options, pool: DetectorPool, *, overwrite: bool
    ) -> None:
        self._footage, self._out, self._options, self._pool = footage, out, options, pool
        self._kind = kind_of(out)
        if out.exists() and not overwrite:
            raise OutputError(f"{out} is there already")
        self._pixels = Pixels(footage.look, options.crop)
        self._labels = _labels(pool, options)
        self._tally = _Tally()

    def run(self, weight: float, on_progress: Callable[[Progress], None], is_stopped: Stopped) -> Summary:
        began = time.monotonic()
        part = self._out.with_name(f"{self._out.name}.part")
        footage, look = self._footage, self._pixels.look_in(self._kind)
        follower = Follower(self._options, self._labels)
        writer = VideoWriter(part, self._kind, look, footage.audio)
        with Encoding(writer, self._pixels, self._kind) as encoding:
            with Looker(footage, self._pixels, self._pool, self._options, weight=weight) as looker:
                for item in looker.seen(is_stopped):
                    if isinstance(item, Seen):
                        scene = follower.follow(item)
                        encoding.put(self._draw(scene))
                        self._tally.count(scene, self._labels)
                        on_progress(self._progress())
                    else:
                        encoding.put(item)
            encoding.finish()
        part.replace(self._out)
        return self._summary(writer, time.monotonic() - began, not is_stopped())

    def _draw(self, scene: Scene) -> Drawn:
        seen = scene.seen
        frame, shot = seen.shot.frame, seen.shot
        if scene.is_plain and self._pixels.can_pass(frame, self._kind):
            return Drawn(frame, None, shot.pts, shot.duration)
        image = self._pixels.image(frame) if seen.image is None else seen.image
        return Drawn(frame, draw(scene, image, self._labels, self._options), shot.pts, shot.duration)

    def _progress(self) -> Progress:
        tally = self._tally
        return Progress(tally.frames, self._footage.expected_frames, len(tally.labels), tally.position_s)

    def _summary(self, writer: VideoWriter, took_s: float, is_complete: bool) -> Summary:
        tally, look = self._tally, self._footage.look
        return Summary(
            path=self._out,
            frames=tally.frames,
            analysed=tally.analysed,
            failed=tuple(tally.failed),
            objects=Counter(tally.labels.values()),
            duration_s=tally.position_s - self._options.start_s + float(1 / look.rate)
            if tally.frames
            else 0.0,
            took_s=took_s,
            is_complete=is_complete,
            notes=(*self._footage.notes, *self._pixels.notes(self._kind), *writer.notes),
        )
