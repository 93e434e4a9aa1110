"""Frames at the detector, several at once, the answers in the frames' order."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass

from detector.detections import BGRImage, Detections
from detector.errors import DetectorError, DetectorTimeout, WorkerLost
from detector.pool import DetectorPool
from detector.pool.client import PoolClient
from detector.pool.request_queue import FutureDetections
from stream_server.detection.camera_detector import UNSURE
from stream_server.errors import ImageError
from stream_server.video.bounded_queue import BeltStopped, BoundedQueue
from stream_server.video.input.footage import CopiedPacket, VideoFrameItem, VideoReader
from stream_server.video.journal import Answer
from stream_server.video.options import Options
from stream_server.video.pixels import Pixels

log = logging.getLogger(__name__)

MAX_AHEAD = 8
"""So many frames are decoded ahead of the workers, at most; of 1280x720 it is 2, of larger ones none."""
MAX_FAILURES = 20
"""So many frames one after the other without an answer: it is not the frames."""
_LOOK_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class DetectedFrame:
    """A frame that was looked at, or passed over.

    image: (H, W, 3) uint8 BGR, upright and cropped, read-only; None when nobody needed it yet.
    found: boxes in pixels of it, down to half the least score; None when it was not analysed.
    error: why it was not, though it should have been. is_known: whether an earlier run found that out.
    """

    shot: VideoFrameItem
    image: BGRImage | None
    found: Detections | None = None
    error: str | None = None
    is_known: bool = False


class FrameDetector:
    """Has the frames of one video analysed. A context manager: leaving it ends its thread."""

    def __init__(
        self,
        footage: VideoReader,
        pixels: Pixels,
        pool: DetectorPool,
        options: Options,
        *,
        weight: float = 1.0,
        known: Callable[[int], Answer | None] = lambda number: None,
    ) -> None:
        """pool: started. weight: the share of it. known: what an earlier run found in a frame, by number."""
        self._footage, self._pixels, self._options, self._known = footage, pixels, options, known
        room = 2 * max(1, len(pool.status().workers)) + min(MAX_AHEAD, pixels.spare_frames)
        self._client = pool.client("video", weight=weight, may_stage=True, max_waiting=room + 3)
        self._belt: BoundedQueue[_Pending | CopiedPacket] = BoundedQueue(room)
        self._failures = 0
        self._thread = threading.Thread(target=self._decode, name="video-decode", daemon=True)

    def __enter__(self) -> FrameDetector:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._belt.stop()
        self._footage.interrupt()
        self._client.close()
        self._thread.join()

    def seen(self, is_stopped: Callable[[], bool] = lambda: False) -> Iterator[DetectedFrame | CopiedPacket]:
        """Yield all frames, and the sound between them, in order; end early once `is_stopped`.

        Raises SourceError, and DetectorError when nothing is analysed any more.
        """
        for item in self._belt:
            if is_stopped():
                return
            if not isinstance(item, _Pending):
                yield item
                continue
            seen = item.seen(is_stopped)
            if seen is None:
                return
            self._failures = self._failures + 1 if seen.error else 0
            if self._failures > MAX_FAILURES:
                raise DetectorError(f"{MAX_FAILURES} frames one after the other: {seen.error}")
            yield seen

    # The thread that decodes.

    def _decode(self) -> None:
        try:
            for item in self._footage.read():
                if isinstance(item, VideoFrameItem):
                    self._belt.put(self._begin(item))
                else:
                    self._belt.put(item, is_large=False)
        except BeltStopped:
            return
        except BaseException as exc:
            self._belt.close(exc)  # raised where the frames are taken
        else:
            self._belt.close()

    def _begin(self, shot: VideoFrameItem) -> _Pending:
        if (shot.number - 1) % self._options.every:
            return _Pending(shot, None)
        known = self._known(shot.number)
        if known is not None:
            return _Pending(shot, None, known)
        try:
            return _Pending(shot, self._pixels.image(shot.frame), submit=self._submit)
        except ImageError as exc:
            return _Pending(shot, None, error=str(exc))

    def _submit(self, image: BGRImage) -> FutureDetections:
        return submit(self._client, image, self._options)


def submit(client: PoolClient, image: BGRImage, options: Options) -> FutureDetections:
    """Return the future detections of a frame, down to what may continue a track."""
    return client.submit(image, score_threshold=UNSURE * options.score, classes=options.looked_for)


class _Pending:
    """A frame on its way; asked again once when its worker is lost."""

    def __init__(
        self,
        shot: VideoFrameItem,
        image: BGRImage | None,
        known: Answer | None = None,
        *,
        error: str | None = None,
        submit: Callable[[BGRImage], FutureDetections] | None = None,
    ) -> None:
        self._shot, self._image, self._error = shot, image, error
        self._found: Detections | None = None
        self._is_known = known is not None
        if known:
            self._found, self._error = known.found, known.error
        self._submit = submit
        self._future = self._ask()

    def _ask(self) -> FutureDetections | None:
        if self._submit is None or self._image is None:
            return None
        try:
            return self._submit(self._image)
        except DetectorError as exc:
            self._error = str(exc)
            return None

    def seen(self, is_stopped: Callable[[], bool]) -> DetectedFrame | None:
        """Wait for what was found; None once `is_stopped`."""
        for is_last in (False, True):
            while self._future is not None:
                try:
                    self._found, self._error = self._future.result(_LOOK_EVERY_S), None
                    break
                except NotYet:
                    if is_stopped():
                        return None
                except (WorkerLost, DetectorTimeout) as exc:
                    self._error = str(exc)
                    if is_last:
                        break
                    log.warning("frame %d is looked at once more: %s", self._shot.number, exc)
                    self._future = self._ask()
                    break
                except (DetectorError, CancelledError) as exc:
                    self._error = str(exc)
                    break
            if self._error is None:
                break
        return DetectedFrame(self._shot, self._image, self._found, self._error, self._is_known)
