"""Receives requests, so that no thread waits for a client: neither for its request, nor for it to leave.

gunicorn gives a connection a thread as soon as it is there. Here it gets one when the head of its request has
come, with the body if that is small; until then it costs a descriptor and a buffer. Larger bodies are waited
for by threads of their own, so many at most, and have to come at some pace.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import selectors
import socket
import struct
import sys
import termios
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from gunicorn.config import Config
from gunicorn.http.body import Body, ChunkedReader
from gunicorn.http.errors import ParseException
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.gthread import TConn, ThreadWorker
from werkzeug.exceptions import BadRequest

from stream_server.web.transport.arrival import Arrival

log = logging.getLogger(__name__)

HEAD_TIMEOUT_S = 10.0
"""For a request's head, and a body so small that it is waited for likewise."""
MAX_HEAD_BYTES = 64 * 1024
RECEIVE_BYTES = 64 * 1024
SMALL_BODY_BYTES = 64 * 1024
MAX_WAITING = 500
"""Connections whose request has not come; one more, and who waits longest is dropped."""
MAX_KEPT = 500
"""Connections that may stay for a next request."""
BODY_GRACE_S = 8.0
BODY_BYTES_PER_S = 8 * 1024
"""A body may take the one, and a second more for so many bytes; together with a pause of
`RECEIVE_TIMEOUT_S` that is less than 15 s for one that hardly comes."""
RECEIVE_TIMEOUT_S = 5
"""A client that pauses longer within a body is dropped: a thread waits for it."""
SEND_TIMEOUT_S = 5
"""One that takes nothing of an answer for longer, too."""
SEND_BUFFER_BYTES = 1024 * 1024
"""What the kernel takes of an answer (at most; Linux gives 416 KiB by default), with no thread waiting."""
TAKE_TIMEOUT_S = 10
"""Who takes none of what the kernel holds for so long is reset, also when the connection is closed by us."""
UNTAKEN_BYTES = 64 * 1024
"""Who has not taken so much of earlier answers gets no more."""
REST_BYTES = 256 * 1024
"""What of a body nobody has read may be thrown away for the sake of the next request."""
LINGER_S, LINGER_AT_END_S = 2.0, 0.5
LINGER_BYTES = 2**20
"""How long, and how much, a client may go on sending to a closed connection before it is reset, which may
take the answer from it (RFC 9112, section 9.6)."""

POLL_INTERVAL_S = 0.25
HOLD_BACK_S = 0.5
"""Nobody is accepted for so long when that failed: no descriptor or memory is left."""


def _refusal(status: str, kind: str, body: str, *headers: str) -> bytes:
    """Return an answer that is not the application's, of the media type that it has for this status."""
    head = (f"Content-Type: {kind}", f"Content-Length: {len(body)}", "Connection: close", *headers)
    return "\r\n".join((f"HTTP/1.1 {status}", *head, "", body)).encode("ascii")


_TOO_LONG = _refusal(
    "431 Request Header Fields Too Large", "text/html", "<!doctype html><p>The headers are too long.\n"
)
_TOO_MANY = _refusal(
    "503 Service Unavailable",
    "application/problem+json",
    '{"type": "about:blank", "title": "Service Unavailable", "status": 503, '
    '"detail": "too many uploads at once"}\n',
    "Retry-After: 5",
)


def limit_waits(listener: socket.socket) -> None:
    """Let no thread wait longer for a client of this listener. Linux hands it on to accepted sockets."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", RECEIVE_TIMEOUT_S, 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", SEND_TIMEOUT_S, 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * TAKE_TIMEOUT_S)


class PacedUnreader(SocketUnreader):  # type: ignore[misc]
    """Reads a request from its socket, unless that takes too long."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._due: float | None = None
        self._arrival = Arrival()

    def expect(self) -> Arrival:
        """Return the next request as far as it came with the last one; what is added to it is read too."""
        self._arrival = Arrival()
        self._arrival.add(self.take_buffered())
        return self._arrival

    def begin(self) -> None:
        """Read what arrived, and expect the rest of a request from now on."""
        self.unread(bytes(self._arrival))
        self._arrival = Arrival()
        self._due = time.monotonic() + BODY_GRACE_S

    def take_any_time(self) -> None:
        """Let the rest of the request take as long as it likes."""
        self._due = None

    def chunk(self, size_hint: int | None = None) -> bytes:
        """Return what comes next. Raises BlockingIOError, as a socket does of which nothing comes in time."""
        if self._due is not None and time.monotonic() > self._due:
            raise BlockingIOError(errno.EAGAIN, "the body comes too slowly")
        data: bytes = super().chunk(size_hint)
        if self._due is not None:
            self._due += len(data) / BODY_BYTES_PER_S
        return data


