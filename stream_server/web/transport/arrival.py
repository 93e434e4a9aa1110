"""Tells, from what has come of a request, whether a thread can take it: its head is there, and a small body.

Each byte is looked at once, however small the pieces: a head of 64 KiB that came byte by byte would else keep
the server's main thread for seconds.
"""

from __future__ import annotations

import re
import sys

_END = b"\r\n\r\n"
_BARE_LF = re.compile(rb"(?<!\r)\n")
_FRAMING = re.compile(rb"[\r\n][ \t]*(?:content-length|transfer-encoding|expect)[ \t]*:", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*0*([0-9]{1,18})[ \t]*\r\n", re.IGNORECASE)


class Arrival:
    """What has come of a request so far.

    body_bytes: how long its body is to be, as `body_bytes` tells; None until the head has come.
    has_bare_lf: whether a line ends as none may; such a head is refused, and its end need not come.
    """

    def __init__(self) -> None:
        self.body_bytes: int | None = None
        self.has_bare_lf = False
        self._data = bytearray()
        self._body_at = 0

    def __len__(self) -> int:
        """Return how many bytes have come."""
        return len(self._data)

    def __bytes__(self) -> bytes:
        """Return all that has come."""
        return bytes(self._data)

    @property
    def has_body(self) -> bool:
        """Whether the head and all of the body have come."""
        return self.body_bytes is not None and len(self._data) - self._body_at >= self.body_bytes

    def add(self, data: bytes) -> None:
        """Add what comes next."""
        before = len(self._data)
        self._data += data
        if self.body_bytes is None:
            self._look_for_end(before)

    def _look_for_end(self, before: int) -> None:
        """Find the end of the head, which did not come with the first `before` bytes."""
        begin = (
            2 if self._data.startswith(b"\r\n") else 0
        )  # one empty line may precede (RFC 9112, section 2.2)
        end = self._data.find(_END, max(begin, before - len(_END) + 1))
        if end >= 0:
            self.body_bytes = body_bytes(bytes(self._data[begin:end]))
            self._body_at = end + len(_END)
        elif _BARE_LF.search(self._data, before):
            self.has_bare_lf = True


def body_bytes(head: bytes) -> int:
    """Return how long the body is that the head of a request tells of.

    That is `sys.maxsize` where it is not told, or in any way but the plainest: gunicorn may read that
    differently, or refuse it.
    """
    told = _LENGTH.search(head + b"\r\n")
    fields = len(_FRAMING.findall(head))
    if fields == 0:
        return 0
    return int(told[1]) if told and fields == 1 else sys.maxsize
