"""Whether the slices of an H.265 picture have all come, which FFmpeg does not tell. ITU-T H.265, 7.3, 7.4.

Of a lost slice it shows what was in the memory before. Nothing in a picture says how many slices it has: most
cameras cut all pictures at the same places, so they are compared with those before.
"""

from __future__ import annotations

from collections import deque

from stream_server.media.continuity import START_CODE, Bits, nal_units

_SPS, _PPS, _MESSAGE = 33, 34, 39
_DECODED = frozenset({*range(32), 32, _SPS, _PPS, 36, 37})
"""Slices, parameter sets and ends of sequences (7.4.2.2)."""
_RECOVERY_POINT = 6
_HEAD_BYTES = 24
"""Of a slice: more than what is read of it."""
_REMEMBERED = 16
_AT_LEAST, _SHARE = 2, 1 / 4
"""As many of those remembered must have a slice wherever one begins in any: the camera always cuts there."""


class PictureSlices:
    """Compares where the slices of each picture begin with those before."""

    def __init__(self, extradata: bytes | None) -> None:
        """extradata: the parameter sets as far as they are known before the first picture, Annex B."""
        self._address_bits: dict[int, int] = {}  # by sequence parameter set
        self._parameters: dict[int, tuple[int, int]] = {}  # of pictures: that of the sequence, may depend
        self._last: deque[frozenset[int]] = deque(maxlen=_REMEMBERED)
        for unit in nal_units(extradata or b""):
            self._learn(unit)

    def are_all(self, picture: bytes) -> bool:
        """Return whether no slice of `picture` is known to be missing, nor one of another picture in it.

        picture: an access unit in Annex B form.
        """
        starts: list[int] = []
        try:
            for unit in nal_units(picture):
                if _kind(unit) < 32:
                    starts.append(self._address(unit))
                else:
                    self._learn(unit)
        except (IndexError, KeyError):  # cut off, or of unknown parameters; the decoder sees that
            return True
        if starts != sorted(set(starts)):
            return False
        self._last.append(frozenset(starts))
        usual = frozenset().union(*self._last)
        is_usual = self._last.count(usual) >= max(_AT_LEAST, _SHARE * len(self._last))
        return not is_usual or len(starts) == len(usual)

    def _address(self, unit: bytes) -> int:
        """Return the number of the block at which a slice begins (7.3.6.1)."""
        bits = Bits(unit[2:_HEAD_BYTES])
        is_first = bits.u(1)
        if 16 <= _kind(unit) <= 23:
            bits.u(1)
        sequence, may_depend = self._parameters[bits.ue()]
        if is_first:
            return 0
        bits.u(may_depend)
        return bits.u(self._address_bits[sequence])

    def _learn(self, unit: bytes) -> None:
        try:
            if _kind(unit) == _SPS:
                number, count = _read_sps(Bits(unit[2:1024]))
                self._address_bits[number] = count
            elif _kind(unit) == _PPS:
                bits = Bits(unit[2:_HEAD_BYTES])
                number = bits.ue()
                self._parameters[number] = bits.ue(), bits.u(1)
        except IndexError:
            self._parameters.clear()


def decodable(picture: bytes) -> bytes:
    """Return an H.265 picture, Annex B, without what no pixel depends on, such as a camera's own messages.

    Told to refuse what is broken, FFmpeg refuses whole pictures for a message that it cannot read.
    """
    units = list(nal_units(picture))
    kept = [unit for unit in units if _is_decoded(unit)]
    if not kept or len(kept) == len(units):
        return picture
    return b"".join(part for unit in kept for part in (START_CODE, unit))


def _is_decoded(unit: bytes) -> bool:
    # Decoding of a stream without key frames starts at a recovery point.
    return _kind(unit) in _DECODED or (_kind(unit) == _MESSAGE and unit[2:3] == bytes([_RECOVERY_POINT]))


def _kind(unit: bytes) -> int:
    return unit[0] >> 1 & 63


def _read_sps(bits: Bits) -> tuple[int, int]:
    """Return the number of a sequence parameter set and the bits of a slice's address (7.3.2.2.1)."""
    bits.u(4)
    layers = bits.u(3)
    bits.u(1 + 88 + 8)
    has_what = [(bits.u(1), bits.u(1)) for _ in range(8 if layers else 0)][:layers]
    for has_profile, has_level in has_what:
        bits.u(88 * has_profile + 8 * has_level)
    number = bits.ue()
    if bits.ue() == 3:
        bits.u(1)
    width, height = bits.ue(), bits.ue()
    for _ in range(4 * bits.u(1)):  # what is cut off
        bits.ue()
    bits.ue(), bits.ue(), bits.ue()
    for _ in range(3 * (layers + 1 if bits.u(1) else 1)):
        bits.ue()
    block = 1 << (bits.ue() + 3 + bits.ue())
    return number, (-(-width // block) * -(-height // block) - 1).bit_length()
