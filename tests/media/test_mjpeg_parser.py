"""T5 of the battery: what cameras send as MJPEG, and what is found in it."""

from __future__ import annotations

import itertools
import random
import tracemalloc
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_server.media.mjpeg_parser import MAX_PART_BYTES, MjpegParser
from tests.media.test_jpeg import progressive, with_segment
from tests.support.cameras.http import numbered_jpeg


def noisy_jpeg(seed: int, size_wh: tuple[int, int] = (64, 48)) -> bytes:
    """Return a JPEG with much entropy-coded data."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size_wh[1], size_wh[0], 3), np.uint8)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


JPEGS = tuple(noisy_jpeg(seed) for seed in range(8))


def parts(
    jpegs: Iterable[bytes] = JPEGS,
    *,
    boundary: bytes = b"--frame",
    newline: bytes = b"\r\n",
    length_error: int | None = 0,
    headers: Sequence[bytes] = (b"Content-Type: image/jpeg",),
    before: bytes = b"",
    after: bytes | None = None,
) -> bytes:
    """Return a multipart body; `length_error` None leaves the Content-Length out."""
    body = b""
    for jpeg in jpegs:
        length = () if length_error is None else (b"Content-Length: %d" % (len(jpeg) + length_error),)
        head = newline.join([boundary, *headers, *length, b"", b""])
        body += head + before + jpeg + (newline if after is None else after)
    return body


def parse(body: bytes, boundary: str | None = "frame", chunk_bytes: int = 65536) -> tuple[list[bytes], int]:
    """Return the JPEGs found and how many parts were rejected."""
    parser = MjpegParser(boundary)
    found = [parser.feed(body[at : at + chunk_bytes]) for at in range(0, len(body), chunk_bytes)]
    return list(itertools.chain.from_iterable(found)), parser.rejected


def test_nothing_in_gives_nothing() -> None:
    parser = MjpegParser("frame")
    assert parser.feed(b"") == []
    assert parser.rejected == 0


VALID = {
    "as RFC 2046 says": (parts(), "frame"),
    "preamble and epilogue": (b"This is a multipart message.\r\n" + parts() + b"--frame--\r\nbye", "frame"),
    "boundary in quotes": (parts(), '"frame"'),
    "dashes in the header too": (parts(), "--frame"),
    "dashes twice on the wire": (parts(boundary=b"----frame"), "--frame"),
    "no dashes on the wire": (parts(boundary=b"frame"), "frame"),
    "no dashes, no length": (parts(boundary=b"frame", length_error=None), "frame"),
    "a boundary with spaces": (parts(boundary=b"--video boundary--"), "--video boundary--"),
    "a boundary of one letter": (parts(boundary=b"--a", length_error=None), "a"),
    "another boundary than announced": (parts(boundary=b"--other", length_error=None), "frame"),
    "no boundary announced": (parts(length_error=None), None),
    "no boundary anywhere": (b"".join(JPEGS), None),
    "a boundary of dashes": (parts(boundary=b"---"), "---"),
    "no length": (parts(length_error=None), "frame"),
    "length one short": (parts(length_error=-1), "frame"),
    "length one long": (parts(length_error=1), "frame"),
    "length counts the line end": (parts(length_error=2), "frame"),
    "length far too short": (parts(length_error=-500), "frame"),
    "length far too long": (parts(length_error=5000), "frame"),
    "length impossible": (parts(headers=[b"Content-Length: -1"], length_error=None), "frame"),
    "length in another case": (parts(headers=[b"CONTENT-LENGTH : 99"], length_error=None), "frame"),
    "line feeds only": (parts(newline=b"\n"), "frame"),
    "line feeds only, no length": (parts(newline=b"\n", length_error=None), "frame"),
    "no line end before the boundary": (parts(after=b""), "frame"),
    "no line end, no length": (parts(after=b"", length_error=None), "frame"),
    "an empty line before the picture": (parts(before=b"\r\n"), "frame"),
    "boundary before and after": (parts(after=b"\r\n--frame\r\n"), "frame"),
    "no headers in the part": (parts(headers=[], length_error=None), "frame"),
    "noise between parts": (parts(after=b"\r\n1f3a\r\n\xff\xff\xd8\x00noise\r\n"), "frame"),
    "zeros after the picture": (parts(after=b"\0" * 500 + b"\r\n"), "frame"),
    "a 9 KiB header": (parts(headers=[b"X: " + b"y" * 9000]), "frame"),
    "a header that names the boundary": (parts(headers=[b"X-frame: frame"]), "frame"),
}


@pytest.mark.parametrize("chunk_bytes", [65536, 1000, 1])
@pytest.mark.parametrize("name", VALID)
def test_every_picture_is_found_untouched(name: str, chunk_bytes: int) -> None:
    body, boundary = VALID[name]

    assert parse(body, boundary, chunk_bytes) == (list(JPEGS), 0)


def test_pictures_of_every_kind_are_found_without_boundary_and_length() -> None:
    jpegs = [
        progressive((640, 480)),
        with_segment(JPEGS[0], 0xE1, b"Exif\0\0" + JPEGS[1]),  # a thumbnail has an end of its own
        JPEGS[0][:2] + b"\xff\xff" + JPEGS[0][2:],
        numbered_jpeg(1, (1, 1)),
    ]

    assert parse(b"".join(jpegs), None, 7) == (jpegs, 0)


@pytest.mark.parametrize("length_error", [0, -2, None])
@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
@pytest.mark.parametrize("boundary", [b"--frame", b"frame", b"--a"])
def test_a_missing_end_marker_is_put_back_at_the_boundary(
    boundary: bytes, newline: bytes, length_error: int | None
) -> None:
    cut = [jpeg[:-2] for jpeg in JPEGS]
    body = parts(cut, boundary=boundary, newline=newline, length_error=length_error)

    found, rejected = parse(body, boundary.decode().strip("-"))

    assert found == list(JPEGS[:-1])  # that the last one ends is seen when the next one starts
    assert rejected == 0


def test_a_picture_that_breaks_off_costs_only_itself() -> None:
    assert parse(JPEGS[0][:-400] + b"".join(JPEGS[1:]), None) == (list(JPEGS[1:]), 1)


@pytest.mark.parametrize("chunk_bytes", [65536, 100, 1])
@pytest.mark.parametrize("body", [b"<Event/>", bytes(range(256)) * 50, b"\xff\xd8\xffno"])
def test_a_part_that_is_no_jpeg_is_counted_and_skipped(body: bytes, chunk_bytes: int) -> None:
    stream = parts(JPEGS[:2]) + parts([body], headers=[b"Content-Type: text/xml"]) + parts(JPEGS[2:])

    assert parse(stream, chunk_bytes=chunk_bytes) == (list(JPEGS), 1)


def test_a_picture_is_there_with_its_last_byte() -> None:
    parser = MjpegParser("frame")
    first, second = parts(JPEGS[:1], after=b""), parts(JPEGS[1:2], after=b"")

    assert parser.feed(first) == [JPEGS[0]]
    assert parser.feed(b"\r\n" + second[:-1]) == []
    assert parser.feed(second[-1:]) == [JPEGS[1]]


def test_lengths_that_turn_wrong_are_no_longer_believed() -> None:
    parser = MjpegParser("frame")
    parser.feed(parts(JPEGS[:2]))

    parser.feed(parts(JPEGS[2:3], length_error=100_000))
    found = parser.feed(parts(JPEGS[3:4] * 100, length_error=100_000))

    assert found == [JPEGS[2], *JPEGS[3:4] * 100]


@pytest.mark.slow
@pytest.mark.parametrize("length_error", [0, None])
def test_a_part_of_50_mib_is_rejected_and_the_memory_stays_bounded(length_error: int | None) -> None:
    huge = JPEGS[0][:-2] + b"\0" * (50 << 20) + b"\xff\xd9"
    stream = memoryview(parts([JPEGS[1], huge, *JPEGS[2:]], length_error=length_error))
    parser = MjpegParser("frame")
    found: list[bytes] = []

    tracemalloc.start()
    try:
        for at in range(0, len(stream), 65536):
            found += parser.feed(bytes(stream[at : at + 65536]))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert found == [JPEGS[1], *JPEGS[2:]]
    assert parser.rejected == 1
    assert peak < 2 * MAX_PART_BYTES


def test_an_endless_header_of_a_picture_is_rejected() -> None:
    comment = b"\xff\xfe\xff\xff" + b"x" * 65533
    parser = MjpegParser("frame")

    for _ in range(200):
        assert (
            parser.feed(b"\xff\xd8" + comment if parser.rejected == 0 and not parser._buffer else comment)
            == []
        )

    assert parser.rejected >= 1
    assert parser.feed(b"\r\n" + parts()) == list(JPEGS)


@settings(deadline=None)
@given(st.sampled_from(sorted(VALID)), st.lists(st.integers(1, 4000), min_size=1, max_size=20))
def test_any_chunking_gives_the_same_pictures(name: str, sizes: list[int]) -> None:
    body, boundary = VALID[name]
    parser = MjpegParser(boundary)
    found: list[bytes] = []
    at = 0
    for size in itertools.cycle(sizes):
        if at >= len(body):
            break
        found += parser.feed(body[at : at + size])
        at += size

    assert found == list(JPEGS)


FRAGMENTS = st.sampled_from(
    [
        *(JPEGS[0][:n] for n in (2, 3, 20, 300, 700, -2)),
        *(b"--frame", b"\r\n", b"\n", b"\xff", b"\xff\xd8\xff", b"\xff\xd9", b"Content-Length: 7\r\n\r\n"),
        JPEGS[0],
    ]
)


@settings(deadline=None)
@given(st.lists(FRAGMENTS | st.binary(max_size=50), max_size=40))
def test_any_chunking_of_any_garbage_gives_the_same_pictures(fragments: list[bytes]) -> None:
    body = b"".join(fragments)

    whole = parse(body)

    assert parse(body, chunk_bytes=1) == whole
    assert parse(body, chunk_bytes=13) == whole


@settings(deadline=None)
@given(
    st.lists(FRAGMENTS | st.binary(max_size=200), max_size=40),
    st.sampled_from(["frame", "a", "", None, "é€", "--"]),
)
def test_after_any_garbage_most_pictures_are_found_again(
    fragments: list[bytes], boundary: str | None
) -> None:
    found, _ = parse(b"".join(fragments) + b"\r\n" + parts(JPEGS * 3), boundary)

    assert set(JPEGS) <= set(found)


def test_endless_noise_holds_no_memory() -> None:
    noise = random.Random(1).randbytes(1 << 20).replace(b"\xff\xd8\xff", b"")
    parser = MjpegParser("frame")

    for at in range(0, len(noise), 1000):
        assert parser.feed(noise[at : at + 1000]) == []
        assert len(parser._buffer) < 10_000


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
@pytest.mark.parametrize("chunk_bytes", [1, 100, 65536])
def test_pictures_without_end_end_at_what_looks_like_a_boundary(newline: bytes, chunk_bytes: int) -> None:
    endless = [jpeg[:-2] for jpeg in JPEGS]
    found, rejected = parse(parts(endless, newline=newline), None, chunk_bytes)
    assert found == list(JPEGS[:-1])
    assert rejected == 0


def test_pictures_without_end_or_boundary_end_at_the_next() -> None:
    found, rejected = parse(b"".join(jpeg[:-2] for jpeg in JPEGS), None)
    assert found == list(JPEGS[1:-1])
    assert rejected == 1, "the first may have broken off"
