"""Viewers of an MJPEG stream: any number of them in one loop that reads what comes and keeps none of it."""

from __future__ import annotations

import re
import select
import socket
import time
from collections.abc import Callable
from types import TracebackType

CONNECT_TIMEOUT_S = 10.0
READ_BYTES = 1 << 20
MOST_HEAD_BYTES = 8192

_HEAD = re.compile(rb"content-length: *(\d+)\r\n(?:[^\r\n]+\r\n)*\r\n", re.IGNORECASE)

OnFrame = Callable[[bytes], None]


class _Viewer:
    """One connection, and where in its stream it is.

    Each JPEG is announced by its Content-Length; what comes between two of them is searched for the next.
    missing: bytes of the current JPEG that have not come. start: its first bytes, as many as are wanted.
    text: what came since the last one.
    """

    __slots__ = ("frames", "missing", "sock", "start", "text")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.frames = 0
        self.missing = 0
        self.text = b""
        self.start = b""


class Load:
    """`viewers` connections to the stream at `path`, made on entering; for one thread.

    on_frame: told of each viewer's whole frames, right after the last byte, with the first `start_bytes`.
    jpeg_bytes: of all frames that began. lost: viewers that the server left.
    """

    def __init__(
        self,
        address: tuple[str, int],
        path: str,
        viewers: int,
        on_frame: OnFrame = lambda start: None,
        start_bytes: int = 0,
    ) -> None:
        self._address = address
        # HTTP/1.0 keeps servers from cutting JPEGs into chunks.
        self._request = f"GET {path} HTTP/1.0\r\nHost: {address[0]}:{address[1]}\r\n\r\n".encode()
        self._count = viewers
        self._on_frame = on_frame
        self._start_bytes = start_bytes
        self._epoll = select.epoll()
        self._viewers: dict[int, _Viewer] = {}
        self._view = memoryview(bytearray(READ_BYTES))
        self.jpeg_bytes = 0
        self.lost = 0

    def __enter__(self) -> Load:
        for _ in range(self._count):
            sock = socket.create_connection(self._address, CONNECT_TIMEOUT_S)
            sock.sendall(self._request)
            sock.setblocking(False)
            self._viewers[sock.fileno()] = _Viewer(sock)
            self._epoll.register(sock, select.EPOLLIN)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for viewer in self._viewers.values():
            viewer.sock.close()
        self._epoll.close()

    @property
    def frames(self) -> list[int]:
        """How many whole frames each viewer has had."""
        return [viewer.frames for viewer in self._viewers.values()]

    def run(self, seconds: float) -> None:
        """Read for so long; a viewer that the server leaves gets no more."""
        until = time.monotonic() + seconds
        while (left_s := until - time.monotonic()) > 0:
            for fd, _ in self._epoll.poll(left_s):
                viewer = self._viewers[fd]
                if size := _receive(viewer.sock, self._view):
                    self._take(viewer, self._view[:size])
                else:
                    self._epoll.unregister(fd)
                    self.lost += 1

    def _take(self, viewer: _Viewer, data: memoryview) -> None:
        while True:
            if len(viewer.start) < self._start_bytes and viewer.missing:
                wanted = min(self._start_bytes - len(viewer.start), viewer.missing)
                viewer.start += data[:wanted]
            if len(data) < viewer.missing or not data:
                viewer.missing -= len(data)
                return
            if viewer.missing:
                data = data[viewer.missing :]
                self._end_frame(viewer)
            data = self._find_frame(viewer, data)

    def _end_frame(self, viewer: _Viewer) -> None:
        viewer.missing = 0
        viewer.frames += 1
        self._on_frame(viewer.start)
        viewer.start = b""

    def _find_frame(self, viewer: _Viewer, data: memoryview) -> memoryview:
        """Look for the next JPEG's length; return what of `data` follows its headers."""
        before = len(viewer.text)
        viewer.text += data[:MOST_HEAD_BYTES]
        if head := _HEAD.search(viewer.text):
            viewer.missing = int(head[1])
            self.jpeg_bytes += viewer.missing
            viewer.text = b""
            return data[head.end() - before :]
        if len(viewer.text) > MOST_HEAD_BYTES:
            raise SystemExit(f"no Content-Length in what the server sends: {viewer.text[:300]!r}")
        return data[len(data) :]


def _receive(sock: socket.socket, view: memoryview) -> int:
    """Return how many bytes came, 0 at the end."""
    try:
        return sock.recv_into(view)
    except OSError:
        return 0
