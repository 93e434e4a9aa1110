"""Web servers as rude as real ones: HTTP/1.1, connections kept open, answers in chunks."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

_NO_HEADERS: Mapping[str, str] = {}


class WebServer(ThreadingHTTPServer):
    """`with WebServer(handler) as server:` - it runs on a free port; its end cuts what clients keep open."""

    daemon_threads = False  # closing waits for them
    request_queue_size = 128

    def __init__(self, handler: type[BaseHTTPRequestHandler], host: str = "127.0.0.1") -> None:
        #: Connections accepted so far.
        self.connections = 0
        self._lock = threading.Lock()  # guards the two of connections
        self._open: set[socket.socket] = set()
        super().__init__((host, 0), handler)
        self.url = f"http://{host}:{self.server_port}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), name="web-server")

    def __enter__(self) -> WebServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self._thread.join(5)
        self.server_close()

    def server_close(self) -> None:
        """End every connection and wait for its thread."""
        with self._lock:
            kept = list(self._open)
        for sock in kept:
            with contextlib.suppress(OSError):  # already gone
                sock.shutdown(socket.SHUT_RDWR)
        super().server_close()

    def finish_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self.connections += 1
            self._open.add(request)
        try:
            with contextlib.suppress(OSError):  # the client left, as clients do
                super().finish_request(request, client_address)
        finally:
            with self._lock:
                self._open.discard(request)


class KeptOpen(BaseHTTPRequestHandler):
    """A handler that keeps its connections open."""

    protocol_version = "HTTP/1.1"

    def answer(
        self, status: int, body: bytes = b"", headers: Mapping[str, str] = _NO_HEADERS, chunk_bytes: int = 0
    ) -> None:
        """Send an answer: with its length, or in chunks of that size."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if chunk_bytes:
            self.send_header("Transfer-Encoding", "chunked")
        elif status != 304 and "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(in_chunks(body, chunk_bytes) if chunk_bytes else body)

    def log_message(self, *_: object) -> None:
        pass


def in_chunks(body: bytes, chunk_bytes: int) -> bytes:
    """Return `body` as RFC 9112, section 7.1, has it, the last chunk included."""
    pieces = [body[at : at + chunk_bytes] for at in range(0, len(body), chunk_bytes)]
    return b"".join(b"%x;odd=1\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
