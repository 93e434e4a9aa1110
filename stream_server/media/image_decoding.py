"""A picture's bytes, from anybody, to its pixels: bytes are counted first, then pixels, then it is decoded.

OpenCV decodes: a 1280x720 JPEG takes it 4.5 ms, Pillow 9.5 (libjpeg-turbo in both; Pillow's array is RGB and
has to be turned around). It makes CMYK, grey, palettes and 16 bits the colours they mean; transparency and
EXIF orientation, which depend on its version and flags, are dealt with here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.detections import BGRImage
from stream_server.errors import ImageError, ImageTooLarge
from stream_server.media.frames import Picture
from stream_server.media.image_headers import Header, read_header
from stream_server.media.jpeg import EOI, lacks_only_its_end
from stream_server.media.orientation import turn, turned_wh

_STRIP_PIXELS = 1 << 20
_WHITE = 255


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What a picture may be at most."""

    max_bytes: int = 20 * 2**20
    max_pixels: int = 40_000_000


DEFAULT_LIMITS = ImageLimits()


def check_image_bytes(data: bytes, limits: ImageLimits = DEFAULT_LIMITS) -> Header:
    """Return what the header of a picture says, having checked it against `limits`.

    Raises ImageError as `decode_image` does, except for what only decoding shows.
    """
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(f"has {len(data)} bytes, at most {limits.max_bytes} are taken", limits.max_bytes)
    header = read_header(data)
    width, height = header.size_wh
    if width * height > limits.max_pixels:
        raise ImageTooLarge(
            f"has {width}x{height} pixels, at most {limits.max_pixels} are taken", limits.max_pixels
        )
    return header


def decode_image(data: bytes, limits: ImageLimits = DEFAULT_LIMITS) -> BGRImage:
    """Return a picture, (H, W, 3) uint8 BGR, turned upright as its EXIF data says; of an animation the first.

    data: a JPEG, PNG, WebP or BMP, told by its bytes. 16 bits become 8, CMYK and grey become BGR, and what is
    transparent is seen on white.

    Raises UnsupportedImage (415) for another kind, ImageTooLarge (413) beyond `limits`, before anything is
    decoded, and ImageError (400) for a picture that is damaged or cut off; a JPEG may lack the marker of its
    end alone.
    """
    return decode_pixels(data, check_image_bytes(data, limits))


def decode_pixels(data: bytes, header: Header) -> BGRImage:
    """Return what `decode_image` does of a picture that has been checked. Raises ImageError."""
    how = cv2.IMREAD_UNCHANGED if header.has_alpha else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = _decoded(data, how)
    if image is None and header.media_type == "image/jpeg" and lacks_only_its_end(data):
        image = _decoded(data + EOI, how)
    if image is None or image.shape[1::-1] != header.size_wh:
        raise ImageError("cannot be decoded: it is damaged or cut off")
    return turn(_as_bgr(image), header.orientation)


def _decoded(data: bytes, how: int) -> NDArray[Any] | None:
    """Return the pixels as OpenCV has them, None where it has none."""
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), how)
    except cv2.error as exc:
        raise ImageError(f"cannot be decoded: {exc.err}") from exc


def picture_of_image(data: bytes, limits: ImageLimits = DEFAULT_LIMITS) -> Picture:
    """Return the picture of a camera that sends PNG, WebP or BMP; its pixels are made when wanted.

    Raises ImageError as `check_image_bytes` does.
    """
    header = check_image_bytes(data, limits)
    return Picture(turned_wh(header.size_wh, header.orientation), partial(decode_pixels, data, header))


def _as_bgr(image: NDArray[Any]) -> BGRImage:
    if image.ndim == 2:
        image = image[..., None].repeat(3, axis=2)
    height, width, channels = image.shape
    if image.dtype == np.uint8 and channels == 3:
        return np.asarray(image, np.uint8)
    flat = np.empty((height, width, 3), np.uint8)
    rows = max(
        1, _STRIP_PIXELS // width
    )  # arithmetic takes 16 bits a value: not of the whole picture at once
    for top in range(0, height, rows):
        flat[top : top + rows] = _on_white(image[top : top + rows])
    return flat


def _on_white(strip: NDArray[Any]) -> NDArray[np.uint8]:
    if strip.dtype == np.uint16:
        strip = (strip >> 8).astype(np.uint8)
    colours = strip[..., :3].astype(np.uint16)
    if strip.shape[2] == 4:
        alpha = strip[..., 3:].astype(np.uint16)
        colours = (colours * alpha + _WHITE * (255 - alpha) + 127) // 255
    return colours.astype(np.uint8)
