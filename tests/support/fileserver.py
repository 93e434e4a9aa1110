"""A server of one file on a free port, with faults on command."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from threading import Event
from types import TracebackType

from tests.support.patience import PATIENCE_S
from tests.support.webserver import KeptOpen, WebServer, in_chunks


class FileServer:
    """`with FileServer(content) as server: download(server.url, …)`; what is public may be changed meanwhile.

    content: what every path gives. ranges: whether it knows them. etag: None: made of the content; "": none.
    tells_length: False: the end of the connection is the end of the file, or it comes in chunks of
    `chunk_bytes`.
    cuts: after how many bytes the next answers' connections break, one each.
    statuses: of the next answers, instead of the file. redirect_to: where every request is sent.
    requests: headers of all requests, in order. may_answer: is waited for before any is answered.
    """

    def __init__(
        self,
        content: bytes,
        *,
        ranges: bool = True,
        etag: str | None = None,
        tells_length: bool = True,
        chunk_bytes: int = 0,
        cuts: Sequence[int] = (),
        statuses: Sequence[int] = (),
        redirect_to: str | None = None,
    ) -> None:
        self.content = content
        self.ranges = ranges
        self.etag = etag
        self.tells_length = tells_length and not chunk_bytes
        self.chunk_bytes = chunk_bytes
        self.cuts = list(cuts)
        self.statuses = list(statuses)
        self.redirect_to = redirect_to
        self.requests: list[dict[str, str]] = []
        self.may_answer = Event()
        self.may_answer.set()
        self._server = WebServer(_handler(self))

    @property
    def url(self) -> str:
        return f"{self._server.url}/file"

    def __enter__(self) -> FileServer:
        self._server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.__exit__(kind, error, trace)


def _handler(server: FileServer) -> type[KeptOpen]:
    class Handler(KeptOpen):
        def do_GET(self) -> None:
            server.requests.append(dict(self.headers))
            server.may_answer.wait(PATIENCE_S)
            if server.redirect_to:
                self.answer(302, headers={"Location": server.redirect_to})
            elif server.statuses:
                self.answer(server.statuses.pop(0))
            else:
                self._send_file()

        def _send_file(self) -> None:
            content = server.content
            etag = f'"{hashlib.sha256(content).hexdigest()}"' if server.etag is None else server.etag
            headers = {"ETag": etag} if etag else {}
            start = self._asked_start() if self.headers.get("If-Range", etag) == etag else 0
            if start >= len(content) > 0 and start:
                self.answer(416, headers={"Content-Range": f"bytes */{len(content)}"})
                return
            if server.tells_length:
                headers["Content-Length"] = str(len(content) - start)
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            if server.cuts or not (server.tells_length or server.chunk_bytes):
                self.close_connection = True
                headers["Connection"] = "close"
            self._send(206 if start else 200, headers, content[start:])

        def _send(self, status: int, headers: dict[str, str], content: bytes) -> None:
            if server.chunk_bytes:
                headers["Transfer-Encoding"] = "chunked"
                content = in_chunks(content, server.chunk_bytes)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content[: server.cuts.pop(0)] if server.cuts else content)

        def _asked_start(self) -> int:
            match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            return int(match[1]) if match and server.ranges else 0

    return Handler
