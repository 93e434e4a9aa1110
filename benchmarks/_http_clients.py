"""Clients that send the same request again and again over kept connections, and cost next to nothing."""

from __future__ import annotations

import re
import selectors
import socket
import time
from types import TracebackType

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_READ_BYTES = 1 << 18


class Clients:
    """`count` connections to one address, each with one request under way; for one thread."""

    def __init__(self, address: tuple[str, int], path: str, body: bytes, count: int) -> None:
        self._address = address
        head = f"POST {path} HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nContent-Type: image/jpeg\r\n"
        self._request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        self._count = count
        self._answers: dict[socket.socket, bytes] = {}

    def __enter__(self) -> Clients:
        self._selector = selectors.DefaultSelector()
        for _ in range(self._count):
            self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sock in self._answers:
            sock.close()
        self._selector.close()

    def run(self, seconds: float) -> list[float]:
        """Ask for so long and wait for what is under way; return the seconds that each answer took."""
        began = {sock: self._ask(sock) for sock in list(self._answers)}
        until, took = time.perf_counter() + seconds, []
        while began:
            for key, _ in self._selector.select(30):
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                if not self._read(sock):
                    continue
                now = time.perf_counter()
                took.append(now - began.pop(sock))
                if sock not in self._answers:
                    sock = self._open()
                if now < until:
                    began[sock] = self._ask(sock)
        return took

    def _open(self) -> socket.socket:
        sock = socket.create_connection(self._address, 30)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(sock, selectors.EVENT_READ)
        self._answers[sock] = b""
        return sock

    def _ask(self, sock: socket.socket) -> float:
        now = time.perf_counter()
        sock.sendall(self._request)
        return now

    def _read(self, sock: socket.socket) -> bool:
        """Take in what came; True when the answer is whole. A server that does not keep it is left."""
        data = sock.recv(_READ_BYTES)
        self._answers[sock] = answer = self._answers[sock] + data
        head, gap, body = answer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n")
        is_whole = bool(gap and length and len(body) >= int(length[1]))
        if not is_whole and data:
            return False
        if not answer.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"the server answers {answer[:300]!r}")
        self._answers[sock] = b""
        if not data or b"connection: close" in head.lower():
            self._selector.unregister(sock)
            del self._answers[sock]
            sock.close()
        return True
