"""What has come of a request is told the same way in whatever pieces it comes."""

from __future__ import annotations

import sys

import pytest

from stream_server.web.transport.arrival import Arrival

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "body_bytes", "has_body", "has_bare_lf"),
    [
        (b"", None, False, False),
        (b"\r\n", None, False, False),
        (b"\r\n\r\n", None, False, False),
        (b"\r\n\r\n\r\n", 0, True, False),  # one empty line may precede, and what follows is none
        (GET[:-1], None, False, False),
        (GET, 0, True, False),
        (b"\r\n" + GET, 0, True, False),
        (GET + GET, 0, True, False),
        (GET + b"\n", 0, True, False),
        (b"\n", None, False, True),
        (b"GET / HTTP/1.1\nHost: localhost\r\n", None, False, True),
        (POST, 5, False, False),
        (POST + b"1234", 5, False, False),
        (POST + b"12345", 5, True, False),
        (POST + b"\r\n\r\n5", 5, True, False),
        (CHUNKED + b"0\r\n\r\n", sys.maxsize, False, False),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
def test_request_is_told_in_any_pieces(
    data: bytes, body_bytes: int | None, has_body: bool, has_bare_lf: bool, size: int
) -> None:
    arrival = Arrival()
    for at in range(0, len(data), size):
        arrival.add(data[at : at + size])
    told = (arrival.body_bytes, arrival.has_body, arrival.has_bare_lf)
    assert told == (body_bytes, has_body, has_bare_lf)
    assert bytes(arrival) == data
