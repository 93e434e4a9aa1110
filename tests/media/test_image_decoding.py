"""Pictures from anybody: kinds, colours and turns that are understood, what is refused undecoded."""

from __future__ import annotations

import resource
import struct
import zlib

import cv2
import numpy as np
import pytest

from detector.detections import BGRImage
from stream_server.errors import ImageError, ImageTooLarge, UnsupportedImage
from stream_server.media.exif import read_orientation
from stream_server.media.image_decoding import ImageLimits, decode_image
from stream_server.media.image_headers import read_header
from stream_server.media.orientation import turn
from tests.support.paths import DATA
from tests.support.patience import cheaply

PICTURES = DATA / "pictures"
"""60x40: red and green above blue and nearly white; `turned` say by EXIF that they lie on their side."""
RED, GREEN, BLUE, WHITE = (30, 30, 200), (30, 200, 30), (200, 30, 30), (255, 255, 255)


def corners() -> BGRImage:
    image = np.empty((40, 60, 3), np.uint8)
    image[:20, :30], image[:20, 30:], image[20:, :30], image[20:, 30:] = RED, GREEN, BLUE, (240, 240, 240)
    return image


def encoded(extension: str, image: np.ndarray | None = None) -> bytes:
    return cv2.imencode(extension, corners() if image is None else image)[1].tobytes()


def colour_at(image: BGRImage, x: int, y: int) -> list[int]:
    return [int(value) for value in image[y, x]]


def is_near(got: list[int], wanted: tuple[int, int, int], by: int = 8) -> bool:
    return max(abs(a - b) for a, b in zip(got, wanted, strict=True)) <= by


def png(width: int, height: int, *chunks: tuple[bytes, bytes], colour_type: int = 2) -> bytes:
    head = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0))
    parts = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in (head, *chunks)
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def jpeg(width: int, height: int) -> bytes:
    return (
        b"\xff\xd8\xff\xc0\x00\x11\x08" + struct.pack(">HH", height, width) + b"\x03" + bytes(9) + b"\xff\xd9"
    )


@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp", ".bmp"])
def test_kind_is_told_by_the_bytes(extension: str) -> None:
    data = encoded(extension)
    assert read_header(data).media_type == f"image/{extension[1:].replace('jpg', 'jpeg')}"
    image = decode_image(data)
    assert image.shape == (40, 60, 3)
    assert is_near(colour_at(image, 5, 5), RED)
    assert is_near(colour_at(image, 50, 5), GREEN)
    assert is_near(colour_at(image, 5, 35), BLUE)


@pytest.mark.parametrize("name", ["turned.jpg", "turned.png", "turned.webp"])
def test_picture_on_its_side_is_turned_upright(name: str) -> None:
    image = decode_image((PICTURES / name).read_bytes())
    assert image.shape == (60, 40, 3)
    assert is_near(colour_at(image, 35, 5), RED)
    assert is_near(colour_at(image, 5, 5), BLUE)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turning_is_opencvs(orientation: int) -> None:
    """OpenCV turns JPEGs itself when it is let; its turn is the reference."""
    tiff = struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    block = b"Exif\0\0" + tiff
    data = encoded(".jpg")
    data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:]
    wanted = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert read_header(data).orientation == orientation
    np.testing.assert_array_equal(decode_image(data), wanted)


@pytest.mark.parametrize(
    "exif",
    [b"", b"Exif\0\0", b"II*\0", b"MM\0*\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff" + bytes(9), b"XX*\0"],
)
def test_broken_exif_leaves_a_picture_as_it_is(exif: bytes) -> None:
    assert read_orientation(exif) == 1
    image = corners()
    assert turn(image, 1) is image


def test_grey_becomes_three_equal_channels() -> None:
    image = decode_image(encoded(".jpg", np.full((8, 8), 100, np.uint8)))
    assert is_near(colour_at(image, 3, 3), (100, 100, 100), 1)


def test_cmyk_becomes_the_colours_it_means() -> None:
    image = decode_image((PICTURES / "cmyk.jpg").read_bytes())
    assert is_near(colour_at(image, 5, 5), RED)
    assert is_near(colour_at(image, 5, 35), BLUE)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("kind", "form"), [(3, "HH"), (4, "I")])
def test_orientation_is_read_as_short_or_long_in_either_byte_order(order: str, kind: int, form: str) -> None:
    value = (6, 0) if form == "HH" else (6,)
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HIH", 42, 8, 1)
    exif = head + struct.pack(f"{order}HHI{form}", 0x0112, kind, 1, *value) + bytes(4)
    assert read_orientation(exif) == 6


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_become_eight(channels: int) -> None:
    deep = np.full((8, 8, channels), 0x8040, np.uint16)
    if channels == 4:
        deep[..., 3] = 0xFFFF
    assert is_near(colour_at(decode_image(encoded(".png", deep)), 3, 3), (128, 128, 128), 1)


