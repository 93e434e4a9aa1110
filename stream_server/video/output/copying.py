"""Sound and subtitles, copied packet by packet into files of another kind, where these can hold them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.container import OutputContainer
from av.packet import Packet

from stream_server.media.av_opening import open_input
from stream_server.video.input.footage import Copied, CopiedPacket, CopiedStream

if TYPE_CHECKING:
    from stream_server.video.formats import Kind

_FILTERS = {"aac": "aac_adtstoasc"}
"""What takes headers off packets: AAC has one in each (ADTS) in MPEG-TS, elsewhere the file has one."""


_LAYOUTS = {"1 channels": "mono", "2 channels": "stereo"}
"""What channels are whose places a file does not tell, as AVI; MP4 has to know them."""


class CannotHold(Exception):
    """A file cannot have such a stream; the text is the library's own reason, and may be empty."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a stream is copied. filter: FFmpeg's name of a bitstream filter; extradata: what that found."""

    filter: str | None = None
    extradata: bytes | None = None


class Copy:
    """One stream on its way into a file."""

    def __init__(self, container: OutputContainer, stream: CopiedStream, way: Way) -> None:
        """Add the stream to `container`, which has no header yet. Raises av.FFmpegError and ValueError."""
        self._container = container
        self._filter = BitStreamFilterContext(way.filter, stream) if way.filter else None
        self._to = container.add_stream_from_template(stream)
        self._to.metadata.update(stream.metadata)
        self._to.disposition = stream.disposition
        if way.extradata is not None:
            self._to.codec_context.extradata = way.extradata
        if isinstance(stream, AudioStream) and (layout := _LAYOUTS.get(stream.codec_context.layout.name)):
            self._to.codec_context.layout = layout  # type: ignore[union-attr]
        self._last: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written yet."""
        return self._last is None

    def mux(self, packet: CopiedPacket) -> None:
        """Write a packet of the stream, its time behind the last one's. Raises av.FFmpegError and ValueError.

        Units may be coarser here than there, and cameras' clocks are not exact.
        """
        for each in self._filter.filter(packet) if self._filter else (packet,):
            scale = Fraction(each.time_base) / Fraction(self._to.time_base or 1)
            pts, dts = (round((stamp or 0) * scale) for stamp in (each.pts, each.dts))
            dts = dts if self._last is None else max(dts, self._last + 1)
            each.pts = max(dts, pts)
            each.dts = self._last = dts
            each.duration = round((each.duration or 0) * scale)
            each.stream, each.time_base = self._to, Fraction(self._to.time_base or 1)
            self._container.mux(each)


class Copies:
    """The streams that are copied into one file; what that cannot hold is left out, and named."""

    def __init__(self, container: OutputContainer, kind: Kind, copied: Sequence[Copied]) -> None:
        """Add them to `container`, which has no header yet. Raises av.FFmpegError and ValueError."""
        self.notes: list[str] = []
        self._copies: dict[int, Copy] = {}
        self._samples = {each.stream.index: each.sample for each in copied}
        for each in copied:
            try:
                way = find_way(kind, each)
            except CannotHold as exc:
                self.notes.append(_left_out(each.stream, kind, str(exc)))
            else:
                self._copies[each.stream.index] = Copy(container, each.stream, way)

    def complete(self) -> None:
        """Give each stream that has had no packet its first one: MP4 describes it by that."""
        for index, copy in self._copies.items():
            for packet in self._samples[index][:1]:
                if copy.is_empty:
                    copy.mux(_twin(packet, packet.pts or 0))

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._copies)

    def mux(self, packet: CopiedPacket) -> None:
        """Write `packet`, if its stream is one of them. Raises av.FFmpegError and ValueError."""
        if copy := self._copies.get(packet.stream.index):
            copy.mux(packet)


def _left_out(stream: CopiedStream, kind: Kind, reason: str) -> str:
    name = stream.codec_context.name if stream.codec_context else "unknown"
    what = ("sound", "is", "it") if stream.type == "audio" else ("subtitles", "are", "them")
    because = f" ({reason})" if reason else ""
    return f"the {what[0]} ({name}) {what[1]} left out: {kind.name} cannot hold {what[2]}{because}"


def find_way(kind: Kind, copied: Copied) -> Way:
    """Return how a stream can be copied into a file of `kind`: tried, since muxers know it only at the end.

    Raises CannotHold.
    """
    if not kind.holds_streams:
        raise CannotHold
    reason = ""
    for way in _ways(copied.stream, copied.sample):
        try:
            _try(kind, copied.stream, way, copied.sample)
        except CannotHold as exc:
            reason = str(exc)
        else:
            return way
    raise CannotHold(reason)


def _ways(stream: CopiedStream, sample: Sequence[CopiedPacket]) -> Iterator[Way]:
    context = stream.codec_context
    name = _FILTERS.get(context.name) if context else None
    yield Way()
    if name and not context.extradata:
        yield Way(name, _extradata(name, stream, sample))


def _extradata(name: str, stream: CopiedStream, sample: Sequence[CopiedPacket]) -> bytes | None:
    """Return what the filter takes out of packets, for the file's header."""
    bitstream = BitStreamFilterContext(name, stream)
    try:
        for packet in sample:
            for each in bitstream.filter(_twin(packet)):
                if each.has_sidedata("new_extradata"):
                    return bytes(each.get_sidedata("new_extradata"))
    except (av.FFmpegError, ValueError):
        pass
    return None


def _twin(packet: CopiedPacket, zero: int = 0) -> CopiedPacket:
    """Return a packet with the same bytes, which a muxer or filter may take; its time counts from `zero`."""
    twin: Packet[Any] = Packet(bytes(packet))
    stamp = packet.dts if packet.pts is None else packet.pts
    twin.pts = twin.dts = None if stamp is None else stamp - zero
    twin.duration = packet.duration
    twin.time_base, twin.is_keyframe = packet.time_base, packet.is_keyframe
    return twin


def _try(kind: Kind, stream: CopiedStream, way: Way, sample: Sequence[CopiedPacket]) -> None:
    """Write the sample into a file in memory, and read it. Raises CannotHold."""
    file = io.BytesIO()
    zero = next((packet.pts for packet in sample if packet.pts is not None), 0)
    with _heard() as said:
        try:
            with av.open(file, "w", format=kind.muxer, options=kind.muxer_options) as container:
                copy = Copy(container, stream, way)
                container.start_encoding()
                for packet in sample:
                    copy.mux(_twin(packet, zero))
            is_whole = stream.type != "audio" or _is_same(sample, file, kind)
        except av.FFmpegError as exc:
            raise CannotHold(said[-1][2].strip() if said else exc.strerror) from None
        except ValueError:  # PyAV has looked it up
            raise CannotHold from None
    if not is_whole:
        raise CannotHold("what is written cannot be read again")


def _is_same(sample: Sequence[CopiedPacket], file: io.BytesIO, kind: Kind) -> bool:
    """Whether what was written can be read: as many packets, or as many bytes."""
    file.seek(0)
    with open_input(file, kind.demuxer, {}) as container:
        read = [packet.size for packet in container.demux(audio=0) if packet.size]
    return len(read) == len(sample) or sum(read) == sum(packet.size for packet in sample)


@contextmanager
def _heard() -> Iterator[list[tuple[int, str, str]]]:
    """Give what FFmpeg says is wrong meanwhile, on this thread; its errors alone are numbers."""
    before = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture() as said:
            yield said
    finally:
        av.logging.set_level(before[0])
        av.logging.set_skip_repeated(before[1])
