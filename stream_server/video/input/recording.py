"""A camera as footage, for a limited time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from fractions import Fraction

from av.video.frame import VideoFrame
from pydantic import ValidationError

from stream_server.config import SourceConfig
from stream_server.errors import ImageError, OptionError, SourceEnded, SourceError
from stream_server.media.frames import Picture
from stream_server.sources import open_source
from stream_server.video.input.footage import Clock, Colours, VideoFrameItem, VideoInfo, VideoReader
from stream_server.video.options import Options

_TICK = Fraction(1, 1000)
_NOMINAL_FPS = 25


class Recording(VideoReader):
    """What a camera shows for `options.duration_s`, each picture at the time it came, without sound.

    Pictures that come while all that follows is busy wait in the network and the driver, which may drop them.
    """

    def __init__(self, address: str, options: Options) -> None:
        """Open the camera. Raises SourceError with the reason, OptionError without a duration."""
        super().__init__()
        if options.duration_s is None:
            raise OptionError(
                "duration", f"a camera never ends; say for how many seconds to record {address}"
            )
        self._duration_s = options.duration_s
        self._stop = threading.Event()
        try:
            self._source = open_source(SourceConfig.model_validate({"source": address}))
        except ValidationError as exc:
            raise SourceError(str(exc.errors()[0]["msg"])) from None
        try:
            self._source.open()
            self._first = self._next()
        except SourceError:
            self._source.close()
            raise
        if self._first is None:
            self._source.close()
            raise SourceError("it ended without a picture")
        # Pictures are BGR already: say what they become.
        self.look = VideoInfo(self._first.size_wh, Fraction(_NOMINAL_FPS), _TICK, colours=Colours(1, 1, 1, 1))
        self.expected_frames = None

    def read(self) -> Iterator[VideoFrameItem]:
        """Yield the pictures as they come, for the time asked for or until the camera ends."""
        clock, began, number = Clock(round(1 / _TICK / _NOMINAL_FPS)), time.monotonic(), 0
        picture: Picture | None = self._first
        while picture is not None:
            at_s = time.monotonic() - began
            if at_s >= self._duration_s:
                return
            if frame := self._frame(picture):
                number += 1
                pts = clock.stamp(round(at_s / _TICK) if number > 1 else 0)
                yield VideoFrameItem(number, pts, clock.frame_ticks, float(pts * _TICK), frame)
            picture = self._next()

    def close(self) -> None:
        """Close the camera."""
        self._stop.set()
        self._source.close()

    def interrupt(self) -> None:
        """End a wait for the next picture."""
        self._stop.set()
        self._source.interrupt()

    def _next(self) -> Picture | None:
        try:
            while not self._stop.is_set():
                if picture := self._source.read():
                    return picture
        except SourceEnded:
            pass
        except SourceError as exc:
            if not hasattr(self, "_first"):
                raise
            self.notes.append(f"ended early: {exc.reason}")
        return None

    def _frame(self, picture: Picture) -> VideoFrame | None:
        try:
            frame = VideoFrame.from_ndarray(picture.image, format="bgr24")
        except ImageError as exc:
            self.notes[:] = [f"a picture is left out: {exc}"]
            return None
        frame.colorspace, frame.color_range = self.look.colours.space, self.look.colours.range
        return frame
