"""How pictures lie, in EXIF's eight numbers (CIPA DC-008, tag 0x0112), and how to get them upright."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

UPRIGHT = 1
_BACK = {6: 8, 8: 6}  # quarters to the right and to the left; the others undo themselves

_MATRICES = {
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}
"""a, b, c, d of a display matrix: (x, y) is shown at (a x + c y, b x + d y); ISO 14496-12, 8.3.2."""
_ONE, _W_ONE = 1 << 16, 1 << 30  # its numbers are 16.16, but for the last: 2.30

Pixels = TypeVar("Pixels", bound=NDArray[np.uint8])


def turn(image: Pixels, orientation: int) -> Pixels:
    """Return `image` upright: a new array, or `image` itself where it is.

    image: (H, W) or (H, W, channels).
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
    return turned  # type: ignore[return-value]


def of_matrix(matrix: Sequence[int]) -> int:
    """Return the orientation of a display matrix, the nearest one if it turns by part of a quarter.

    matrix: nine numbers as FFmpeg has them (libavutil/display.h), which is as they stand in an MP4.
    """
    a, b, _, c, d = matrix[:5]
    if abs(b) + abs(c) > abs(a) + abs(d):
        return {(True, True): 5, (True, False): 6, (False, False): 7, (False, True): 8}[b > 0, c > 0]
    return {(True, True): 1, (False, True): 2, (False, False): 3, (True, False): 4}[a >= 0, d >= 0]


def matrix_of(orientation: int) -> tuple[int, ...]:
    """Return the display matrix that `of_matrix` reads."""
    a, b, c, d = (_ONE * each for each in _MATRICES[orientation])
    return a, b, 0, c, d, 0, 0, 0, _W_ONE


def back(orientation: int) -> int:
    """Return the orientation by which `turn` undoes what it does by this one."""
    return _BACK.get(orientation, orientation)


def is_sideways(orientation: int) -> bool:
    """Return whether width and height change places."""
    return orientation >= 5


def turned_wh(size_wh: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Return width and height of a picture of `size_wh` once it is upright."""
    return size_wh[::-1] if is_sideways(orientation) else size_wh
