"""The parts of an annotated video in which there are objects, as files of their own, copied without loss."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

import av
from av.packet import Packet

from stream_server.media.av_opening import open_file
from stream_server.video.formats import Kind, OutputError
from stream_server.video.scene import Scene

AFTER_S = 1.0
"""A clip goes on so long after its objects; gaps that are shorter are part of it."""

Span = tuple[float, float]


class Spans:
    """Collects when there are objects."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def add(self, scene: Scene, at_s: float) -> None:
        """Take in the next frame, shown at `at_s`."""
        if not len(scene.objects):
            return
        if self.spans and at_s <= self.spans[-1][1]:
            self.spans[-1] = self.spans[-1][0], at_s + AFTER_S
        else:
            self.spans.append((at_s, at_s + AFTER_S))


def folder_for(out: Path) -> Path:
    """Return the folder of the clips of `out`."""
    return out.with_suffix(".clips")


def cut(out: Path, kind: Kind, spans: Iterable[Span]) -> list[Path]:
    """Write a file for each of `spans`, in seconds of the video `out`; each begins at the key frame before.

    Raises OutputError.
    """
    folder = folder_for(out)
    clips = []
    try:
        folder.mkdir(exist_ok=True)
        for old in folder.glob(f"{out.stem}-*{out.suffix}"):
            old.unlink()
        with open_file(out, kind.demuxer) as container:
            for number, span in zip(count(1), spans, strict=False):
                clip = folder / f"{out.stem}-{number:03}{out.suffix}"
                _copy(container, clip, kind, span)
                clips.append(clip)
    except (OSError, av.FFmpegError, ValueError) as exc:
        raise OutputError.of(folder, exc) from exc
    return clips


def _copy(source: av.container.InputContainer, clip: Path, kind: Kind, span: Span) -> None:
    video = source.streams.video[0]
    wanted = [video, *source.streams.audio]
    source.seek(round(span[0] * av.time_base), backward=True)
    with av.open(str(clip.absolute()), "w", format=kind.muxer, options=kind.muxer_options) as target:
        copies = {}
        for stream in wanted:
            copies[stream.index] = copy = target.add_stream_from_template(stream)
            copy.metadata.update(stream.metadata)
            copy.disposition = stream.disposition
        begin_s: float | None = None
        for packet in _until(source.demux(wanted), span[1]):
            at_s = _at_s(packet)
            if begin_s is None and packet.stream.index == video.index:
                begin_s = at_s
            if begin_s is None or at_s < begin_s - 0.001:
                continue
            offset = round(begin_s / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts - offset
            packet.dts = None if packet.dts is None else packet.dts - offset
            packet.stream = copies[packet.stream.index]
            target.mux(packet)


def _until(packets: Iterator[Packet], end_s: float) -> Iterator[Packet]:  # type: ignore[type-arg]
    """Yield packets up to `end_s`, and a little further in the file, where sound may be behind."""
    for packet in packets:
        if packet.size and packet.dts is not None:
            at_s = _at_s(packet)
            if at_s < end_s:
                yield packet
            elif at_s > end_s + 1:
                return


def _at_s(packet: Packet) -> float:  # type: ignore[type-arg]
    stamp = packet.dts if packet.pts is None else packet.pts
    return float((stamp or 0) * packet.time_base)