class HonestBody(Body):  # type: ignore[misc]
    """A body whose damaged chunks are the client's fault."""

    def _read_reader(self, size: int) -> bytes:
        try:
            data: bytes = super()._read_reader(size)
        except ParseException as exc:
            raise BadRequest("the chunks of the body are damaged") from exc
        return data


class HonestRequest(Request):  # type: ignore[misc]
    """A request whose answer says that the connection ends where too much would be left to read of it."""

    def set_body_reader(self) -> None:
        """Find out how the body is to be read."""
        super().set_body_reader()
        self.body: HonestBody = HonestBody(self.body.reader)

    def should_close(self) -> bool:
        """Return whether no other request can follow on the connection; once it is said so, it stays so."""
        if not self.must_close and self._rest_bytes() > REST_BYTES:
            self.force_close()
        return bool(super().should_close())

    def _rest_bytes(self) -> int:
        """Return how much of the body nobody has read; `sys.maxsize` where that cannot be told."""
        reader = self.body.reader
        if self.body.failed:
            return sys.maxsize
        if isinstance(reader, ChunkedReader):
            return 0 if reader.parser is None or reader.parser.gi_frame is None else sys.maxsize
        return int(reader.length)


class PatientParser(RequestParser):  # type: ignore[misc]
    """Reads the requests of a connection, one after the other."""

    mesg_class = HonestRequest

    def __init__(self, cfg: Config, sock: socket.socket, client: Any) -> None:
        super().__init__(cfg, sock, client)
        self.unreader = PacedUnreader(sock)

    def finish_body(self, deadline: float | None = None, max_bytes: int | None = None) -> bool:
        """Read what nobody has read of a body, so that the next request can; return whether that worked."""
        return bool(super().finish_body(deadline, REST_BYTES + 1 if max_bytes is None else max_bytes))


class PatientPool(ThreadPoolExecutor):
    """Threads that are started as they are needed; where none can be, those that there are do the work."""

    def _adjust_thread_count(self) -> None:
        try:
            super()._adjust_thread_count()
        except RuntimeError:  # "can't start new thread": the request stands in the queue already
            if not self._threads:
                raise
            log.warning("no thread can be started (ulimit -u, pids.max, or memory); requests wait for others")


