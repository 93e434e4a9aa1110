"""Video files as footage."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from stream_server.errors import SourceError
from stream_server.media.av_decoder import PacketDecoder, find_video
from stream_server.media.av_opening import open_video_file
from stream_server.media.av_pictures import orientation_of
from stream_server.sources.file import FORMATS
from stream_server.video.input.footage import (
    Clock,
    Colours,
    Copied,
    CopiedPacket,
    CopiedStream,
    VideoFrameItem,
    VideoInfo,
    VideoReader,
)
from stream_server.video.input.timeline import Timeline, may_jump
from stream_server.video.options import Options

SUFFIXES = {**FORMATS, ".3gp": "mov", ".mts": "mpegts", ".m2ts": "mpegts"}
"""FFmpeg's demuxer for each suffix."""

_SAMPLE_PACKETS = 40
_SAMPLE_BYTES = 64 * 2**20
"""Of the file, at most, in which the first packets of sound are looked for."""
_KEY_FRAMES_EVERY_S = 20.0
"""At least: frames this much before the wanted part are not needed for any of its."""
_LEAST_BYTES_PER_S = 1000
"""A video of fewer is one whose times jump ahead, and nobody knows how long it is."""
_SOUND_LAG_S = 2.0
"""Sound may stand so much behind the frames it belongs to."""
_OWN_METADATA = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder", "duration"})
"""What belongs to the file rather than to the film."""


