"""One time line for files whose time stamps jump: joined, spliced or damaged recordings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet

_HOLD_S = 1.0
_MAX_HELD = 2000
"""So much is held back at a jump until all streams have jumped: only then is known where they join."""
_ROUND_S = Fraction(2**33, 90_000)
"""Clocks of MPEG begin anew after 33 bits, 26.5 hours (ISO 13818-1, 2.4.3.7): that is no jump."""
_TS_DISCONT = 0x200
"""AVFMT_TS_DISCONT (libavformat/avformat.h)."""
_NEAR_S = 10
"""Streams of one part may be so far apart."""


@dataclass(slots=True)
class _Part:
    """What lies between two jumps; times are the file's own, in seconds.

    position: where it begins in the file, in bytes. shift_s: what is added to its times, None: not known yet.
    """

    position: int
    begin_s: Fraction
    latest_s: Fraction
    end_s: Fraction
    shift_s: Fraction | None = None

    def take(self, begin_s: Fraction, end_s: Fraction, at_s: Fraction) -> None:
        self.begin_s, self.end_s = min(self.begin_s, begin_s), max(self.end_s, end_s)
        self.latest_s = max(self.latest_s, at_s)


@dataclass(slots=True)
class _Track:
    """Where one stream is. is_main: whether it is no subtitles. step_s: from packet to packet."""

    is_main: bool
    part: int = 0
    last_s: Fraction | None = None
    step_s: Fraction = Fraction(0)


@dataclass(slots=True)
class Timeline:
    """Continues the time line at each jump, for all streams together, so that they stay in step.

    A jump back is one by more than `back_s` within a stream; one ahead, by more than `ahead_s` beyond all
    streams. What follows begins where what came before ended (as FFmpeg's concat demuxer has it).
    """

    back_s: Fraction
    ahead_s: Fraction
    may_wrap: bool = False
    jumps: int = 0
    _parts: list[_Part] = field(default_factory=list)
    _tracks: dict[int, _Track] = field(default_factory=dict)
    _held: list[tuple[Packet[Any], int]] = field(default_factory=list)

    @classmethod
    def of(cls, container: InputContainer) -> Timeline:
        """Return that of `container`: gaps are real but where the format's clock may jump (FFmpeg's rule)."""
        if may_jump(container):
            return cls(Fraction(1, 10), Fraction(10), may_wrap=True)
        return cls(Fraction(1), Fraction(30 * 3600))

    def read(self, packets: Iterable[Packet[Any]]) -> Iterator[Packet[Any]]:
        """Yield `packets` with times that go on, those without any as they are. Raises as `packets` does."""
        end: Exception | None = None
        try:
            for packet in packets:
                if packet.size:
                    self._held.append((packet, self._part_of(packet)))
                    if self._is_settled():
                        yield from self._release()
        except (av.FFmpegError, OSError) as exc:
            end = exc
        yield from self._release()
        if end:
            raise end

    def _part_of(self, packet: Packet[Any]) -> int:
        """Return the number of the part that a packet belongs to, and note it there."""
        stamp = packet.pts if packet.dts is None else packet.dts
        track = self._tracks.setdefault(packet.stream_index, _Track(packet.stream.type in ("video", "audio")))
        if stamp is None:
            return track.part
        at_s = stamp * Fraction(packet.time_base)
        shown_s = at_s if packet.pts is None else packet.pts * Fraction(packet.time_base)
        step_s = (packet.duration or 0) * Fraction(packet.time_base)
        number = self._choose(track, at_s, shown_s, packet)
        if number == track.part and track.last_s is not None and at_s > track.last_s:
            track.step_s = at_s - track.last_s
        track.part, track.last_s = number, at_s
        if track.is_main:
            self._parts[number].take(shown_s, shown_s + (step_s or track.step_s), at_s)
        return number

    def _choose(self, track: _Track, at_s: Fraction, shown_s: Fraction, packet: Packet[Any]) -> int:
        if not self._parts:
            self._parts.append(_Part(0, shown_s, at_s, shown_s, Fraction(0)))
        newest, position = len(self._parts) - 1, packet.pos or 0
        is_continued = self._continues(track, at_s)
        has_jumped = newest > track.part and self._is_near(self._parts[newest], at_s)
        if has_jumped and (not is_continued or position >= self._parts[newest].position):
            return newest
        if is_continued or not track.is_main:
            return track.part
        self._join()
        part = _Part(position, shown_s, at_s, shown_s)
        before = self._parts[track.part]
        if self.may_wrap and before.shift_s is not None and self._continues(track, at_s + _ROUND_S):
            part.shift_s = before.shift_s + _ROUND_S
        else:
            self.jumps += 1
        self._parts.append(part)
        return newest + 1

    def _continues(self, track: _Track, at_s: Fraction) -> bool:
        part = self._parts[track.part]
        if track.last_s is None:
            return len(self._parts) == 1 or self._is_near(part, at_s)
        return track.last_s - self.back_s <= at_s <= part.latest_s + self.ahead_s

    def _is_near(self, part: _Part, at_s: Fraction) -> bool:
        return part.begin_s - _NEAR_S <= at_s <= part.latest_s + _NEAR_S

    def _is_settled(self) -> bool:
        """Whether it is known where the newest part joins the one before."""
        newest = self._parts[-1] if self._parts else None
        if newest is None or newest.shift_s is not None:
            return True
        is_long = newest.latest_s - newest.begin_s > _HOLD_S or len(self._held) > _MAX_HELD
        number = len(self._parts) - 1
        return is_long or all(track.part == number for track in self._tracks.values() if track.is_main)

    def _join(self) -> None:
        """Have each part begin where the one before ends."""
        for before, part in pairwise(self._parts):
            if part.shift_s is None and before.shift_s is not None:
                part.shift_s = before.end_s + before.shift_s - part.begin_s

    def _release(self) -> Iterator[Packet[Any]]:
        self._join()
        held, self._held = self._held, []
        for packet, number in held:
            shift_s = self._parts[number].shift_s if self._parts else None
            if shift_s:
                ticks = round(shift_s / Fraction(packet.time_base))
                packet.pts = None if packet.pts is None else packet.pts + ticks
                packet.dts = None if packet.dts is None else packet.dts + ticks
            yield packet


def may_jump(container: InputContainer) -> bool:
    """Whether time stamps may begin anew within such a file, as in MPEG-TS."""
    return bool(container.format.flags & _TS_DISCONT)
