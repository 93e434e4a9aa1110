"""JPEGs are read back; sizes and bars are checked in pixels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from detector.detections import BGRImage
from stream_server.errors import EncodeError
from stream_server.media.encode import encode_jpeg, fit, resize, scaled_wh

ORANGE = (20, 140, 240)


def _plain(width: int, height: int, colour: tuple[int, int, int] = ORANGE) -> BGRImage:
    return np.full((height, width, 3), colour, np.uint8)


def _start_of_frame(jpeg: bytes) -> bytes:
    """Return the SOF0 segment: its length, precision, sides and components (ITU-T T.81, B.2.2)."""
    at = jpeg.index(b"\xff\xc0")
    return jpeg[at : at + 19]


@pytest.mark.parametrize(
    "image",
    [
        np.empty((0, 0, 3), np.uint8),
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((1, 65501, 3), np.uint8),
    ],
    ids=["empty", "grey", "alpha", "float", "too wide"],
)
def test_what_is_no_bgr_image_is_refused_with_its_shape(image: BGRImage) -> None:
    with pytest.raises(EncodeError) as caught:
        encode_jpeg(image, 80)
    assert str(image.shape) in str(caught.value)


@pytest.mark.parametrize("quality", [0, 101, -1])
def test_quality_off_the_scale_is_refused(quality: int) -> None:
    with pytest.raises(EncodeError, match="1 to 100"):
        encode_jpeg(_plain(8, 8), quality)


@pytest.mark.parametrize("size_wh", [(1, 1), (17, 9), (65500, 1), (640, 480)])
def test_jpeg_holds_the_picture(size_wh: tuple[int, int]) -> None:
    decoded = cv2.imdecode(np.frombuffer(encode_jpeg(_plain(*size_wh), 90), np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert (decoded.shape[1], decoded.shape[0]) == size_wh
    assert decoded.reshape(-1, 3).mean(0) == pytest.approx(ORANGE, abs=3)


@pytest.mark.parametrize("quality", [10, 80, 100])
def test_jpeg_is_baseline_420_without_thumbnail(quality: int) -> None:
    jpeg = encode_jpeg(_plain(64, 48), quality)
    components = _start_of_frame(jpeg)[10:]
    assert [components[1], components[4], components[7]] == [0x22, 0x11, 0x11]
    assert jpeg.count(b"\xff\xd8\xff") == 1
    assert jpeg.startswith(b"\xff\xd8")
    assert jpeg.endswith(b"\xff\xd9")


def test_read_only_and_sliced_images_are_encoded_untouched() -> None:
    image = np.random.default_rng(1).integers(0, 255, (60, 80, 3), np.uint8)
    before = image.copy()
    image.setflags(write=False)
    assert encode_jpeg(image[::2, ::-1], 80) == encode_jpeg(np.ascontiguousarray(image[::2, ::-1]), 80)
    assert np.array_equal(image, before)


@pytest.mark.parametrize(
    ("size_wh", "width", "expected"),
    [
        ((1280, 720), None, (1280, 720)),
        ((1280, 720), 640, (640, 360)),
        ((1280, 720), 641, (640, 360)),
        ((1920, 1080), 500, (500, 282)),
        ((1280, 720), 1280, (1280, 720)),
        ((641, 481), 1280, (641, 481)),
        ((4000, 3), 16, (16, 2)),
    ],
)
def test_scaled_sides_keep_the_aspect_are_even_and_never_grow(
    size_wh: tuple[int, int], width: int | None, expected: tuple[int, int]
) -> None:
    assert scaled_wh(size_wh, width) == expected


def test_resize_averages_and_leaves_the_input_alone() -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    image[:, ::2] = 200
    image.setflags(write=False)
    small = resize(image, 4)
    assert small.shape == (4, 4, 3)
    assert np.all(small == 100)
    assert resize(image, None) is image
    assert resize(image, 8) is image


@pytest.mark.parametrize(
    ("inner_wh", "size_wh", "bar_at", "picture_at"),
    [
        ((100, 100), (200, 100), (10, 50), (100, 50)),
        ((200, 50), (100, 100), (50, 5), (50, 50)),
        ((30, 40), (300, 100), (5, 50), (150, 50)),
    ],
    ids=["bars at the sides", "bars above and below", "enlarged"],
)
def test_fit_centres_the_whole_picture_between_black_bars(
    inner_wh: tuple[int, int], size_wh: tuple[int, int], bar_at: tuple[int, int], picture_at: tuple[int, int]
) -> None:
    fitted = fit(_plain(*inner_wh), size_wh)
    assert (fitted.shape[1], fitted.shape[0]) == size_wh
    assert tuple(fitted[bar_at[1], bar_at[0]]) == (0, 0, 0)
    assert tuple(fitted[picture_at[1], picture_at[0]]) == ORANGE
    lit = np.argwhere(fitted.any(axis=2))
    top, left = lit.min(0)
    bottom, right = size_wh[1] - 1 - lit.max(0)[0], size_wh[0] - 1 - lit.max(0)[1]
    assert abs(top - bottom) <= 1
    assert abs(left - right) <= 1


def test_fit_returns_a_picture_of_that_size_as_it_is() -> None:
    image = _plain(64, 48)
    assert fit(image, (64, 48)) is image
