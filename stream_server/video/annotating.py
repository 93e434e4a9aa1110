"""A video in, an annotated video out: decode, detect, draw and encode at the same time, frames in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from detector.detections import Detections
from detector.pool import DetectorPool
from detector.pool.tuning import planner_for
from stream_server.video import journal
from stream_server.video.annotator import VideoAnnotator
from stream_server.video.detecting import DetectedFrame, FrameDetector
from stream_server.video.formats import OutputError, kind_of
from stream_server.video.input.opening import open_footage
from stream_server.video.journal import Journal
from stream_server.video.options import Options
from stream_server.video.pixels import Pixels
from stream_server.video.scene import Follower
from stream_server.video.summary import Progress, Summary

START_TIMEOUT_S = 120.0
ANSWER_TIMEOUT_S = 30.0


def annotate(
    path: str | Path,
    out: str | Path,
    options: Options | None = None,
    *,
    pool: DetectorPool | None = None,
    weight: float = 1.0,
    overwrite: bool = False,
    resume: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Summary:
    """Write the video at `path` to `out`, with what is in it drawn; return what was done.

    path: of a video file or a folder of pictures, or a camera's address.
    out: its extension says what is written, see `writing.KINDS`. It appears when it is whole.
    pool: started; default: one of its own. weight: of this video among all who share the pool.
    overwrite: replace what is at `out`. resume: go on where an earlier call with the same options was stopped
        or died; without one, begin.
    on_progress: called after each frame, on this thread; must be quick.
    is_stopped: asked after each frame, and while one is waited for; once it says so, the file is ended there.

    Raises SourceError when `path` cannot be read, OutputError when `out` cannot be written (what was written
    before that is kept, as `out` and ".part"), OptionError for wrong options, DetectorError when the model
    cannot be used.
    """
    options, out = options or Options(), Path(out)
    kind_of(out)
    _check_free(out, overwrite=overwrite, resume=resume)
    with open_footage(path, options) as footage, _pool(options, pool) as detector:
        job = VideoAnnotator(
            footage,
            out,
            options,
            detector,
            _labels(detector, options),
            weight=weight,
            on_progress=on_progress,
            is_stopped=is_stopped,
        )
        notes = Journal(journal.path_for(out), journal.identity(Path(path), options), go_on=resume)
        with closing(notes):
            return job.run(notes, go_on=resume)


def _check_free(out: Path, *, overwrite: bool, resume: bool) -> None:
    """Raise OutputError when what is at `out` is to stay."""
    was_stopped = journal.path_for(out).exists()
    if not out.exists() or overwrite or (resume and was_stopped):
        return
    hint = "; it was stopped, resume to go on" if was_stopped else ""
    raise OutputError(f"{out} is there already{hint}")


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
        with FrameDetector(footage, pixels, detector, options) as looker:
            for item in looker.seen():
                if isinstance(item, DetectedFrame):
                    yield item.shot.time_s, follower.follow(item).objects


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
    options.check_labels(labels)
    return labels
