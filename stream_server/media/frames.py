"""The values that travel: pictures from sources, frames of cameras, encoded frames of streams."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from detector.detections import BGRImage

GreyImage = NDArray[np.uint8]
"""(H, W) uint8, brightness."""


class Picture:
    """What a source hands over: pixels made when first asked for, and the camera's own JPEG if it sent one.

    size_wh: width and height in pixels, also before the pixels are made.
    decode: called at most once, from whichever thread first wants `image`; returns (H, W, 3) uint8 BGR and
        raises ImageError for a broken picture.
    jpeg: the bytes as the camera sent them, or None when it sent something else.
    decode_grey: a cheaper way to the brightness alone, in any size and proportions; raises likewise.
    """

    __slots__ = ("_decode", "_decode_grey", "_image", "_lock", "jpeg", "size_wh")

    def __init__(
        self,
        size_wh: tuple[int, int],
        decode: Callable[[], BGRImage],
        jpeg: bytes | None = None,
        decode_grey: Callable[[], GreyImage] | None = None,
    ) -> None:
        self.size_wh = size_wh
        self.jpeg = jpeg
        self._decode_grey = decode_grey
        self._decode: Callable[[], BGRImage] | None = decode
        self._image: BGRImage | None = None
        self._lock = threading.Lock()  # guards _image and _decode: several stages may ask at once

    @classmethod
    def of_image(cls, image: BGRImage) -> Picture:
        """Return the picture whose pixels are already there; `image` becomes read-only."""
        picture = cls((image.shape[1], image.shape[0]), lambda: image)
        _ = picture.image
        return picture

    @property
    def is_decoded(self) -> bool:
        """Whether the pixels are there already."""
        return self._image is not None

    @property
    def image(self) -> BGRImage:
        """(H, W, 3) uint8 BGR, read-only. Raises ImageError, on every call, when it is broken."""
        with self._lock:
            if self._image is None:
                assert self._decode is not None
                image = self._decode()
                image.setflags(write=False)
                self._image, self._decode = image, None
            return self._image

    @property
    def grey(self) -> GreyImage:
        """(H, W) uint8, what is bright in the picture, perhaps smaller than it; made anew on each call.

        The pictures of one source are alike in this, whether their pixels are there or not: a picture seldom
        differs from the one before it because of how it was made. Raises ImageError when it is broken.
        """
        if self._decode_grey:
            return self._decode_grey()
        return np.ascontiguousarray(self.image[::2, ::2, 1])  # a quarter of green: 0.05 ms for 1280x720


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a camera, with its number and time.

    sequence: 1, 2, 3... per camera; a gap is a dropped frame.
    captured_at: `time.monotonic()` seconds when the picture had arrived.
    """

    picture: Picture
    camera: str
    sequence: int
    captured_at: float

    @property
    def image(self) -> BGRImage:
        """(H, W, 3) uint8 BGR, read-only; decoded on first use. Raises ImageError."""
        return self.picture.image

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.picture.size_wh


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """One frame as viewers get it; immutable, one object shared by all of them.

    part: the JPEG in the canonical multipart framing, closing boundary included.
    sequence: the frame's number in its camera.
    captured_at, encoded_at: `time.monotonic()` seconds.
    is_message: whether it shows why there is no picture rather than a picture.
    overload: how many steps below what was asked for it is; see `overload.STEPS`.
    parts: the JPEG in other framings, as they are asked for; see `multipart.part_of`.
    """

    jpeg: bytes
    part: bytes
    size_wh: tuple[int, int]
    sequence: int
    captured_at: float
    encoded_at: float
    is_message: bool = False
    overload: int = 0
    parts: dict[Hashable, bytes] = field(default_factory=dict, init=False, repr=False, compare=False)
