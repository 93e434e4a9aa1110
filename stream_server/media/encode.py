"""From an image of any size to the JPEG of the size a stream has."""

from __future__ import annotations

import cv2
import numpy as np

from detector.detections import BGRImage
from stream_server.errors import EncodeError

MAX_SIDE = 65500
"""libjpeg's limit (JPEG_MAX_DIMENSION), in pixels."""


def encode_jpeg(image: BGRImage, quality: int) -> bytes:
    """Return `image` as one JPEG file: baseline, 4:2:0, no thumbnail, no metadata.

    image: (H, W, 3) uint8, BGR, sides 1..65500. Not modified.
    quality: 1 (smallest) to 100 (best), on libjpeg's scale.

    Raises EncodeError for another shape or type, with the shape it got.
    """
    _check(image)
    if not 1 <= quality <= 100:
        raise EncodeError(f"JPEG quality: got {quality}, expected 1 to 100")
    # Optimised Huffman tables save 1 % of the bytes and take 2.4 times as long; progressive takes 7 times.
    options = (
        cv2.IMWRITE_JPEG_QUALITY,
        quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    )
    try:
        is_encoded, jpeg = cv2.imencode(".jpg", image, options)
    except cv2.error as exc:
        raise EncodeError(f"an image of shape {image.shape} could not be encoded: {exc.err}") from exc
    if not is_encoded:
        raise EncodeError(f"an image of shape {image.shape} could not be encoded")
    return jpeg.tobytes()


def scaled_wh(size_wh: tuple[int, int], width: int | None) -> tuple[int, int]:
    """Return the size of a picture of `size_wh` in a stream that is `width` pixels wide at most.

    The aspect is kept and both sides are even (at least 2), as video encoders want them. A picture that is
    not wider keeps its size: enlarging is left to who shows it.
    """
    own_width, own_height = size_wh
    if width is None or width >= own_width:
        return size_wh
    return _even(width), _even(own_height * width / own_width)


def resize(image: BGRImage, width: int | None) -> BGRImage:
    """Return `image` at `scaled_wh` of its size: a new array, or `image` itself when that is its size."""
    return _scale(image, scaled_wh((image.shape[1], image.shape[0]), width))


def fit(image: BGRImage, size_wh: tuple[int, int]) -> BGRImage:
    """Return `image` as large as it gets within `size_wh`, centred between black bars.

    For streams that keep their size when the camera changes its own. A new array, or `image` itself when it
    has that size already.
    """
    width, height = size_wh
    scale = min(width / image.shape[1], height / image.shape[0])
    inner_wh = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    inner = _scale(image, inner_wh)
    if inner_wh == size_wh:
        return inner
    fitted = np.zeros((height, width, 3), np.uint8)
    left, top = (width - inner_wh[0]) // 2, (height - inner_wh[1]) // 2
    fitted[top : top + inner_wh[1], left : left + inner_wh[0]] = inner
    return fitted


def _scale(image: BGRImage, size_wh: tuple[int, int]) -> BGRImage:
    if size_wh == (image.shape[1], image.shape[0]):
        return image
    # INTER_AREA averages all it leaves out (no shimmer on moving edges), but enlarges by repeating pixels.
    how = cv2.INTER_AREA if size_wh[0] < image.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size_wh, interpolation=how), np.uint8)


def _even(length: float) -> int:
    return max(2, 2 * round(length / 2))


def _check(image: BGRImage) -> None:
    is_bgr = image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8
    if not is_bgr or not (1 <= image.shape[0] <= MAX_SIDE and 1 <= image.shape[1] <= MAX_SIDE):
        raise EncodeError(
            f"cannot encode shape {image.shape} of {image.dtype}, expected (height, width, 3) of uint8 "
            f"with sides of 1 to {MAX_SIDE}"
        )
