"""Reads the body of an HTTP answer: unpacked, counted, and to its end, so that the connection can be kept."""

from __future__ import annotations

import http.client
import zlib
from typing import Final

_CHUNK_BYTES: Final = 64 * 1024
_PACKINGS: Final = frozenset({"gzip", "x-gzip", "deflate"})
_GZIP_MAGIC: Final = b"\x1f\x8b"
_GZIP_BITS, _ZLIB_BITS, _RAW_BITS = 31, 15, -15
"""zlib's `wbits` for each container."""


class BodyTooLong(http.client.HTTPException):
    """A body has more bytes than are taken."""


class DamagedBody(http.client.HTTPException):
    """A body is packed and cannot be unpacked."""


class Body:
    """The body of one answer, in pieces.

    What its Content-Encoding names is unpacked (RFC 9110, section 8.4.1), also where it was not asked for:
    small web servers pack all they have. A label that the bytes belie counts for nothing.
    """

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        """answer: nothing of it read yet."""
        self._answer = answer
        self._packing = answer.headers.get("Content-Encoding", "").strip().lower()
        self._is_packed = self._packing in _PACKINGS
        self._unpacker: zlib._Decompress | None = None
        self._packed = b""  # received and not unpacked yet

    def read(self) -> bytes:
        """Wait for the next bytes and return them, b"" at the end.

        Raises IncompleteRead where the connection ends before the body, DamagedBody, OSError.
        """
        if not self._is_packed:
            return self._receive()
        if self._unpacker is None:
            self._find_packing()
            return self.read()
        return self._unpack(self._unpacker)

    def read_whole(self, max_bytes: int) -> bytes:
        """Return all of it. Raises BodyTooLong beyond `max_bytes`, else as `read`."""
        whole = bytearray()
        while piece := self.read():
            whole += piece
            if len(whole) > max_bytes:
                raise BodyTooLong(max_bytes)
        return bytes(whole)

    def _receive(self) -> bytes:
        data, self._packed = self._packed, b""
        if data := data or self._answer.read1(_CHUNK_BYTES):
            return data
        if self._answer.length:
            raise http.client.IncompleteRead(b"", self._answer.length)
        # http.client takes an answer for unread until it is closed, and not every Python closes it at the
        # end of `read1`: the next request of the connection would fail with ResponseNotReady.
        self._answer.close()
        return b""

    def _find_packing(self) -> None:
        head = self._receive()
        while len(head) == 1 and (more := self._receive()):
            head += more
        self._packed = head
        bits = _window_bits(self._packing, head)
        if bits is None:
            self._is_packed = False
        else:
            self._unpacker = zlib.decompressobj(bits)

    def _unpack(self, unpacker: zlib._Decompress) -> bytes:
        while True:
            packed = self._receive()
            try:
                piece = unpacker.decompress(packed, _CHUNK_BYTES)
            except zlib.error as exc:
                raise DamagedBody(str(exc)) from exc
            self._packed = unpacker.unconsumed_tail
            if piece:
                return piece
            if not packed:
                if not unpacker.eof:
                    raise DamagedBody("it is cut off")
                return b""


def _window_bits(packing: str, head: bytes) -> int | None:
    """Return zlib's `wbits` for a body that begins with `head`, None where it is not packed."""
    if head.startswith(_GZIP_MAGIC):
        return _GZIP_BITS
    if packing != "deflate" or not head:
        return None
    is_zlib = head[0] & 0x0F == 8 and int.from_bytes(head[:2], "big") % 31 == 0  # RFC 1950, section 2.2
    return _ZLIB_BITS if is_zlib else _RAW_BITS
