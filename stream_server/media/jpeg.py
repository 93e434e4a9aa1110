"""What a JPEG says about itself without decoding it, and its pixels."""

from __future__ import annotations

import struct
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.detections import BGRImage
from stream_server.errors import ImageError
from stream_server.media.exif import read_orientation
from stream_server.media.frames import GreyImage, Picture
from stream_server.media.huffman import DHT_MARKER, STANDARD_TABLES
from stream_server.media.orientation import UPRIGHT, turn, turned_wh

MAX_PIXELS = 40_000_000
"""Larger pictures are refused: a header of a few bytes may claim 65535x65535, which is 12 GB of pixels."""

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
SOS_MARKER, EOI_MARKER = 0xDA, 0xD9

# ITU-T T.81, table B.1.
FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_HUFFMAN_CODED = frozenset({0xC0, 0xC1, 0xC2})  # with which the tables of annex K can have been meant
APP1 = 0xE1
_EXIF = b"Exif\0\0"
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


def exif_in(jpeg: bytes, payload: int, end: int) -> bytes:
    """Return the EXIF data in an APP1 segment that `segment_at` found, empty where it holds none."""
    return jpeg[payload:end] if jpeg.startswith(_EXIF, payload) else b""


class JpegHeader(NamedTuple):
    """stored_wh: width and height as stored, in pixels. orientation: 1 to 8, see `orientation.turn`.

    tables_at: where the Huffman tables are to be put that it was coded with and has not; 0: it has them.
    """

    stored_wh: tuple[int, int]
    orientation: int = UPRIGHT
    tables_at: int = 0

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height as shown."""
        return turned_wh(self.stored_wh, self.orientation)


def read_header(jpeg: bytes) -> JpegHeader:
    """Return what the header says of the pixels; about 3 µs.

    Raises ImageError for bytes that are no JPEG, one that ends within its header, and one of more than
    `MAX_PIXELS`.
    """
    if jpeg[:2] != SOI:
        raise ImageError(
            f"not a JPEG: it starts with {jpeg[:4].hex(' ')}" if jpeg else "not a JPEG: it is empty"
        )
    orientation, stored_wh, has_tables, at = UPRIGHT, None, False, len(SOI)
    while not (stored_wh and has_tables) and (segment := _segment_after(jpeg, at, stored_wh)):
        marker, payload, end = segment
        if marker in FRAME_MARKERS and payload + FRAME_HEADER.size <= len(jpeg):
            height, width = FRAME_HEADER.unpack_from(jpeg, payload)
            stored_wh, has_tables = _checked(width, height), has_tables or marker not in _HUFFMAN_CODED
        elif marker == APP1 and (exif := exif_in(jpeg, payload, end)):
            orientation = read_orientation(exif)
        elif marker == DHT_MARKER:
            has_tables = True
        elif marker in (SOS_MARKER, EOI_MARKER) and stored_wh:
            return JpegHeader(stored_wh, orientation, at if marker == SOS_MARKER else 0)
        elif marker in (SOS_MARKER, EOI_MARKER):
            raise ImageError("not a usable JPEG: its header has no size")
        at = end
    if stored_wh is None:
        raise ImageError("the JPEG ends within its header")
    return JpegHeader(stored_wh, orientation)


def _segment_after(jpeg: bytes, at: int, stored_wh: tuple[int, int] | None) -> tuple[int, int, int] | None:
    """Return what `segment_at` does, but leave what is odd behind the size to the decoder."""
    try:
        return segment_at(jpeg, at)
    except ImageError:
        if stored_wh is None:
            raise
        return None


def _checked(width: int, height: int) -> tuple[int, int]:
    if width == 0 or height == 0:
        raise ImageError(f"the JPEG's header says {width}x{height} pixels")
    if width * height > MAX_PIXELS:
        limit = MAX_PIXELS // 1_000_000
        raise ImageError(f"the JPEG's header says {width}x{height} pixels; {limit} megapixels at most")
    return width, height


def decode(jpeg: bytes) -> BGRImage:
    """Return the pixels as (H, W, 3) uint8 BGR, turned upright as the EXIF data says.

    Data missing at the end is left grey.

    Raises ImageError for what is no JPEG, is too large or cannot be decoded.
    """
    header = read_header(jpeg)
    width, height = header.stored_wh
    return turn(_decoded(jpeg, cv2.IMREAD_COLOR, (height, width, 3)), header.orientation)


def decode_grey(jpeg: bytes) -> GreyImage:
    """Return the brightness of every eighth pixel each way, upright: the mean of each of the JPEG's blocks.

    Takes half the time of `decode`. Raises ImageError as it does.
    """
    header = read_header(jpeg)
    width, height = header.stored_wh
    blocks = _decoded(jpeg, cv2.IMREAD_REDUCED_GRAYSCALE_8, (-(-height // 8), -(-width // 8)))
    return turn(blocks, header.orientation)


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


def lacks_only_its_end(jpeg: bytes) -> bool:
    """Return whether all pixels of a JPEG are there, if not the marker of its end.

    FFmpeg tells where a scan ends too soon, within some of its last blocks; OpenCV takes either for the same.
    """
    import av  # noqa: PLC0415 - FFmpeg, when needed

    decoder = av.CodecContext.create("mjpeg", "r")
    decoder.options = {"err_detect": "explode"}
    try:
        return bool(decoder.decode(av.Packet(jpeg)))
    except av.FFmpegError:
        return False


def picture_of(jpeg: bytes) -> Picture:
    """Return the picture of a camera that sends JPEGs: pixels are made when wanted.

    The bytes stay untouched for those who take them as they are, but where Huffman tables are left out, which
    browsers need (Safari shows nothing without), and for a picture that lies on its side or is mirrored:
    browsers heed that, others do not, so all get its pixels, upright.

    Raises ImageError as `read_header` does.
    """
    header = read_header(jpeg)
    if at := header.tables_at:
        jpeg = jpeg[:at] + STANDARD_TABLES + jpeg[at:]
    own = jpeg if header.orientation == UPRIGHT else None
    return Picture(header.size_wh, partial(decode, jpeg), own, partial(decode_grey, jpeg))