@pytest.mark.parametrize("extension", [".png", ".webp"])
def test_transparency_is_seen_on_white(extension: str) -> None:
    image = np.dstack((corners(), np.full((40, 60), 255, np.uint8)))
    image[:20, :30, 3] = 0
    data = cv2.imencode(extension, image, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
    assert read_header(data).has_alpha
    decoded = decode_image(data)
    assert colour_at(decoded, 5, 5) == list(WHITE)
    assert is_near(colour_at(decoded, 50, 5), GREEN)


@pytest.mark.parametrize("name", ["palette-alpha.png", "grey-alpha.png"])
def test_rare_transparency_is_found(name: str) -> None:
    image = decode_image((PICTURES / name).read_bytes())
    assert colour_at(image, *((5, 5) if name.startswith("palette") else (55, 5))) == list(WHITE)


@pytest.mark.parametrize("name", ["animated.png", "animated.webp"])
def test_animation_is_its_first_picture(name: str) -> None:
    assert is_near(colour_at(decode_image((PICTURES / name).read_bytes()), 5, 5), RED)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"GIF89a" + bytes(100),
        b"II*\0" + bytes(100),
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0",
        b"RIFF\x10\0\0\0WAVEfmt ",
    ],
)
def test_other_kinds_are_unsupported(data: bytes) -> None:
    with pytest.raises(UnsupportedImage):
        decode_image(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff\xe0\0\x10" + bytes(14) + b"\xff\xd9",
        b"\x89PNG\r\n\x1a\n",
        png(0, 10),
        png(10, 10),
        b"RIFF\x10\0\0\0WEBPVP8X",
        b"RIFF\x10\0\0\0WEBPXXXX" + bytes(20),
        b"BM" + bytes(10),
        jpeg(100, 100),
        *(encoded(extension)[:-10] for extension in (".jpg", ".png", ".webp", ".bmp")),
    ],
)
def test_damaged_pictures_are_refused(data: bytes) -> None:
    with pytest.raises(ImageError) as caught:
        decode_image(data)
    assert type(caught.value) is ImageError


def noise(width: int, height: int, *options: int) -> bytes:
    """Return a JPEG in which each block has bytes of its own."""
    image = np.random.default_rng(1).integers(0, 255, (height, width, 3), np.uint8)
    return cv2.imencode(".jpg", image, options)[1].tobytes()


JPEGS = {
    "60x40": encoded(".jpg"),
    "grey": encoded(".jpg", corners()[..., 0]),
    "cmyk": (PICTURES / "cmyk.jpg").read_bytes(),
    "turned": (PICTURES / "turned.jpg").read_bytes(),
    "large": noise(640, 480),
    "odd": noise(639, 477, cv2.IMWRITE_JPEG_OPTIMIZE, 1),
    "progressive": noise(320, 240, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "restarts": noise(320, 240, cv2.IMWRITE_JPEG_RST_INTERVAL, 3),
}


@pytest.mark.parametrize("name", JPEGS)
@pytest.mark.parametrize("tail", [b"", b"\0" * 10, b"\r\n"])
def test_jpeg_without_its_end_marker_is_the_same_picture(name: str, tail: bytes) -> None:
    data = JPEGS[name]
    assert data.endswith(b"\xff\xd9")
    wanted = decode_image(data)
    np.testing.assert_array_equal(decode_image(data[:-2] + tail), wanted)
    np.testing.assert_array_equal(decode_image(data + tail), wanted)


@pytest.mark.parametrize("name", JPEGS)
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_jpeg_that_ends_within_its_pixels_is_refused(name: str, part: float) -> None:
    data = JPEGS[name]
    pixels_at = data.rindex(b"\xff\xda") if name == "progressive" else data.index(b"\xff\xda")
    with pytest.raises(ImageError, match="cut off"):
        decode_image(data[: pixels_at + round(part * (len(data) - pixels_at))])


def test_more_bytes_than_allowed_are_refused_before_anything_is_read() -> None:
    with pytest.raises(ImageTooLarge, match="has 11 bytes, at most 10") as caught:
        decode_image(b"hello world", ImageLimits(max_bytes=10))
    assert caught.value.limit == 10


@pytest.mark.parametrize(
    "bomb",
    [
        png(50_000, 50_000),
        jpeg(65_535, 65_535),
        b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff\x3f\0" * 2,
        b"BM" + bytes(12) + struct.pack("<Iii", 40, 2**31 - 1, -(2**31)) + bytes(50),
    ],
)
def test_bombs_are_refused_by_their_header(bomb: bytes) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with cheaply(0.1), pytest.raises(ImageTooLarge, match="at most 40000000"):
        decode_image(bomb)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10 * 1024


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8" + b"\xff\xe2\0\x02" * 5_000_000,
        png(10, 10, colour_type=6) + (bytes(4) + b"junk" + bytes(4)) * 1_500_000,
    ],
)
def test_endless_empty_parts_cost_no_time(data: bytes) -> None:
    with cheaply(0.5), pytest.raises(ImageError):
        read_header(data) and decode_image(data)


def test_large_picture_with_alpha_needs_little_more_memory_than_itself() -> None:
    image = np.zeros((3000, 3000, 4), np.uint8)
    data = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert colour_at(decode_image(data), 5, 5) == list(WHITE)
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mib < (36 + 27 + 40), grown_mib
