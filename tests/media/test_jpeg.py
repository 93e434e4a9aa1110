from __future__ import annotations

import struct
from typing import Literal

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_server.config import SourceConfig
from stream_server.errors import ImageError
from stream_server.media.huffman import STANDARD_TABLES
from stream_server.media.jpeg import decode, picture_of, read_header
from stream_server.sources import open_source
from tests.support.cameras.http import HTTPCamera, colour_of, numbered_jpeg
from tests.support.pictures import without_tables

JPEG = numbered_jpeg(7, (64, 48))


def with_segment(jpeg: bytes, marker: int, payload: bytes) -> bytes:
    """Return `jpeg` with one more segment in front of the others."""
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload + jpeg[2:]


def claiming(jpeg: bytes, width: int, height: int) -> bytes:
    """Return `jpeg` with another size in its header."""
    at = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:at] + struct.pack(">HH", height, width) + jpeg[at + 4 :]


def progressive(size_wh: tuple[int, int]) -> bytes:
    image = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()


@pytest.mark.parametrize(
    ("jpeg", "problem"),
    [
        (b"", "empty"),
        (b"\xff", "starts with ff"),
        (b"\x89PNG\r\n", "starts with 89 50 4e 47"),
        (b"GIF89a", "not a JPEG"),
        (b"\xff\xd8", "ends within its header"),
        (b"\xff\xd8\xff", "ends within its header"),
        (b"\xff\xd8\xff\xff\xff", "ends within its header"),
        (b"\xff\xd8\xff\xe0", "ends within its header"),
        (b"\xff\xd8\xff\xe0\x00\x01", "impossible marker or length"),
        (b"\xff\xd8\xffnone", "impossible marker or length"),
        (b"\xff\xd8\x12\x34", "do not follow"),
        (b"\xff\xd8\xff\xd9", "no size"),
        (JPEG[:50], "ends within its header"),
        (claiming(JPEG, 0, 48), "0x48"),
        (claiming(JPEG, 64, 0), "64x0"),
        (claiming(JPEG, 65535, 65535), "40 megapixels"),
    ],
)
def test_what_is_no_usable_jpeg_is_refused_with_the_reason(jpeg: bytes, problem: str) -> None:
    with pytest.raises(ImageError, match=problem):
        read_header(jpeg)
    with pytest.raises(ImageError, match=problem):
        decode(jpeg)


@pytest.mark.parametrize(
    "jpeg",
    [
        numbered_jpeg(1, (1, 1)),
        JPEG,
        numbered_jpeg(2, (1280, 720)),
        progressive((321, 123)),
        with_segment(JPEG, 0xE1, numbered_jpeg(3, (16, 16))),  # a thumbnail has its own size
        JPEG[:2] + b"\xff\xff" + JPEG[2:],  # fill bytes, T.81 B.1.1.2
        cv2.imencode(".jpg", np.zeros((30, 20), np.uint8))[1].tobytes(),
    ],
)
def test_size_in_the_header_is_the_size_of_the_pixels(jpeg: bytes) -> None:
    image = decode(jpeg)

    assert read_header(jpeg).size_wh == (image.shape[1], image.shape[0])
    assert image.shape[2] == 3
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous


def test_pixels_are_bgr() -> None:
    assert np.abs(decode(JPEG)[20, 30].astype(int) - colour_of(7)).max() <= 3


def test_a_jpeg_with_the_end_missing_is_decoded_as_far_as_it_goes() -> None:
    assert decode(numbered_jpeg(1, (640, 480))[:-2]).shape == (480, 640, 3)


def test_broken_tables_are_an_image_error() -> None:
    at = JPEG.index(b"\xff\xc4")
    with pytest.raises(ImageError, match="cannot be decoded"):
        decode(JPEG[: at + 4] + b"\xff" * 20 + JPEG[at + 24 :])


@given(st.binary(max_size=300))
def test_no_bytes_make_it_fail_otherwise(garbage: bytes) -> None:
    for data in (garbage, b"\xff\xd8" + garbage, JPEG[:100] + garbage):
        try:
            width, height = read_header(data).size_wh
        except ImageError:
            continue
        assert width > 0
        assert height > 0


# Huffman tables.


def _noise(*options: int) -> bytes:
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    return cv2.imencode(".jpg", image, options)[1].tobytes()  # libjpeg writes the tables of annex K.3


def test_tables_that_are_left_out_are_the_standards() -> None:
    completed = picture_of(without_tables(_noise())).jpeg
    assert completed is not None
    assert len(STANDARD_TABLES) == 2 + 0x1A2  # as ISO 10918-1 counts them
    assert completed.count(STANDARD_TABLES) == 1
    assert np.array_equal(decode(completed), decode(_noise()))
    assert picture_of(completed).jpeg is completed


@pytest.mark.parametrize("options", [(), (cv2.IMWRITE_JPEG_OPTIMIZE, 1), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)])
def test_picture_with_tables_stays_the_same_object(options: tuple[int, ...]) -> None:
    jpeg = _noise(*options)
    assert picture_of(jpeg).jpeg is jpeg
    early = jpeg.index(b"\xff\xc4")
    length = 2 + int.from_bytes(jpeg[early + 2 : early + 4], "big")
    first = jpeg[:2] + jpeg[early : early + length] + jpeg[2:early] + jpeg[early + length :]
    assert picture_of(first).jpeg is first


@pytest.mark.parametrize("mode", ["mjpeg", "snapshot"])
def test_cameras_on_http_get_the_tables_they_leave_out(mode: Literal["mjpeg", "snapshot"]) -> None:
    with HTTPCamera(mode, jpegs=[without_tables(_noise())]) as camera:
        source = open_source(SourceConfig(source=camera.url))
        source.open()
        picture = source.read()
        source.close()
    assert picture is not None
    assert STANDARD_TABLES in (picture.jpeg or b"")
    assert np.array_equal(picture.image, decode(_noise()))
