"""The bytes of a stream, checked against the specification and against FFmpeg's own reader."""

from __future__ import annotations

import io
from itertools import islice

import av
import cv2
import numpy as np
import pytest

from stream_server.streaming import multipart
from stream_server.streaming.multipart import CANONICAL, Framing

part = CANONICAL.part


def _jpeg(value: int) -> bytes:
    return bytes(cv2.imencode(".jpg", np.full((48, 64, 3), value, np.uint8))[1])


def test_part_is_the_canonical_framing() -> None:
    assert part(b"JPEG", 1700000000.25) == (
        b"Content-Type: image/jpeg\r\nContent-Length: 4\r\nX-Timestamp: 1700000000.250000\r\n\r\n"
        b"JPEG\r\n--frame\r\n"
    )


@pytest.mark.parametrize("framing", [CANONICAL, Framing("boundarydonotcross"), Framing(omit_data=True)])
def test_opening_and_content_type_name_the_boundary_of_the_parts(framing: Framing) -> None:
    token = framing.content_type.partition("boundary=")[2]
    boundary = f"--{token}\r\n".encode()
    assert boundary == framing.opening(0)
    assert framing.part(b"JPEG", 0).endswith(b"\r\n" + boundary)


def test_our_own_boundary_is_the_word_frame() -> None:
    assert CANONICAL.content_type == "multipart/x-mixed-replace;boundary=frame"


def test_parts_without_pictures_are_empty() -> None:
    assert Framing(omit_data=True).part(b"JPEG", 1) == (
        b"Content-Type: image/jpeg\r\nContent-Length: 0\r\nX-Timestamp: 1.000000\r\n\r\n\r\n--frame\r\n"
    )


def test_headers_sent_ahead_belong_to_the_picture_that_follows() -> None:
    ahead = Framing("b", headers_in_advance=True)
    headers = b"Content-Type: image/jpeg\r\nX-Timestamp: 1.000000\r\n\r\n"
    assert ahead.opening(1) == b"--b\r\n" + headers
    assert ahead.part(b"JPEG", 1, {"X-Overload": "1"}) == b"JPEG\r\n--b\r\n" + headers


def test_more_headers_follow_the_own_ones_as_written() -> None:
    head = part(b"", 0, {"X-Sequence": "7", "X-Camera": "front"}).partition(b"\r\n\r\n")[0]
    assert head.split(b"\r\n")[3:] == [b"X-Sequence: 7", b"X-Camera: front"]


@pytest.mark.parametrize(
    "headers",
    [{"": "x"}, {"X-A": "1\r\nX-B: 2"}, {"X-A": "é"}, {"X:A": "1"}, {"X-A": "v" * 121}],
    ids=["no name", "line break", "not ASCII", "colon in name", "128 bytes"],
)
def test_header_that_breaks_readers_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="part header"):
        part(b"", 0, headers)


def test_header_line_of_127_bytes_is_the_longest() -> None:
    line = part(b"", 0, {"X-A": "v" * 120}).split(b"\r\n")[3] + b"\r\n"
    assert len(line) == multipart.MAX_HEADER_LINE_BYTES


@pytest.mark.parametrize(
    "framing",
    [CANONICAL, Framing("boundarydonotcross"), Framing("boundarydonotcross", headers_in_advance=True)],
)
def test_ffmpeg_reads_every_picture_of_a_stream(framing: Framing) -> None:
    values = [20, 90, 160, 230]
    parts = (framing.part(_jpeg(value), 1.5, {"X-Long": "v" * 117}) for value in values)
    stream = framing.opening(1.0) + b"".join(parts)
    with av.open(io.BytesIO(stream), "r", format="mpjpeg") as container:
        frames = islice(container.decode(video=0), len(values))  # at the end it misses the next part's header
        seen = [float(frame.to_ndarray(format="gray").mean()) for frame in frames]
    assert seen == pytest.approx(values, abs=3)
