"""Whether the pictures of an H.264 stream follow on from each other, which FFmpeg does not tell.

Where a whole picture got lost it repeats the one before in its place, flags nothing, and shows smears up to
the next key frame. (Its H.265 decoder refuses what builds on a missing one.) ITU-T H.264, 7.3, 7.4.
"""

from __future__ import annotations

from collections.abc import Iterator

_SLICE, _IDR, _SPS = 1, 5, 7
START_CODE = b"\0\0\1"
_HEAD_BYTES = 64
"""Of a slice: more than what is read of it."""
_SEARCHED_BYTES = 1 << 16
_WITH_CHROMA = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
"""Profiles whose parameter sets say more of colours (7.3.2.1.1)."""


class FrameNumbers:
    """Compares each picture's `frame_num` with that of the last one that others are predicted from."""

    def __init__(self, extradata: bytes | None) -> None:
        """extradata: the parameter sets as far as they are known before the first picture, Annex B."""
        self._bits = 0  # of a frame_num, 0 while no parameter set is known or numbers may be left out
        self._has_planes = False
        self._last: int | None = None
        for nal in nal_units(extradata or b""):
            self._learn(nal)

    def follows(self, picture: bytes, *, is_key: bool) -> bool:
        """Return whether nothing that `picture` may be predicted from is missing, as far as its number tells.

        picture: an access unit in Annex B form, the next that has come. is_key: whether it needs no other.
        """
        for nal in nal_units(picture[:_SEARCHED_BYTES]):
            if nal[0] & 31 in (_SLICE, _IDR):
                return self._is_next(nal, is_key=is_key)
            self._learn(nal)
        return True

    def _is_next(self, nal: bytes, *, is_key: bool) -> bool:
        if not self._bits:
            return True
        try:
            number = self._number(nal)
        except IndexError:  # it is cut off; the decoder sees that
            return True
        last = self._last
        if nal[0] >> 5 & 3 or is_key:  # others may be predicted from it
            self._last = number
        # The same again: the second field of a frame.
        return is_key or last is None or number in (last, (last + 1) % (1 << self._bits))

    def _number(self, nal: bytes) -> int:
        bits = Bits(nal[1:_HEAD_BYTES])
        for _ in range(3):  # first macroblock, kind of slice, picture parameter set
            bits.ue()
        if self._has_planes:
            bits.u(2)
        return bits.u(self._bits)

    def _learn(self, nal: bytes) -> None:
        if nal[0] & 31 == _SPS:
            try:
                self._bits, self._has_planes = _read_sps(Bits(nal[1:1024]))
            except IndexError:
                self._bits = 0


class Bits:
    """Reads the bits of a NAL unit; raises IndexError at its end."""

    def __init__(self, nal: bytes) -> None:
        self._data = nal.replace(b"\0\0\3", b"\0\0")  # emulation prevention, 7.4.1
        self._at = 0

    def u(self, count: int) -> int:
        """Return a number of `count` bits."""
        value = 0
        for _ in range(count):
            value = value << 1 | self._data[self._at >> 3] >> (7 - self._at & 7) & 1
            self._at += 1
        return value

    def ue(self) -> int:
        """Return an Exp-Golomb number (9.1)."""
        zeros = 0
        while not self.u(1):
            zeros += 1
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        """Return a signed Exp-Golomb number (9.1.1)."""
        number = self.ue()
        return (number + 1) // 2 if number & 1 else -(number // 2)


def _read_sps(bits: Bits) -> tuple[int, bool]:
    """Return the bits of a frame_num, 0 where some may be left out, and whether planes are coded apart."""
    profile, has_planes = bits.u(8), False
    bits.u(16)
    bits.ue()
    if profile in _WITH_CHROMA:
        chroma = bits.ue()
        has_planes = chroma == 3 and bool(bits.u(1))
        bits.ue(), bits.ue(), bits.u(1)
        if bits.u(1):
            _skip_scaling(bits, 12 if chroma == 3 else 8)
    count = bits.ue() + 4
    kind = bits.ue()
    if kind == 0:
        bits.ue()
    elif kind == 1:
        bits.u(1), bits.ue(), bits.ue()
        for _ in range(bits.ue()):
            bits.ue()
    bits.ue()
    may_have_gaps = bits.u(1)
    return (0 if may_have_gaps or count > 16 else count), has_planes


def _skip_scaling(bits: Bits, lists: int) -> None:
    for each in range(lists):
        if bits.u(1):
            last = following = 8
            for _ in range(16 if each < 6 else 64):
                if following:
                    following = (last + bits.se()) % 256
                last = following or last


def nal_units(data: bytes) -> Iterator[bytes]:
    """Yield what stands between start codes, not empty (annex B)."""
    start = data.find(START_CODE)
    while start >= 0:
        end = data.find(START_CODE, start + 3)
        if unit := data[start + 3 : end if end >= 0 else None]:
            yield unit
        start = end
