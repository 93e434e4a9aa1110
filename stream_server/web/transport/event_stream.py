"""Server-sent events (HTML Standard, section 9.2) over a socket of our own: who leaves is seen at once."""

from __future__ import annotations

import os
import select
import socket
import time
from types import TracebackType

from stream_server.streaming.fanout import SEND_TIMEOUT_S

RETRY_MS = 2000
"""How long browsers wait before they come again."""
SEND_BUFFER_BYTES = 32 * 1024
"""What the kernel holds for a reader; more would be late by the time it is read."""

_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
    b"X-Accel-Buffering: no\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n"
)


class EventStream:
    """The socket of who reads events; used by one thread, but for `wake`."""

    def __init__(self, sock: socket.socket, origin: str | None = None) -> None:
        """Take over `sock`; origin: of the page that may read this, checked before."""
        sock.settimeout(SEND_TIMEOUT_S)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(SEND_TIMEOUT_S * 1000))
        self._sock = sock
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._wake_fd, select.POLLIN)
        self._poll.register(sock, select.POLLIN)
        self._origin = origin

    def __enter__(self) -> EventStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sock.close()
        os.close(self._wake_fd)

    def wake(self) -> None:
        """Let `wait` return now."""
        os.eventfd_write(self._wake_fd, 1)

    def wait(self, timeout_s: float) -> None:
        """Wait until woken, or for `timeout_s` at most. Raises OSError when the reader has left."""
        for fd, _ in self._poll.poll(1000 * timeout_s):
            if fd == self._wake_fd:
                os.eventfd_read(fd)
            elif not self._sock.recv(4096):  # what a reader sends after its request means nothing
                raise ConnectionAbortedError("it closed the connection")

    def answer(self) -> None:
        """Send the head, and when to come again after a lost connection. Raises OSError."""
        self._write(_HEAD + _shared_with(self._origin) + b"\r\n" + f"retry: {RETRY_MS}\n\n".encode())

    def send(self, event: str, id: str, data: str) -> None:
        """Send one event; none of the three has a line break in it. Raises OSError."""
        self._write(f"event: {event}\nid: {id}\ndata: {data}\n\n".encode())

    def send_heartbeat(self) -> None:
        """Send a comment, which readers pass over. Raises OSError."""
        self._write(b":\n\n")

    def _write(self, data: bytes) -> None:
        """Send `data` whole. Raises OSError when it is not taken in time."""
        until = time.monotonic() + SEND_TIMEOUT_S
        rest = memoryview(data)
        while rest:
            rest = rest[self._sock.send(rest) :]
            if rest and time.monotonic() > until:
                raise TimeoutError(f"it did not take an event within {SEND_TIMEOUT_S:.0f} s")


def _shared_with(origin: str | None) -> bytes:
    """Return the headers that let a page of `origin` read the answer (CORS, fetch.spec.whatwg.org)."""
    return f"Access-Control-Allow-Origin: {origin}\r\nVary: Origin\r\n".encode("latin-1") if origin else b""


HEARTBEAT_S = 10.0
"""A comment is sent at least this often: proxies and clients see a living stream, and we who has left."""
