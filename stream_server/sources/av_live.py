"""Live streams that FFmpeg opens: packets with deadlines, newest picture first, failures in our own words."""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from collections.abc import Iterator

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from stream_server.config import SourceConfig
from stream_server.errors import SourceError
from stream_server.media.av_decoder import PacketDecoder, VideoPacket, find_video, square_wh
from stream_server.media.av_pictures import PictureMaker
from stream_server.media.frames import Picture
from stream_server.sources.base import Source

SLICE_S = 2.0
"""FFmpeg is asked for packets in turns this long, because nothing but its own time limit can stop it waiting.

Cut short, RTSP goes on where it was, but for a packet of which a part had come: so not for every hiccup of a
wireless network, and yet shorter than `Camera.close` waits.
"""


class LiveSource(Source):
    """What RTSP and HLS have in common. FFmpeg's own error texts carry the whole address, password included:
    none of them leaves this class, nor an exception that holds one.
    """

    def __init__(self, config: SourceConfig) -> None:
        """Prepare to open what `config` names."""
        self._config = config
        self._pictures = PictureMaker()
        self._interrupted = threading.Event()
        self._container: InputContainer | None = None
        self._stream: VideoStream | None = None
        self._packets: Iterator[VideoPacket] | None = None
        self._decoder: PacketDecoder | None = None
        self._in_vain_since: float | None = None

    @property
    def decode_errors(self) -> int:
        """Pictures since opening that were broken, or withheld since one that they build on was."""
        return self._decoder.decode_errors if self._decoder else 0

    def open(self) -> None:
        """Connect and find the video."""
        started = time.monotonic()
        try:
            self._container = self._connect()
        except (av.FFmpegError, OSError) as exc:
            error = self._explain(exc, time.monotonic() - started)
            raise error from None
        self._stream = find_video(self._container)
        self._decoder = PacketDecoder(self._stream, hide_broken=self._config.transport == "udp")
        self.size_wh = self._decoder.size_wh
        self.description = f"{self._decoder.codec} over {self._protocol}"

    def read(self, wanted: bool = True) -> Picture | None:
        """Return the picture that the next packet completes, None if it completes none fit to show."""
        decoder, packet = self._decoder, self._next_packet()
        assert decoder is not None
        if not wanted:
            decoder.skip(packet)
            self._in_vain_since = None
            return None
        frames = decoder.decode(packet)
        self._check_progress(bool(frames))
        if not frames:
            return None
        frame = frames[-1]
        return self._pictures.picture(frame, square_wh((frame.width, frame.height), decoder.aspect))

    def close(self) -> None:
        """Disconnect."""
        container, self._container, self._packets = self._container, None, None
        if container:
            container.close()

    def interrupt(self) -> None:
        """End a wait for data within SLICE_S."""
        self._interrupted.set()

    @property
    @abstractmethod
    def _protocol(self) -> str:
        """What carries the video, e.g. "RTSP/TCP"."""

    @abstractmethod
    def _connect(self) -> InputContainer:
        """Open the stream within the configured time."""

    @abstractmethod
    def _explain(self, exc: Exception, elapsed_s: float) -> SourceError:
        """Return the error that says why opening failed after `elapsed_s`."""

    def _next_packet(self) -> VideoPacket:
        """Wait for a packet."""
        deadline = time.monotonic() + self._config.read_timeout_s
        while True:
            if self._interrupted.is_set():
                raise SourceError("interrupted")
            if (packet := self._packet_in_slice()) is not None:
                return packet
            if time.monotonic() > deadline:
                raise SourceError(f"no data for {self._config.read_timeout_s:g} s")

    def _packet_in_slice(self) -> VideoPacket | None:
        """Return the next packet, None when none came within SLICE_S."""
        packets = self._packets or self._demux()
        try:
            packet = next(packets, None)
        except (av.error.ExitError, av.error.BlockingIOError):
            self._packets = None
            return None
        except (av.FFmpegError, OSError) as exc:
            raise SourceError(f"the connection was lost ({error_name(exc)})") from None
        if packet is None or packet.size == 0:
            raise SourceError("the camera ended the stream")
        return packet

    def _demux(self) -> Iterator[VideoPacket]:
        assert self._container is not None
        assert self._stream is not None
        self._packets = packets = iter(self._container.demux(self._stream))
        return packets

    def _check_progress(self, has_picture: bool) -> None:
        """Raise SourceError when data comes but no picture for too long."""
        if has_picture:
            self._in_vain_since = None
            return
        now = time.monotonic()
        self._in_vain_since = self._in_vain_since or now
        if now - self._in_vain_since > self._config.read_timeout_s:
            errors = f"; {self.decode_errors} were broken" if self.decode_errors else ""
            raise SourceError(f"data but no picture for {self._config.read_timeout_s:g} s{errors}")


def error_name(exc: Exception) -> str:
    """Return a few words for one of FFmpeg's errors, without what it was doing."""
    text = getattr(exc, "strerror", None) or type(exc).__name__
    return str(text).lower()
