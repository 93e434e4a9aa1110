"""Video files, played like a camera."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import av
from av.video.frame import VideoFrame

from stream_server.config import SourceConfig
from stream_server.errors import SourceEnded, SourceError
from stream_server.media.av_decoder import PacketDecoder, VideoPacket, find_video, square_wh
from stream_server.media.av_opening import open_video_file
from stream_server.media.av_pictures import PictureMaker
from stream_server.media.frames import Picture
from stream_server.sources.base import Source
from stream_server.sources.pacing import Pacer, Timeline

FORMATS = {
    ".mp4": "mov",
    ".m4v": "mov",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "matroska",
    ".avi": "avi",
    ".ts": "mpegts",
    ".mpg": "mpeg",
    ".mpeg": "mpeg",
    ".mjpeg": "mjpeg",
    ".mjpg": "mjpeg",
}
"""FFmpeg's demuxer for each suffix. Named, not guessed: a playlist called .mp4 would be followed anywhere."""

HOLD_EVERY_S = 1.0


class FileSource(Source):
    """A video file at its own pace (`realtime`) or as fast as it decodes; `at_end` says how it goes on.

    loop: from the start without a pause; the file is opened anew, so one that was replaced is noticed.
    hold: the last picture again, once a second, so that who looks later sees it too.
    stop: SourceEnded.
    A file that is cut off plays as far as it goes.
    """

    def __init__(self, config: SourceConfig) -> None:
        """Prepare to play the file that `config` names."""
        self._path = Path(config.url.address)
        self._is_realtime = config.realtime
        self._at_end = config.at_end
        self._pictures = PictureMaker()
        self._pacer = Pacer()
        self._timeline = Timeline()
        self._video: _VideoFile | None = None
        self._due: deque[tuple[float, VideoFrame | None]] = deque()  # positions, and frames unless unwanted
        self._is_over = False
        self._last: Picture | None = None
        self._hold_at: float | None = None

    def open(self) -> None:
        """Open the file."""
        self._start()
        self._pacer.restart()

    def read(self, wanted: bool = True) -> Picture | None:
        """Return the next picture when its time has come; None when that is not soon."""
        # Who will keep the last picture must have decoded it, also when nobody looked before.
        wanted = wanted or self._at_end == "hold"
        while not self._due:
            if self._hold_at is not None:
                return self._read_held(self._hold_at)
            self._decode_next(wanted)
        position_s, frame = self._due[0]
        if self._is_realtime and not self._pacer.keep_up(position_s):
            return None
        self._pacer.check()
        self._due.popleft()
        self._last = self._picture(frame) if frame and wanted else None
        return self._last

    def close(self) -> None:
        """Close the file."""
        video, self._video = self._video, None
        if video:
            video.close()

    def interrupt(self) -> None:
        """End a wait for the next picture."""
        self._pacer.stop()

    def _picture(self, frame: VideoFrame) -> Picture:
        size_wh = (frame.width, frame.height)
        return self._pictures.picture(
            frame, square_wh(size_wh, self._video.decoder.aspect) if self._video else size_wh
        )

    def _start(self) -> None:
        self.close()
        self._video = video = _VideoFile(self._path)
        self.size_wh = video.decoder.size_wh
        self.description = f"{video.decoder.codec} file"
        self._timeline.start(video.frame_s)
        self._is_over = False

    def _decode_next(self, wanted: bool) -> None:
        """Put what comes next in the file into the line of frames that become due."""
        if self._video is None:
            raise SourceError("the file is not open")
        video = self._video
        if self._is_over:
            self._go_on()
        elif (packet := video.next_packet()) is None:
            self._enqueue(video.decoder.flush())
            self._is_over = True
        elif wanted:
            self._enqueue(video.decoder.decode(packet))
        else:
            video.decoder.skip(packet)
            self._due.append((self._timeline.place(video.time_s(packet)), None))

    def _enqueue(self, frames: list[VideoFrame]) -> None:
        for frame in frames:
            self._due.append((self._timeline.place(frame.time), frame))

    def _go_on(self) -> None:
        """Do what `at_end` says, now that the last frame was shown."""
        if self._timeline.is_empty:
            raise SourceError(f"{self._path} has no picture that can be decoded")
        if self._at_end == "loop":
            self._start()
        elif self._at_end == "hold":
            self._hold_at = self._pacer.position_s
        else:
            raise SourceEnded(f"{self._path} has ended")

    def _read_held(self, position_s: float) -> Picture | None:
        if not self._pacer.wait_until(position_s):
            return None
        self._hold_at = position_s + HOLD_EVERY_S
        return self._last


class _VideoFile:
    """An open file with its video stream."""

    def __init__(self, path: Path) -> None:
        self._container = open_video_file(path, FORMATS[path.suffix.lower()])
        try:
            self._stream = find_video(self._container)
            self.decoder = PacketDecoder(self._stream)
        except SourceError as exc:
            self.close()
            raise SourceError(f"cannot play {path}: {exc.reason}") from None
        self._packets = self._container.demux(self._stream)

    @property
    def frame_s(self) -> float:
        """How long a frame is shown where time stamps do not say it, in seconds."""
        rate = self._stream.average_rate or self._stream.guessed_rate
        return float(1 / rate) if rate else 0.04

    def next_packet(self) -> VideoPacket | None:
        """Return the next packet of the video, None at the end of what can be read."""
        try:
            packet = next(self._packets, None)
        except (av.FFmpegError, OSError):
            return None  # cut off or damaged: what could be read has been played
        return None if packet is None or packet.size == 0 else packet

    @staticmethod
    def time_s(packet: VideoPacket) -> float | None:
        """Return when `packet` is to be decoded, in seconds; None when it does not say."""
        if packet.dts is None:
            return None
        return float(packet.dts * packet.time_base)

    def close(self) -> None:
        """Close it."""
        self._container.close()