class PatientWorker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker; see the module. All methods but `handle` are for its main thread."""

    max_uploads = 16
    """Requests with a large body that have a thread at once; more are answered 503."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.max_keepalived: int = min(self.worker_connections - self.cfg.threads, MAX_KEPT)
        self.max_waiting = min(MAX_WAITING, self.worker_connections // 2)
        self._accepts_at = 0.0
        self._waiting: dict[TConn, float] = {}  # until when; the first to end stands first, here and below
        self._arrivals: dict[TConn, Arrival] = {}  # of those that are waited for
        self._lingering: dict[TConn, float] = {}
        self._lingered: dict[TConn, int] = {}  # bytes that came since
        self._uploading: set[TConn] = set()

    def get_thread_pool(self) -> PatientPool:
        """Return the threads for requests, of which one is there."""
        pool = PatientPool(max_workers=self.cfg.threads)
        pool.submit(lambda: None).result()
        return pool

    def accept(self, listener: socket.socket) -> None:
        """Take in a client; where that is not possible now, all wait a moment. accept(2) names reasons."""
        try:
            sock, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as exc:
            self._hold_back(exc)
            return
        self.nr_conns += 1
        self.enqueue_req(TConn(self.cfg, sock, address, listener.getsockname()))

    def _hold_back(self, error: OSError) -> None:
        if time.monotonic() > self._accepts_at + HOLD_BACK_S:
            log.error("no more connections can be taken now: %s; new ones wait", error.strerror)
        self._accepts_at = time.monotonic() + HOLD_BACK_S
        self.set_accept_enabled(False)

    def set_accept_enabled(self, enabled: bool) -> None:
        """Accept clients from now on, or none."""
        super().set_accept_enabled(enabled and time.monotonic() >= self._accepts_at)

    def enqueue_req(self, conn: TConn) -> None:
        """Receive a request; it gets a thread when that will not have to wait."""
        try:
            self._expect(conn)
        except OSError as exc:
            log.error("a connection was dropped: %s", exc.strerror)
            self._give_up(conn)

    def _expect(self, conn: TConn) -> None:
        if conn.parser is None:
            conn.parser = PatientParser(self.cfg, conn.sock, conn.client)
        if _untaken_bytes(conn.sock) > UNTAKEN_BYTES:
            self._drop(conn)
            return
        if len(self._waiting) >= self.max_waiting:
            self._give_up(next(iter(self._waiting)))
        conn.sock.setblocking(False)
        self._waiting[conn] = time.monotonic() + HEAD_TIMEOUT_S
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._receive, conn))
        self._arrivals[conn] = conn.parser.unreader.expect()
        self._look_at(conn)
        if conn in self._waiting:
            self._receive(conn, conn.sock)  # mostly it is there already

    def _receive(self, conn: TConn, sock: socket.socket) -> None:
        if conn not in self._waiting:
            return  # given up in the same turn of the loop
        try:
            data = sock.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._arrivals[conn].add(data)
            self._look_at(conn)
        else:
            self._give_up(conn)

    def _look_at(self, conn: TConn) -> None:
        """Pass a request on to a thread, or refuse it, where enough of it was received to tell."""
        request = self._arrivals[conn]
        if request.body_bytes is None:
            if len(request) > MAX_HEAD_BYTES:
                self._refuse(conn, _TOO_LONG)
            elif request.has_bare_lf:
                self._pass_on(conn)  # to be refused: its end would not come
            return
        is_upload = request.body_bytes > SMALL_BODY_BYTES
        if is_upload and len(self._uploading) >= self.max_uploads:
            self._refuse(conn, _TOO_MANY)
        elif is_upload or request.has_body:
            if is_upload:
                self._uploading.add(conn)
            self._pass_on(conn)

    def _pass_on(self, conn: TConn) -> None:
        self._forget(conn)
        conn.data_ready = True
        conn.parser.unreader.begin()
        super().enqueue_req(conn)

    def finish_request(self, conn: TConn, fs: Future[bool]) -> None:
        """Wait for the next request, or for the client to leave."""
        self._uploading.discard(conn)
        if conn.sock.fileno() < 0:  # handed to the fan-out, or closed
            self.nr_conns -= 1
        elif not fs.cancelled() and fs.exception() is None and fs.result():
            super().finish_request(conn, fs)
        else:
            self._linger(conn)

    def murder_pending(self) -> None:
        """Drop who was waited for long enough; at the server's end, who has sent half a request."""
        super().murder_pending()
        now = time.monotonic()
        while self._waiting and (now > next(iter(self._waiting.values())) or not self.alive):
            self._give_up(next(iter(self._waiting)))
        while self._lingering and now > next(iter(self._lingering.values())):
            self._give_up(next(iter(self._lingering)))

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Do what is to be done, and look at what is due soon enough."""
        is_due_soon = self._waiting or self._lingering or not self._accepting
        super().wait_for_and_dispatch_events(min(timeout, POLL_INTERVAL_S) if is_due_soon else timeout)

    def _refuse(self, conn: TConn, answer: bytes) -> None:
        self._forget(conn)
        with suppress(OSError):
            conn.sock.send(answer)
        self._linger(conn)

    def _linger(self, conn: TConn) -> None:
        """Say that nothing more comes, and wait until the client has read what came."""
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(conn)
            return
        conn.sock.setblocking(False)
        linger_s = LINGER_S if self.alive else LINGER_AT_END_S
        self._lingering[conn], self._lingered[conn] = time.monotonic() + linger_s, 0
        try:
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._discard, conn))
        except OSError:
            self._give_up(conn)

    def _discard(self, conn: TConn, sock: socket.socket) -> None:
        if conn not in self._lingering:
            return
        try:
            data = sock.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._lingered[conn] += len(data)
        if not data or self._lingered[conn] > LINGER_BYTES:
            self._give_up(conn)

    def _give_up(self, conn: TConn) -> None:
        self._forget(conn)
        self._drop(conn)

    def _forget(self, conn: TConn) -> None:
        """Wait for a connection no more."""
        for waited_for in (self._waiting, self._arrivals, self._lingering, self._lingered):
            waited_for.pop(conn, None)
        with suppress(KeyError):
            self.poller.unregister(conn.sock)

    def _drop(self, conn: TConn) -> None:
        self.nr_conns -= 1
        conn.close()


def _untaken_bytes(sock: socket.socket) -> int:
    """Return how many bytes of what was sent the client's machine has not taken (SIOCOUTQ, tcp(7))."""
    try:
        return int(struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0" * 4))[0])
    except OSError:
        return 0
