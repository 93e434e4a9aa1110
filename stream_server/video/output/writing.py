"""Annotated frames and copied sound into a file, by its extension: H.264 in MP4 or MKV, MJPEG in AVI, GIF."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
from av.codec.context import Flags
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from detector.machine import usable_cores
from stream_server.media.orientation import UPRIGHT, matrix_of
from stream_server.video.formats import Kind, OutputError
from stream_server.video.input.footage import Copied, CopiedPacket, VideoInfo
from stream_server.video.output.copying import Copies
from stream_server.video.output.gif_palette import Palette

KEY_FRAME_EVERY_S = 2.0


class VideoWriter:
    """Writes one video. For one thread at a time; `close` ends it, whatever has happened."""

    def __init__(self, path: Path, kind: Kind, look: VideoInfo, copied: Sequence[Copied]) -> None:
        """Open `path`, whose own extension does not matter. Raises OutputError.

        look: what the video is to have; its size that of the frames, its orientation one that `kind` holds.
        """
        self.notes: list[str] = []
        self.frames = 0
        self._path, self._kind, self._look = path, kind, look
        self._palette = Palette() if kind.muxer == "gif" else None
        self._lost = 0
        self._last = -1
        with self._reasons():
            self._container: OutputContainer = av.open(
                str(path.absolute()), "w", format=kind.muxer, options=kind.muxer_options
            )
        self._is_open = True
        try:
            with self._reasons():
                self._video = self._add_video(look)
                self._copies = Copies(self._container, kind, copied)
                self.notes += self._copies.notes
                self._container.metadata.update(look.metadata)
                if look.chapters and kind.muxer in ("mp4", "mov", "matroska"):
                    self._container.set_chapters(list(look.chapters))
                self._container.start_encoding()
        except BaseException:
            self.close()
            raise

    def _add_video(self, look: VideoInfo) -> VideoStream:
        kind = self._kind
        options = dict(kind.options)
        if kind.is_h264:
            options["threads"] = str(max(1, usable_cores() // 4))  # the cores are for the detector
        stream = self._container.add_stream(kind.codec, rate=look.rate, options=options)
        assert isinstance(stream, VideoStream)
        context = stream.codec_context
        context.width, context.height = look.size_wh
        context.pix_fmt = kind.pixels
        context.gop_size = max(1, round(KEY_FRAME_EVERY_S * look.rate))
        self._tick = self._time_base(look)
        context.time_base = self._tick
        context.flags |= Flags.frame_duration  # else the last frame, of all, has none
        if look.aspect != 1:
            context.sample_aspect_ratio = look.aspect
        if kind.is_h264:
            colours = look.colours
            context.color_range, context.colorspace = colours.range, colours.space
            context.color_primaries, context.color_trc = colours.primaries, colours.transfer
        if look.orientation != UPRIGHT:
            stream.set_display_matrix(matrix_of(look.orientation))
        stream.metadata.update(look.video_metadata)
        stream.disposition = Disposition(look.disposition)
        return stream

    def _time_base(self, look: VideoInfo) -> Fraction:
        if self._kind.muxer == "gif":
            return Fraction(1, 100)
        return look.time_base if self._kind.holds_times else 1 / look.rate

    def write(self, frame: VideoFrame, pts: int, duration: int) -> None:
        """Add a frame of the video's size and pixel format; `pts`, `duration`: in units of the look."""
        with self._reasons():
            frame.pict_type = PictureType.NONE  # the encoder's own choice
            frame.time_base = self._tick
            frame.pts = self._stamp(pts)
            frame.duration = self._duration(duration)
            if self._palette:
                frame = self._palette.apply(frame)
            packets = self._video.encode(frame)
        self._mux(packets)
        self.frames += 1

    def _stamp(self, pts: int) -> int:
        if not self._kind.holds_times:
            return self.frames
        stamp = round(pts * self._look.time_base / self._tick)
        self._last = max(stamp, self._last + 1) if self.frames else stamp
        return self._last

    def _duration(self, duration: int) -> int:
        return max(1, round(duration * self._look.time_base / self._tick))

    def _mux(self, packets: list[Packet[VideoStream]]) -> None:
        for packet in packets:
            with self._losses():
                self._container.mux(packet)

    def write_encoded(self, packet: Packet[VideoStream], pts: int, duration: int) -> None:
        """Add a frame as another writer of the same kind and look has encoded it, before all other frames."""
        with self._reasons():
            packet.stream, packet.time_base = self._video, self._tick
            packet.pts = packet.dts = self._stamp(pts)
            packet.duration = self._duration(duration)
        self._mux([packet])
        self.frames += 1

    def copy(self, packet: CopiedPacket) -> None:
        """Add sound or a subtitle as it is."""
        with self._losses():
            self._copies.mux(packet)

    def finish(self) -> None:
        """Write the end of the file and close it. Raises OutputError."""
        try:
            with self._reasons():
                packets = self._video.encode()
            self._mux(packets)
            with self._losses():
                self._copies.complete()
            with self._reasons():
                self._is_open = False
                self._container.close()
        finally:
            self.close()
        if self._lost:
            self.notes.append(f"{self._lost} pieces of sound or subtitles cannot be copied")

    def close(self) -> None:
        """Close the file as it is; may be called twice."""
        if self._is_open:
            self._is_open = False
            with contextlib.suppress(av.FFmpegError, OSError, ValueError):
                self._container.close()

    @contextlib.contextmanager
    def _losses(self) -> Iterator[None]:
        """Count a packet of sound or subtitles that is refused.

        FFmpeg sorts packets by time, so that it may be refused when one of the video is given; these are our
        encoder's own, and right.
        """
        try:
            yield
        except (av.FFmpegError, OSError, ValueError) as exc:
            error = OutputError.of(self._path, exc)
            if error.may_pass or not self._copies:
                raise error from exc
            self._lost += 1

    @contextlib.contextmanager
    def _reasons(self) -> Iterator[None]:
        try:
            yield
        except (av.FFmpegError, OSError, ValueError) as exc:
            raise OutputError.of(self._path, exc) from exc
