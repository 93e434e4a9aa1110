"""What a JPEG says about itself without decoding it, and its pixels."""

from __future__ import annotations

import struct
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.detections import BGRImage
from stream_server.errors import ImageError
from stream_server.frames import GreyImage, Picture

MAX_PIXELS = 40_000_000
"""Larger pictures are refused: a header of a few bytes may claim 65535x65535, which is 12 GB of pixels."""

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
SOS_MARKER, EOI_MARKER = 0xDA, 0xD9

# ITU-T T.81, table B.1.
FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xDA)})
_FIRST_MARKER = 0xC0
_LENGTH = struct.Struct(">H")
FRAME_HEADER = struct.Struct(">xHH")
_FILL = 0xFF


def segment_at(data: bytes | bytearray, at: int) -> tuple[int, int, int] | None:
    """Return marker code, offset of the payload and offset after the segment that begins at `at`.

    The segment may reach past the end of `data`; None when not even its length is there.

    Raises ImageError where no marker is.
    """
    if at + 2 > len(data):
        return None
    if data[at] != _FILL:
        raise ImageError("not a JPEG: its segments do not follow each other")
    while data[at + 1] == _FILL:
        at += 1
        if at + 2 > len(data):
            return None
    marker = data[at + 1]
    if marker in _WITHOUT_LENGTH:
        return marker, at + 2, at + 2
    if at + 4 > len(data):
        return None
    length = _LENGTH.unpack_from(data, at + 2)[0]
    if length < 2 or marker < _FIRST_MARKER:
        raise ImageError("not a JPEG: a segment has an impossible marker or length")
    return marker, at + 4, at + 2 + length


def read_size(jpeg: bytes) -> tuple[int, int]:
    """Return width and height as the header says, in pixels; about 3 µs.

    Raises ImageError for bytes that are no JPEG, one that ends within its header, and one of more than
    `MAX_PIXELS`.
    """
    if jpeg[:2] != SOI:
        raise ImageError(
            f"not a JPEG: it starts with {jpeg[:4].hex(' ')}" if jpeg else "not a JPEG: it is empty"
        )
    at = 2
    while segment := segment_at(jpeg, at):
        marker, payload, at = segment
        if marker in FRAME_MARKERS and payload + FRAME_HEADER.size <= len(jpeg):
            height, width = FRAME_HEADER.unpack_from(jpeg, payload)
            return _checked(width, height)
        if marker in (SOS_MARKER, EOI_MARKER):
            raise ImageError("not a usable JPEG: its header has no size")
    raise ImageError("the JPEG ends within its header")


def _checked(width: int, height: int) -> tuple[int, int]:
    if width == 0 or height == 0:
        raise ImageError(f"the JPEG's header says {width}x{height} pixels")
    if width * height > MAX_PIXELS:
        limit = MAX_PIXELS // 1_000_000
        raise ImageError(f"the JPEG's header says {width}x{height} pixels; {limit} megapixels at most")
    return width, height


def decode(jpeg: bytes) -> BGRImage:
    """Return the pixels as (H, W, 3) uint8 BGR, as stored: an EXIF orientation is not applied.

    So the shape is that of `read_size`, which is checked first. Data missing at the end is left grey.

    Raises ImageError for what is no JPEG, is too large or cannot be decoded.
    """
    width, height = read_size(jpeg)
    return _decoded(jpeg, cv2.IMREAD_COLOR, (height, width, 3))


def decode_grey(jpeg: bytes) -> GreyImage:
    """Return the brightness of every eighth pixel each way: the mean of each of the JPEG's blocks.

    Takes half the time of `decode`. Raises ImageError as it does.
    """
    width, height = read_size(jpeg)
    return _decoded(jpeg, cv2.IMREAD_REDUCED_GRAYSCALE_8, (-(-height // 8), -(-width // 8)))


def _decoded(jpeg: bytes, flags: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    if not jpeg.endswith(EOI):
        jpeg += EOI  # OpenCV takes no JPEG without
    try:
        image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as exc:
        raise ImageError(f"the JPEG cannot be decoded: {exc.err}") from exc
    if image is None or image.shape != shape:
        raise ImageError("the JPEG cannot be decoded")
    return image.astype(np.uint8, copy=False)


def picture_of(jpeg: bytes) -> Picture:
    """Return the picture of a camera that sends JPEGs: the bytes untouched, pixels made when wanted.

    Raises ImageError as `read_size` does.
    """
    return Picture(read_size(jpeg), partial(decode, jpeg), jpeg, partial(decode_grey, jpeg))
