"""How a picture is to be turned, as its EXIF data says (CIPA DC-008, tag 0x0112)."""

from __future__ import annotations

import struct

import cv2
import numpy as np

from detector.detections import BGRImage

ORIENTATION_TAG = 0x0112
UPRIGHT = 1

_ENTRY_BYTES = 12
_TIFF = 42


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
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, entry)
            if tag == ORIENTATION_TAG:
                return int(value) if 1 <= value <= 8 else UPRIGHT
    except struct.error:  # it ends within its directory
        pass
    return UPRIGHT


def turn(image: BGRImage, orientation: int) -> BGRImage:
    """Return `image` upright: a new array, or `image` itself where it is.

    orientation: 1 to 8; from 5 on, width and height change places.
    """
    match orientation:
        case 2:
            turned = cv2.flip(image, 1)
        case 3:
            turned = cv2.rotate(image, cv2.ROTATE_180)
        case 4:
            turned = cv2.flip(image, 0)
        case 5:
            turned = cv2.transpose(image)
        case 6:
            turned = cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE)
        case 7:
            turned = cv2.flip(cv2.transpose(image), -1)
        case 8:
            turned = cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE)
        case _:
            return image
    return np.asarray(turned, np.uint8)
