"""Frames that an earlier run has encoded, to be copied rather than encoded again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import av
from av.bitstream import BitStreamFilterContext
from av.packet import Packet
from av.video.stream import VideoStream

from stream_server.media.av_opening import open_file
from stream_server.video.formats import Kind


class Earlier:
    """The result of a run that was stopped, put aside while a new file is written. A context manager.

    There is none as a rule; then it has no frames.
    """

    def __init__(self, out: Path, part: Path, kind: Kind, *, go_on: bool) -> None:
        """out: where a run that was stopped leaves its result. part: where one leaves it that was ended."""
        self._out, self._aside = out, out.with_name(f"{out.name}.cut")
        self._kind = kind
        if go_on and not self._aside.exists():
            for path in (part, out):
                if path.exists():
                    path.replace(self._aside)
                    break

    def put_back(self) -> bool:
        """Let the earlier result be the result after all; False when there is none."""
        if self._aside.exists():
            self._aside.replace(self._out)
            return True
        return False

    def remove(self) -> None:
        """Delete it: a newer result has all of it."""
        self._aside.unlink(missing_ok=True)

    def frames(self) -> Iterator[Packet[VideoStream]]:
        """Yield its encoded frames, as far as they can be read; not of a GIF: each builds on the last."""
        if self._kind.muxer == "gif" or not self._aside.exists():
            return
        with (
            contextlib.suppress(av.FFmpegError),
            open_file(self._aside, self._kind.demuxer) as container,
        ):
            stream = container.streams.video[0]
            # Encoders and MP4 differ in how they write H.264; this is what comes from an encoder.
            convert = BitStreamFilterContext("h264_mp4toannexb", stream) if self._kind.is_h264 else None
            for packet in container.demux(stream):
                if packet.size and not packet.is_corrupt:
                    yield from convert.filter(packet) if convert else (packet,)
