"""Bodies of HTTP answers: packed or not, whatever their label says, in pieces of any size, never too much."""

from __future__ import annotations

import gzip
import http.client
import random
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from stream_server.net.body import Body, BodyTooLong, DamagedBody
from tests.support.webserver import KeptOpen, WebServer

CONTENT = random.Random(1).randbytes(150_000) + bytes(150_000)


def deflated(content: bytes, window_bits: int) -> bytes:
    packer = zlib.compressobj(wbits=window_bits)
    return packer.compress(content) + packer.flush()


@contextmanager
def answering(body: bytes, packing: str, chunk_bytes: int = 0) -> Iterator[http.client.HTTPConnection]:
    """A connection to a server that answers everything with `body`."""

    class Handler(KeptOpen):
        def do_GET(self) -> None:
            self.answer(200, body, {"Content-Encoding": packing}, chunk_bytes)

    with WebServer(Handler) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        try:
            yield connection
        finally:
            connection.close()
        assert server.connections == 1


def ask(connection: http.client.HTTPConnection) -> Body:
    connection.request("GET", "/")
    return Body(connection.getresponse())


@pytest.mark.parametrize("chunk_bytes", [0, 1, 4096, 65536, 1 << 20])
@pytest.mark.parametrize("size", [0, 1, 2, 4096, 65536, len(CONTENT)])
def test_a_kept_connection_gives_one_body_after_the_other(size: int, chunk_bytes: int) -> None:
    body = CONTENT[:size] if chunk_bytes != 1 else CONTENT[: min(size, 5000)]
    with answering(body, "identity", chunk_bytes) as connection:
        assert [ask(connection).read_whole(size) for _ in range(3)] == [body] * 3


@pytest.mark.parametrize("chunk_bytes", [0, 1000])
@pytest.mark.parametrize("size", [0, 1, 5000, len(CONTENT)])
@pytest.mark.parametrize(
    ("packing", "window_bits"),
    [("gzip", 31), ("X-GZIP", 31), ("deflate", 15), ("deflate", -15), ("deflate", 31), ("gzip ", 31)],
)
def test_what_is_packed_is_unpacked(packing: str, window_bits: int, size: int, chunk_bytes: int) -> None:
    packed = deflated(CONTENT[:size], window_bits)
    with answering(packed, packing, chunk_bytes) as connection:
        assert [ask(connection).read_whole(size) for _ in range(2)] == [CONTENT[:size]] * 2


@pytest.mark.parametrize("packing", ["gzip", "br", "none", "binary", "utf-8", ""])
@pytest.mark.parametrize("body", [b"", b"\xff", b"\xff\xd8\xff\xe0 a JPEG"])
def test_a_label_that_the_bytes_belie_counts_for_nothing(packing: str, body: bytes) -> None:
    with answering(body, packing, chunk_bytes=1) as connection:
        assert ask(connection).read_whole(100) == body


@pytest.mark.parametrize(
    "packed", [gzip.compress(CONTENT)[:-9], gzip.compress(CONTENT)[:500], b"\x1f\x8b\x08" + bytes(100)]
)
def test_what_cannot_be_unpacked_is_told(packed: bytes) -> None:
    with answering(packed, "gzip") as connection, pytest.raises(DamagedBody):
        ask(connection).read_whole(len(CONTENT))


def test_a_small_body_that_becomes_a_large_one_is_not_kept() -> None:
    bomb = gzip.compress(bytes(32 << 20))
    with answering(bomb, "gzip") as connection:
        body = ask(connection)
        assert len(body.read()) <= 1 << 16
        with pytest.raises(BodyTooLong):
            body.read_whole(1 << 20)


def test_a_body_shorter_than_it_claims_is_told() -> None:
    class Handler(KeptOpen):
        def do_GET(self) -> None:
            self.close_connection = True
            self.answer(200, b"half", {"Content-Length": "8"})

    with WebServer(Handler) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        with pytest.raises(http.client.IncompleteRead):
            ask(connection).read_whole(100)
        connection.close()
