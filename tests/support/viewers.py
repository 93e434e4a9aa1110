"""Viewers at a socket: what comes is read by the letter of the format, or not read at all."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import TracebackType

BOUNDARY_LINE = b"--frame\r\n"


@dataclass(frozen=True)
class Part:
    """One part of a stream; header names as they were sent, in their order."""

    headers: tuple[tuple[str, str], ...]
    jpeg: bytes

    def __getitem__(self, name: str) -> str:
        return dict(self.headers)[name]


class FormatError(AssertionError):
    """The bytes are not what the format asks for."""


@dataclass
class StrictParser:
    """Reads the canonical framing and nothing else; `feed` returns the parts that are complete.

    A part is: headers, an empty line, Content-Length bytes of JPEG, a line break, the boundary's line.
    boundary_line: of another server's framing, which is the same but for that.
    """

    boundary_line: bytes = BOUNDARY_LINE
    _data: bytearray = field(default_factory=bytearray)
    _is_open: bool = False

    def feed(self, data: bytes) -> list[Part]:
        """Take in `data`; raises FormatError."""
        self._data += data
        parts = []
        if not self._is_open and len(self._data) >= len(self.boundary_line):
            self._cut(self.boundary_line)
            self._is_open = True
        while self._is_open and (part := self._next_part()):
            parts.append(part)
        return parts

    @property
    def is_at_boundary(self) -> bool:
        """Whether the last byte was the end of a boundary line."""
        return self._is_open and not self._data

    def _cut(self, expected: bytes) -> None:
        got = bytes(self._data[: len(expected)])
        if got != expected:
            raise FormatError(f"expected {expected!r}, got {got!r}")
        del self._data[: len(expected)]

    def _next_part(self) -> Part | None:
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            if len(self._data) > 1024:
                raise FormatError(f"no end of the part's headers in {bytes(self._data[:1024])!r}")
            return None
        headers = _headers(bytes(self._data[:end]))
        length = int(dict(headers)["Content-Length"])
        ending = b"\r\n" + self.boundary_line
        if len(self._data) < end + 4 + length + len(ending):
            return None
        jpeg = bytes(self._data[end + 4 : end + 4 + length])
        if not (jpeg.startswith(b"\xff\xd8") and jpeg.endswith(b"\xff\xd9")):
            raise FormatError(f"a part of {length} bytes is no JPEG: {jpeg[:8]!r}…{jpeg[-8:]!r}")
        del self._data[: end + 4 + length]
        self._cut(ending)
        return Part(headers, jpeg)


def _headers(block: bytes) -> tuple[tuple[str, str], ...]:
    lines = block.decode("ascii").split("\r\n")
    if any("\n" in line or ": " not in line for line in lines):
        raise FormatError(f"not header lines: {block!r}")
    return tuple((name, value) for name, _, value in (line.partition(": ") for line in lines))


class Viewer:
    """A connection that asked for a stream; nothing is read until someone does.

    status, headers: of the answer, header names in lower case; read when the answer is first looked at.
    receive_bytes: size of the socket's receive buffer, for a viewer that is to fill up soon.
    host, sock: where the server is, and the socket to reach it by, if not from this machine to itself.
    """

    def __init__(
        self,
        port: int,
        path: str = "/cameras/demo/stream.mjpg",
        *,
        version: str = "1.1",
        receive_bytes: int | None = None,
        host: str = "127.0.0.1",
        sock: socket.socket | None = None,
    ) -> None:
        self.sock = sock or socket.socket()
        if receive_bytes is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.sock.settimeout(30)
        self.sock.connect((host, port))
        self.sock.sendall(f"GET {path} HTTP/{version}\r\nHost: {host}:{port}\r\n\r\n".encode())
        self.parser = StrictParser()
        self.parts: list[Part] = []
        self.arrived_at: list[float] = []
        self.status = 0
        self.headers: dict[str, str] = {}
        self.has_ended = False
        self.was_reset = False
        self.body_bytes = 0
        self._head = b""

    def __enter__(self) -> Viewer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave."""
        self.sock.close()

    def read(self, count: int) -> list[Part]:
        """Read until `count` parts have come, at most 30 s a piece; return all parts so far."""
        while len(self.parts) < count and not self.has_ended:
            self.read_some()
        assert len(self.parts) >= count, f"the stream ended after {len(self.parts)} parts"
        return self.parts

    def read_to_end(self) -> list[Part]:
        """Read until the server ends the stream; return all its parts."""
        while not self.has_ended:
            self.read_some()
        return self.parts

    def read_some(self) -> None:
        """Take in what is there, waiting for it."""
        try:
            data = self.sock.recv(1 << 20)
        except ConnectionResetError:
            self.was_reset = self.has_ended = True
            return
        self.has_ended = not data
        if not self.status:
            data = self._read_head(data)
        self.body_bytes += len(data)
        if data and self.status == 200:
            new = self.parser.feed(data)
            self.parts += new
            self.arrived_at += [time.monotonic()] * len(new)

    def _read_head(self, data: bytes) -> bytes:
        """Return what of `data` follows the answer's headers, b"" while they are not complete."""
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if not end:
            return b""
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        return rest


def read_all(viewers: Sequence[Viewer], parts: int) -> None:
    """Read all viewers side by side until each has seen so many parts, or its end for a huge number."""
    with selectors.DefaultSelector() as selector:
        waiting = {viewer for viewer in viewers if not _is_done(viewer, parts)}
        for viewer in waiting:
            selector.register(viewer.sock, selectors.EVENT_READ, viewer)
        until = time.monotonic() + 60
        while waiting and time.monotonic() < until:
            for viewer in _readable(selector):
                viewer.read_some()
                if _is_done(viewer, parts):
                    selector.unregister(viewer.sock)
                    waiting.discard(viewer)
    assert not waiting, f"{len(waiting)} viewers of {len(viewers)} wait still"


def read_for(viewers: Sequence[Viewer], seconds: float) -> None:
    """Read all viewers side by side for so long."""
    until = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for viewer in viewers:
            selector.register(viewer.sock, selectors.EVENT_READ, viewer)
        while time.monotonic() < until:
            for viewer in _readable(selector):
                viewer.read_some()
                assert not viewer.has_ended


def fewest_frames(viewers: Sequence[Viewer], since: Sequence[int]) -> int:
    """Return how many different frames came to the viewer to whom fewest did; `since`: a part of each."""
    return min(
        len({part["X-Timestamp"] for part in viewer.parts[first:]})
        for viewer, first in zip(viewers, since, strict=True)
    )


def _is_done(viewer: Viewer, parts: int) -> bool:
    return viewer.has_ended or len(viewer.parts) >= parts


def _readable(selector: selectors.BaseSelector) -> Iterable[Viewer]:
    return [key.data for key, _ in selector.select(0.5)]
