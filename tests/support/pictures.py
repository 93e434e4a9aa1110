"""Pictures that lie on their side or are mirrored, and say so; told without the product's own code."""

from __future__ import annotations

import struct
from collections.abc import Callable

import cv2
import numpy as np

from detector.detections import BGRImage

ORIENTATIONS = range(1, 9)
BLUE, GREEN, RED, GREY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (90, 90, 90)

_STORED: dict[int, Callable[[BGRImage], BGRImage]] = {
    1: lambda image: image,
    2: np.fliplr,
    3: lambda image: np.rot90(image, 2),
    4: np.flipud,
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: np.rot90(image, 1),
    7: lambda image: np.rot90(image, 2).transpose(1, 0, 2),
    8: lambda image: np.rot90(image, -1),
}
"""CIPA DC-008, tag 0x0112: e.g. 6, the stored rows stand on the right side, begin at the top there."""


def upright(size_wh: tuple[int, int] = (160, 96)) -> BGRImage:
    """Return a grey picture that is blue in its upper left corner and green in its upper right one.

    The patches are 32 pixels wide and high; every turn and mirroring looks different.
    """
    image = np.full((size_wh[1], size_wh[0], 3), GREY, np.uint8)
    image[:32, :32], image[:32, -32:] = BLUE, GREEN
    return image


def is_upright(image: BGRImage, size_wh: tuple[int, int] = (160, 96)) -> bool:
    """Return whether `image` is `upright` of that size, as far as coding leaves it alone."""
    if image.shape != (size_wh[1], size_wh[0], 3):
        return False
    inner = np.abs(image.astype(int) - upright(size_wh)).max(axis=2)
    return bool(np.mean(inner > 60) < 0.05)


def stored(image: BGRImage, orientation: int) -> BGRImage:
    """Return the pixels of a picture that is `image` once it is turned as `orientation` says."""
    return np.ascontiguousarray(_STORED[orientation](image))


def jpeg_lying(image: BGRImage, orientation: int, order: str = "<") -> bytes:
    """Return a JPEG that shows `image` to those who heed EXIF data; order: of the bytes in that."""
    jpeg = cv2.imencode(".jpg", stored(image, orientation), [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    mark = b"II" if order == "<" else b"MM"
    exif = b"Exif\0\0" + mark + struct.pack(f"{order}HIHHHIHHI", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


def without_tables(jpeg: bytes) -> bytes:
    """Return `jpeg` without its DHT segments."""
    at, kept = 2, jpeg[:2]
    while jpeg[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if jpeg[at + 1] != 0xC4:
            kept += jpeg[at:end]
        at = end
    return kept + jpeg[at:]
