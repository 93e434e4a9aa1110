"""What the first bytes of a picture say about it: kind, size, transparency, orientation."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from stream_server.errors import ImageError, UnsupportedImage
from stream_server.media.exif import read_orientation
from stream_server.media.jpeg import (
    APP1,
    EOI_MARKER,
    FRAME_HEADER,
    FRAME_MARKERS,
    SOI,
    SOS_MARKER,
    exif_in,
    segment_at,
)
from stream_server.media.orientation import UPRIGHT

MediaType = Literal["image/jpeg", "image/png", "image/webp", "image/bmp"]

MAX_PARTS = 1000
"""Segments or chunks looked at; 20 MiB could hold five million empty ones, which is seconds of work."""


@dataclass(frozen=True, slots=True)
class Header:
    """size_wh: as stored, before `orientation` (1 to 8, see `orientation.turn`) is applied."""

    media_type: MediaType
    size_wh: tuple[int, int]
    has_alpha: bool = False
    orientation: int = UPRIGHT


def read_header(data: bytes) -> Header:
    """Return what the header of a JPEG, PNG, WebP or BMP says; only the bytes count, no name or media type.

    Raises UnsupportedImage for anything else, ImageError for a header that is damaged or cut off.
    """
    for is_it, read in _KINDS:
        if is_it(data):
            try:
                header = read(data)
            except struct.error:
                raise ImageError("is cut off within its header") from None
            if 0 in header.size_wh:
                raise ImageError(f"has {header.size_wh[0]}x{header.size_wh[1]} pixels")
            return header
    if not data:
        raise UnsupportedImage("is empty; expected a picture")
    raise UnsupportedImage(f"is no JPEG, PNG, WebP or BMP: it starts with {data[:4].hex(' ')}")


def _read_jpeg(data: bytes) -> Header:
    orientation, at = UPRIGHT, len(SOI)
    for _ in range(MAX_PARTS):
        segment = segment_at(data, at)
        if segment is None:
            break
        marker, payload, at = segment
        if marker == APP1 and (exif := exif_in(data, payload, at)):
            orientation = read_orientation(exif)
        elif marker in FRAME_MARKERS:
            height, width = FRAME_HEADER.unpack_from(data, payload)
            return Header("image/jpeg", (width, height), orientation=orientation)
        elif marker in (SOS_MARKER, EOI_MARKER):
            break
    raise ImageError("is a JPEG whose header has no size")


def _read_png(data: bytes) -> Header:
    """W3C PNG, third edition, 11.2: IHDR is first; tRNS and, as a rule, eXIf stand before the pixels."""
    width, height, _, colour_type = struct.unpack_from(">IIBB", data, 16)
    has_alpha, orientation = colour_type in (4, 6), UPRIGHT
    for name, start, end in _png_chunks(data):
        if name == b"tRNS":
            has_alpha = True
        elif name == b"eXIf":
            orientation = read_orientation(data[start:end])
        elif name == b"IDAT":
            break
    return Header("image/png", (width, height), has_alpha, orientation)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    at = 8
    for _ in range(MAX_PARTS):
        if at + 8 > len(data):
            return
        length, name = struct.unpack_from(">I4s", data, at)
        yield name, at + 8, at + 8 + length
        at += 12 + length


def _read_webp(data: bytes) -> Header:
    """RFC 9649, 2.5 to 2.7; RFC 6386, 9.1."""
    name = data[12:16]
    if name == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return Header("image/webp", (width & 0x3FFF, height & 0x3FFF))
    if name == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return Header("image/webp", ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1), bool(bits >> 28 & 1))
    if name != b"VP8X":
        raise ImageError("is a WebP without pixels")
    flags, *low_high = struct.unpack_from("<B3xHBHB", data, 20)
    width, height = (low + (high << 16) + 1 for low, high in (low_high[:2], low_high[2:]))
    exif = (data[start:end] for name, start, end in _webp_chunks(data) if name == b"EXIF")
    return Header("image/webp", (width, height), bool(flags & 0x10), read_orientation(next(exif, b"")))


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    at = 12
    for _ in range(MAX_PARTS):
        if at + 8 > len(data):
            return
        name, length = struct.unpack_from("<4sI", data, at)
        yield name, at + 8, at + 8 + length
        at += 8 + length + length % 2


def _read_bmp(data: bytes) -> Header:
    """BITMAPFILEHEADER, then BITMAPCOREHEADER (12 bytes, 16-bit sides) or one of BITMAPINFOHEADER's kind."""
    (size,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if size == 12 else "<ii", data, 18)
    return Header("image/bmp", (abs(width), abs(height)))


_KINDS: tuple[tuple[Callable[[bytes], bool], Callable[[bytes], Header]], ...] = (
    (lambda data: data.startswith(b"\xff\xd8\xff"), _read_jpeg),
    (lambda data: data.startswith(b"\x89PNG\r\n\x1a\n"), _read_png),
    (lambda data: data.startswith(b"RIFF") and data[8:12] == b"WEBP", _read_webp),
    (lambda data: data.startswith(b"BM"), _read_bmp),
)
