"""Packets to frames: nothing decoded that nobody wants, nothing shown that is broken."""

from __future__ import annotations

from fractions import Fraction
from typing import TypeAlias, cast

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from stream_server.errors import SourceError
from stream_server.media.continuity import FrameNumbers
from stream_server.media.slices import PictureSlices, decodable

VideoPacket: TypeAlias = "Packet[VideoStream]"

MAX_KEPT_PACKETS = 600
MAX_KEPT_BYTES = 16 * 2**20
MAX_WAIT_PACKETS = 300
"""Packets to wait for a key frame; some cameras refresh the picture bit by bit and never send one."""
CODECS = {
    "h264": "H.264",
    "hevc": "H.265",
    "av1": "AV1",
    "libdav1d": "AV1",
    "vp8": "VP8",
    "vp9": "VP9",
    "mjpeg": "MJPEG",
    "mpeg4": "MPEG-4",
    "mpeg2video": "MPEG-2",
    "mpeg1video": "MPEG-1",
    "h263": "H.263",
}
"""The decoders of FFmpeg that are used, by the names people know; the others are attack surface."""
CODEC_WHITELIST = ",".join((*CODECS, "aac", "ac3", "mp2float", "mp3float", "opus", "vorbis", "flac"))
_UNSEEN = Fraction(1, 100)
_STILLS = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
MAX_ASPECT = 4
"""Of a pixel, width by height or the other way; what says more is a mistake. 2 is common: half the lines."""
_FRAME_THREADS_FROM_PIXELS = 1920 * 1088 + 1


def find_video(container: InputContainer) -> VideoStream:
    """Return the main video stream: the largest one that can be decoded, no cover picture.

    Raises SourceError when there is none.
    """
    films = [stream for stream in container.streams.video if not stream.disposition & _STILLS]
    if not films:
        raise SourceError("it carries no video")
    return max(films, key=_rank)


def _rank(stream: VideoStream) -> tuple[bool, int]:
    context = stream.codec_context
    return (context.name in CODECS, context.width * context.height) if context else (False, 0)


