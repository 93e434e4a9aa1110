"""A server of one file on a free port, with faults on command."""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


class FileServer:
    """`with FileServer(content) as server: download(server.url, …)`; what is public may be changed meanwhile.

    content: what every path gives. ranges: whether it knows them. etag: None: made of the content; "": none.
    tells_length: False: the end of the connection is the end of the file.
    cuts: after how many bytes the next answers' connections break, one each.
    statuses: of the next answers, instead of the file. redirect_to: where every request is sent.
    requests: headers of all requests, in order.
    """

    def __init__(
        self,
        content: bytes,
        *,
        ranges: bool = True,
        etag: str | None = None,
        tells_length: bool = True,
        cuts: Sequence[int] = (),
        statuses: Sequence[int] = (),
        redirect_to: str | None = None,
    ) -> None:
        self.content = content
        self.ranges = ranges
        self.etag = etag
        self.tells_length = tells_length
        self.cuts = list(cuts)
        self.statuses = list(statuses)
        self.redirect_to = redirect_to
        self.requests: list[dict[str, str]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = False  # closing waits for them
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="file-server")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/file"

    def __enter__(self) -> FileServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def _handler(server: FileServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.requests.append(dict(self.headers))
            if server.redirect_to:
                self._answer(302, Location=server.redirect_to)
            elif server.statuses:
                self._answer(server.statuses.pop(0))
            else:
                self._send_file()

        def _send_file(self) -> None:
            content = server.content
            etag = f'"{hashlib.sha256(content).hexdigest()}"' if server.etag is None else server.etag
            headers = {"ETag": etag} if etag else {}
            start = self._asked_start() if self.headers.get("If-Range", etag) == etag else 0
            if start >= len(content) > 0 and start:
                self._answer(416, **{"Content-Range": f"bytes */{len(content)}"})
                return
            if server.tells_length:
                headers["Content-Length"] = str(len(content) - start)
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            cut = server.cuts.pop(0) if server.cuts else len(content)
            self._answer(206 if start else 200, content[start : start + cut], **headers)

        def _asked_start(self) -> int:
            match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            return int(match[1]) if match and server.ranges else 0

        def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # the client has gone
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