class FileReader(VideoReader):
    """A video file, each frame once, as far as it can be read; what cannot be decoded is left out."""

    def __init__(self, path: Path, options: Options) -> None:
        """Open it. Raises SourceError with the reason."""
        super().__init__()
        self._path = path
        self._container = _open(path)
        try:
            self._video = find_video(self._container)
            self._decoder = PacketDecoder(self._video)
            self._time_base = self._video.time_base or Fraction(1, 90_000)
            self._zero_s = (self._container.start_time or 0) / av.time_base
            self._begin_s, self._end_s = options.start_s, options.end_s
            self._seek(self._container)
            streams: tuple[CopiedStream, ...] = (
                *self._container.streams.audio,
                *self._container.streams.subtitles,
            )
            sample = self._sample(streams)
            self.copied = tuple(Copied(stream, sample[stream.index]) for stream in streams)
            self._timeline = Timeline.of(self._container)
            self._packets = self._timeline.read(self._container.demux(self._video, *streams))
            self._ready = self._first_frames()
        except BaseException as exc:
            self.close()
            if isinstance(exc, SourceError):
                raise SourceError(f"cannot play {path}: {exc.reason}") from None
            raise
        self.look = self._look(self._ready[0]) if self._ready else self._no_frames()
        self.expected_frames = self._expected()
        self._clock = Clock(round(1 / self.look.rate / self._time_base))
        self._number = 0
        self.notes += self._left_out()

    def close(self) -> None:
        """Close it; may be called twice."""
        self._container.close()

    def _seek(self, container: InputContainer) -> None:
        # In MPEG-TS times may occur twice: there is no place to go to but the beginning.
        if self._begin_s and not may_jump(container):
            container.seek(round((self._begin_s + self._zero_s) * av.time_base), backward=True)

    def _sample(self, streams: Sequence[CopiedStream]) -> dict[int, list[CopiedPacket]]:
        """Return the first packets of sound and subtitles, by the stream's index.

        The file is opened again for it.
        """
        found: dict[int, list[CopiedPacket]] = {stream.index: [] for stream in streams}
        waited_for = {stream.index for stream in streams if stream.type == "audio"}
        if not waited_for:
            return found
        with suppress(av.FFmpegError, OSError), _open(self._path) as container:
            self._seek(container)
            read_bytes = 0
            for packet in map(_typed, container.demux()):
                read_bytes += packet.size
                index = packet.stream_index
                is_near = may_jump(container) or self._belongs(packet)
                if index in found and packet.size and is_near:
                    found[index].append(packet)  # type: ignore[arg-type]
                    if len(found[index]) == _SAMPLE_PACKETS:
                        waited_for.discard(index)
                if not waited_for or read_bytes > _SAMPLE_BYTES:
                    break
        return found

    # What it is.

    def _left_out(self) -> list[str]:
        """Say, in one line, which streams are not taken along."""
        taken = {self._video.index, *(each.stream.index for each in self.copied)}
        others = Counter(_kind(each) for each in self._container.streams if each.index not in taken)
        what = ", ".join(kind if count == 1 else f"{count} x {kind}" for kind, count in others.items())
        return [f"left out, besides the main video: {what}"] if what else []

    def _first_frames(self) -> list[VideoFrame]:
        """Decode as far as the first frame; the sound before it is kept."""
        self._early: list[CopiedPacket] = []
        while (packet := self._next()) is not None:
            if not isinstance(packet.stream, VideoStream):
                if self._belongs(packet):
                    self._early.append(packet)
            elif self._is_long_before(packet):
                continue
            elif frames := self._wanted(self._decoder.decode(packet)):
                return frames
        return self._wanted(self._decoder.flush())

    def _no_frames(self) -> VideoInfo:
        self.close()
        part = " in the part that was asked for" if self._begin_s or self._end_s is not None else ""
        raise SourceError(f"{self._path} has no picture that can be decoded{part}")

    def _look(self, frame: VideoFrame) -> VideoInfo:
        context = self._video.codec_context
        rate = self._video.average_rate or self._video.guessed_rate or Fraction(25)
        is_whole = not self._begin_s and self._end_s is None
        return VideoInfo(
            size_wh=(frame.width, frame.height),
            orientation=orientation_of(frame),
            rate=rate if 0 < rate <= 1000 else Fraction(25),
            time_base=self._time_base,
            aspect=self._video.sample_aspect_ratio or Fraction(1),
            colours=Colours(
                2 if frame.format.name.startswith("yuvj") else frame.color_range,
                frame.colorspace,
                context.color_primaries,
                context.color_trc,
            ),
            metadata=_kept(self._container.metadata),
            video_metadata=_kept(self._video.metadata),
            disposition=self._video.disposition.value,
            chapters=tuple(self._container.chapters()) if is_whole else (),
        )

    def _expected(self) -> int | None:
        duration_s = (self._container.duration or 0) / av.time_base
        if may_jump(self._container) and duration_s * _LEAST_BYTES_PER_S > self._container.size:
            return None
        end_s = min(duration_s, math.inf if self._end_s is None else self._end_s)
        is_whole = not self._begin_s and self._end_s is None
        if is_whole and self._video.frames:
            return self._video.frames
        return max(1, round((end_s - self._begin_s) * self.look.rate)) if duration_s else None

    # Its frames and its sound.

    def read(self) -> Iterator[VideoFrameItem | CopiedPacket]:
        """Yield frames and sound in the order of the file, once."""
        for early in self._early:
            yield from self._sound(early)
        yield from self._shots(self._ready)
        is_over = False
        while not is_over and (packet := self._next()) is not None:
            if not isinstance(packet.stream, VideoStream):
                yield from self._sound(packet)
            elif self._is_past(packet, _SOUND_LAG_S):
                is_over = True
            else:
                yield from self._shots(self._decoder.decode(packet))
        yield from self._shots(self._decoder.flush())
        if self._timeline.jumps:
            times = "once" if self._timeline.jumps == 1 else f"{self._timeline.jumps} times"
            self.notes.append(f"its clock jumps {times}; what follows is joined without a gap")
        if self._decoder.decode_errors:
            self.notes.append(f"{self._decoder.decode_errors} frames are damaged")

    def _shots(self, frames: list[VideoFrame]) -> Iterator[VideoFrameItem]:
        for frame in self._wanted(frames):
            self._number += 1
            pts = self._clock.stamp(None if frame.pts is None else frame.pts - self._ticks(self._origin_s))
            duration = frame.duration or self._clock.frame_ticks
            yield VideoFrameItem(
                self._number, pts, duration, float(pts * self._time_base) + self._begin_s, frame
            )

    def _sound(self, packet: CopiedPacket) -> Iterator[CopiedPacket]:
        """Yield `packet` with its time in the output, if it belongs there."""
        stamp = packet.dts if packet.pts is None else packet.pts
        if stamp is None or not self._belongs(packet):
            return
        offset = round(self._origin_s / packet.time_base)
        packet.pts = stamp - offset
        packet.dts = (stamp if packet.dts is None else packet.dts) - offset
        yield packet

    def _belongs(self, packet: Packet[Any]) -> bool:
        """Whether sound or a subtitle is heard or seen in the part that is wanted."""
        stamp = packet.dts if packet.pts is None else packet.pts
        if stamp is None:
            return True
        at_s = float(stamp * packet.time_base) - self._zero_s
        length_s = float((packet.duration or 0) * packet.time_base)
        is_before = self._begin_s > 0 and at_s + length_s <= self._begin_s
        return not (is_before or (self._end_s is not None and at_s >= self._end_s))

    @property
    def _origin_s(self) -> Fraction:
        """Where the output begins, on the file's clock."""
        return Fraction(self._zero_s + self._begin_s).limit_denominator(av.time_base)

    def _wanted(self, frames: list[VideoFrame]) -> list[VideoFrame]:
        return [frame for frame in frames if self._is_wanted(frame)]

    def _is_wanted(self, frame: VideoFrame) -> bool:
        if frame.time is None:
            return True
        at_s = frame.time - self._zero_s + 1e-6
        return (not self._begin_s or at_s >= self._begin_s) and (self._end_s is None or at_s <= self._end_s)

    def _is_past(self, packet: Packet[VideoStream], lag_s: float) -> bool:
        if self._end_s is None or packet.dts is None:
            return False
        return float(packet.dts * packet.time_base) - self._zero_s > self._end_s + lag_s

    def _is_long_before(self, packet: Packet[VideoStream]) -> bool:
        """Whether no frame that is wanted can need this one."""
        if not self._begin_s or packet.dts is None:
            return False
        return float(packet.dts * packet.time_base) - self._zero_s < self._begin_s - _KEY_FRAMES_EVERY_S

    def _ticks(self, seconds: Fraction) -> int:
        return round(seconds / self._time_base)

    def _next(self) -> Packet[VideoStream] | CopiedPacket | None:
        """Return the next packet, None at the end of what can be read."""
        try:
            return next(self._packets, None)
        except (av.FFmpegError, OSError) as exc:
            self.notes.append(f"cannot be read to its end: {exc.strerror or exc}")
            return None


def _open(path: Path) -> InputContainer:
    demuxer = SUFFIXES.get(path.suffix.lower())
    if demuxer is None:
        raise SourceError(f"cannot play {path}: expected a video ({', '.join(s[1:] for s in SUFFIXES)})")
    return open_video_file(path, demuxer)


def _typed(packet: Packet[Any]) -> Packet[VideoStream] | CopiedPacket:
    return packet


def _kept(metadata: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in metadata.items() if key.lower() not in _OWN_METADATA}


def _kind(stream: Stream) -> str:
    """Return what a stream is that is no sound and no subtitles."""
    if stream.disposition & Disposition.attached_pic:
        return "a cover picture"
    return {"video": "another video", "attachment": "an attachment"}.get(
        stream.type, f"a {stream.type} stream"
    )
