"""Request bodies that go on for ever, piece by piece as they come."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator

from flask import request
from gunicorn.http.body import ChunkedReader
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import ClientDisconnected

from stream_server.web.transport.gunicorn_worker import PacedUnreader

READ_BYTES = 16 * 1024


class BodyLost(Exception):
    """The body ended before it said so, or nothing came for too long."""


class EndlessBody:
    """The current request's body, unread so far; used by one thread, but for `end`."""

    def __init__(self, timeout_s: float) -> None:
        """timeout_s: how long nothing may come, on servers that let us say so."""
        request.max_content_length = sys.maxsize  # None is the application's own limit
        if unreader := _paced_unreader():
            unreader.take_any_time()
        sock = request.environ.get("gunicorn.socket")
        self._sock = sock if isinstance(sock, socket.socket) else None
        if self._sock:
            seconds, rest = divmod(timeout_s, 1)
            option = struct.pack("@ll", int(seconds), int(1e6 * rest))
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, option)

    def end(self) -> None:
        """Let the body have ended, for who waits for its next piece; not after the request is answered."""
        if self._sock:
            self._sock.shutdown(socket.SHUT_RD)

    def pieces(self) -> Iterator[bytes]:
        """Yield pieces of any size, of which none waits for the next to come.

        WSGI's `read(n)` waits until there are n bytes: of a camera that sends a picture a second, the end of
        each would come with the next one. So gunicorn's chunks are taken as its reader yields them; where
        there are none, what is less than `READ_BYTES` comes late.

        Raises BodyLost.
        """
        reader = getattr(request.environ["wsgi.input"], "reader", None)
        try:
            if isinstance(reader, ChunkedReader):
                yield from reader.parser
            else:
                yield from iter(lambda: request.stream.read(READ_BYTES), b"")
        except BlockingIOError:
            raise BodyLost("nothing came for too long") from None
        except (OSError, ParseException, ClientDisconnected) as exc:
            raise BodyLost(f"the body ended before it said so ({type(exc).__name__})") from None


def _paced_unreader() -> PacedUnreader | None:
    """Return what reads the current request from its socket, where that is ours."""
    reader = getattr(request.environ["wsgi.input"], "reader", None)
    unreader = getattr(getattr(reader, "req", reader), "unreader", None)
    return unreader if isinstance(unreader, PacedUnreader) else None
