"""How a picture is to be turned, as its EXIF data says (CIPA DC-008, tag 0x0112)."""

from __future__ import annotations

import struct

from stream_server.media.orientation import UPRIGHT

ORIENTATION_TAG = 0x0112

_ENTRY_BYTES = 12
_TIFF = 42
_LONG = 4


def read_orientation(exif: bytes) -> int:
    """Return the orientation, 1 to 8, in a block of EXIF data; 1, upright, where none can be read.

    exif: a TIFF header and its first directory; `Exif` and two zero bytes before it are skipped.
    """
    tiff = exif[6:] if exif.startswith(b"Exif\0\0") else exif
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return UPRIGHT
    try:
        magic, at = struct.unpack_from(f"{order}HI", tiff, 2)
        (count,) = struct.unpack_from(f"{order}H", tiff, at)
        if magic != _TIFF:
            return UPRIGHT
        for entry in range(at + 2, at + 2 + count * _ENTRY_BYTES, _ENTRY_BYTES):
            tag, kind = struct.unpack_from(f"{order}HH", tiff, entry)
            if tag == ORIENTATION_TAG:
                # A SHORT, by the standard; some programs write a LONG (TIFF 6.0, section 2).
                (value,) = struct.unpack_from(f"{order}{'I' if kind == _LONG else 'H'}", tiff, entry + 8)
                return int(value) if 1 <= value <= 8 else UPRIGHT
    except struct.error:  # it ends within its directory
        pass
    return UPRIGHT