class PacketDecoder:
    """Decodes one video stream.

    Unwanted packets are kept undecoded from the last key frame on (bounded), so that the first wanted one
    gives a picture at once: a decoder started in the middle shows grey smears until the next key frame.
    """

    def __init__(self, stream: VideoStream, *, hide_broken: bool = False) -> None:
        """Set up the decoder of `stream`. Raises SourceError when its codec is not supported.

        hide_broken: return nothing from a broken or missing frame to the next key frame, for ways that lose
        packets; each that is not returned is counted.
        Where none get lost, what FFmpeg flags is a camera's own way of cutting its stream, fit to be seen.
        """
        self._hides_broken = hide_broken
        name = stream.codec_context.name if stream.codec_context else "unknown"
        if name not in CODECS:
            raise SourceError(f"the video codec {name} is not supported; expected {', '.join(_names())}")
        self.codec = CODECS[name]
        self.decode_errors = 0
        self._codec = stream.codec_context
        is_numbered = hide_broken and name == "h264"
        self._numbers = FrameNumbers(self._codec.extradata) if is_numbered else None
        self._slices = PictureSlices(self._codec.extradata) if hide_broken and name == "hevc" else None
        if self._slices:  # else FFmpeg shows what it decoded of a slice up to an error, as if it were whole
            self._codec.options = {"err_detect": "explode"}
        self._is_damaged = False  # something is missing that all is predicted from up to the next key frame
        self._held = 0  # packets that have given no frame yet
        # A container's word goes over the stream's own, which may come later and change
        # (av_guess_sample_aspect_ratio in libavformat/avformat.h).
        said = stream.sample_aspect_ratio
        self._container_aspect = said if said != self._codec.sample_aspect_ratio else None
        # Frame threads delay each picture by one frame a thread: only for those one core cannot keep up with.
        # Never slice threads: with them FFmpeg no longer notices that slices of an H.264 picture are missing.
        is_large = self._codec.width * self._codec.height >= _FRAME_THREADS_FROM_PIXELS
        self._codec.thread_type = "FRAME" if is_large else "NONE"
        self._kept: list[VideoPacket] = []
        self._kept_bytes = 0
        self._waited: int | None = 0  # packets passed while waiting for a key frame; None when in step

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of the stream as it is shown, in square pixels; (0, 0) while unknown."""
        return square_wh((self._codec.width, self._codec.height), self.aspect)

    @property
    def aspect(self) -> Fraction:
        """Width of a pixel by its height, 1 where nothing or nonsense is said; of the frame decoded last."""
        aspect = self._container_aspect or self._codec.sample_aspect_ratio or Fraction(1)
        return aspect if Fraction(1, MAX_ASPECT) <= aspect <= MAX_ASPECT else Fraction(1)

    def decode(self, packet: VideoPacket) -> list[VideoFrame]:
        """Return the frames that `packet` completes, usually one, but none of packets skipped before."""
        frames: list[VideoFrame] = []
        for each in (*self._take_kept(), packet):
            frames = self._decode_in_step(each)
        return frames

    def skip(self, packet: VideoPacket) -> None:
        """Pass over `packet`, ready to continue from it."""
        if packet.is_keyframe:
            self._take_kept()
            self._waited = None
        if self._waited is not None:
            return
        self._kept.append(packet)
        self._kept_bytes += packet.size
        if len(self._kept) > MAX_KEPT_PACKETS or self._kept_bytes > MAX_KEPT_BYTES:
            self._lose_step()

    def flush(self) -> list[VideoFrame]:
        """Return the frames the decoder still holds; for the end of a stream."""
        kept = self._take_kept()
        frames = [frame for packet in kept for frame in self._decode_in_step(packet)]
        return frames if self._waited is not None else frames + self._decode_one(None)

    def restart(self) -> None:
        """Forget everything: the next packet comes from elsewhere in the stream."""
        self._lose_step()

    def _decode_in_step(self, packet: VideoPacket) -> list[VideoFrame]:
        if self._numbers and not self._numbers.follows(bytes(packet), is_key=packet.is_keyframe):
            self._lose_pictures()
        if self._slices and not self._slices.are_all(bytes(packet)):
            return self._broken([])
        if self._waited is not None and not self._is_start(packet):
            self.decode_errors += self._is_damaged
            return []
        self._waited, self._is_damaged = None, False
        return self._decode_one(packet)

    def _decode_one(self, packet: VideoPacket | None) -> list[VideoFrame]:
        try:
            frames = self._codec.decode(_decodable(packet) if packet and self._slices else packet)
        except av.error.EOFError:
            return []
        except av.FFmpegError:
            return self._broken([])
        self._count_held(packet, frames)
        return self._broken(frames) if any(frame.is_corrupt for frame in frames) else frames

    def _broken(self, frames: list[VideoFrame]) -> list[VideoFrame]:
        """Count it, and return what is shown nevertheless."""
        self.decode_errors += 1
        if not self._hides_broken:
            return frames
        self._lose_pictures()
        return []

    def _count_held(self, packet: VideoPacket | None, frames: list[VideoFrame]) -> None:
        held = max(0, self._held + (packet is not None) - len(frames))
        has_frame_threads = self._codec.thread_type.name == "FRAME"
        may_hold = self._codec.reorder_depth + (self._codec.thread_count - 1 if has_frame_threads else 0)
        self._held = min(held, max(0, may_hold))  # of H.264, a packet can be half a frame
        if self._slices and self.decode_errors:  # around a key frame after a loss, built on what is before it
            self.decode_errors += held - self._held

    def _lose_pictures(self) -> None:
        """Drop and count what the decoder holds back to order it; show nothing before the next key frame."""
        self.decode_errors += self._held
        self._lose_step()
        self._is_damaged = True

    def _is_start(self, packet: VideoPacket) -> bool:
        """Return whether decoding can start with `packet`."""
        assert self._waited is not None
        self._waited += 1
        return packet.is_keyframe or self._waited > MAX_WAIT_PACKETS

    def _lose_step(self) -> None:
        self._take_kept()
        self._codec.flush_buffers()
        self._held = 0
        self._waited = 0

    def _take_kept(self) -> list[VideoPacket]:
        kept, self._kept, self._kept_bytes = self._kept, [], 0
        return kept


def _decodable(packet: VideoPacket) -> VideoPacket:
    data = bytes(packet)
    kept = decodable(data)
    if kept is data:
        return packet
    lighter = cast(VideoPacket, Packet(kept))
    lighter.pts, lighter.dts, lighter.time_base = packet.pts, packet.dts, packet.time_base
    lighter.is_keyframe = packet.is_keyframe
    return lighter


def square_wh(size_wh: tuple[int, int], aspect: Fraction) -> tuple[int, int]:
    """Return the size in square pixels of a picture of `size_wh` pixels of `aspect`.

    Nothing is made smaller: wide pixels widen the picture, high ones heighten it, as browsers do. Less than
    1 % of distortion, which nobody sees, is left alone: scaling takes longer than converting alone.
    """
    width, height = size_wh
    if abs(aspect - 1) < _UNSEEN:
        return size_wh
    return (round(width * aspect), height) if aspect > 1 else (width, round(height / aspect))


def _names() -> list[str]:
    return list(dict.fromkeys(CODECS.values()))
