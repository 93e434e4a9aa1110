"""The thread that encodes what is drawn."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from stream_server.media.frames import Picture
from stream_server.video.bounded_queue import BeltStopped, BoundedQueue
from stream_server.video.formats import Kind
from stream_server.video.input.footage import CopiedPacket
from stream_server.video.output.writing import VideoWriter
from stream_server.video.pixels import Pixels

_MAX_ROOM = 3


@dataclass(frozen=True, slots=True)
class AnnotatedFrame:
    """A frame to be encoded. picture: of it; None where nothing is drawn on `frame`, which is kept.

    pts, duration: in units of the look.
    """

    frame: VideoFrame
    picture: Picture | None
    pts: int
    duration: int


class Encoding:
    """Encodes on its own thread. A context manager: leaving it without `finish` closes the file as it is."""

    def __init__(
        self,
        writer: VideoWriter,
        pixels: Pixels,
        kind: Kind,
        earlier: Iterator[Packet[VideoStream]],
    ) -> None:
        """earlier: the first frames, encoded already."""
        self.copied = 0
        self._earlier = earlier
        self._writer, self._pixels, self._kind = writer, pixels, kind
        self._belt: BoundedQueue[AnnotatedFrame | CopiedPacket] = BoundedQueue(
            1 + min(_MAX_ROOM - 1, pixels.spare_frames)
        )
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="video-encode", daemon=True)

    def __enter__(self) -> Encoding:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._belt.stop()
        self._thread.join()
        self._writer.close()

    def put(self, item: AnnotatedFrame | CopiedPacket) -> None:
        """Have a frame or sound written; waits while there is much to do. Raises OutputError."""
        try:
            self._belt.put(item, is_large=isinstance(item, AnnotatedFrame))
        except BeltStopped:
            self._thread.join()
            if self._error:
                raise self._error from None
            raise

    def finish(self) -> None:
        """Wait for what was put, and end the file. Raises OutputError."""
        self._belt.close()
        self._thread.join()
        if self._error:
            raise self._error
        self._writer.finish()

    def _run(self) -> None:
        try:
            for item in self._belt:
                if isinstance(item, AnnotatedFrame):
                    self._write(item)
                else:
                    self._writer.copy(item)
        except BaseException as exc:
            self._error = exc  # raised where frames are put
            self._belt.stop()

    def _write(self, drawn: AnnotatedFrame) -> None:
        if packet := next(self._earlier, None):
            self._writer.write_encoded(packet, drawn.pts, drawn.duration)
            self.copied += 1
            return
        if drawn.picture is None:
            frame = self._pixels.passed(drawn.frame, self._kind)
        else:
            frame = self._pixels.frame(drawn.picture.image, drawn.frame, self._kind)
        self._writer.write(frame, drawn.pts, drawn.duration)
