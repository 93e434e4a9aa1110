"""The server's end of WebSockets (RFC 6455): who may open one, and the talk over it.

wsproto speaks the protocol; the socket is read and written here, by one thread, with deadlines.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType

from flask import Response, abort, request
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Event, Ping, Request, TextMessage
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from stream_server.accounts.grants import Lease
from stream_server.streaming.fanout import SEND_BUFFER_BYTES, SEND_TIMEOUT_S
from stream_server.web.context import engine, lease
from stream_server.web.security.proxy import is_own_origin
from stream_server.web.transport.socket_takeover import Finished, long_request_slot, take_socket

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 64 * 1024
RECEIVE_BYTES = 64 * 1024
PING_AFTER_S = 4.0
"""A peer that sends nothing is asked whether it is there."""
SILENT_S = 10.0
"""A peer that has sent nothing for this long is gone."""
MAX_UNSENT = 16
"""Messages that may wait for a peer to take them; one that sends pings and reads nothing gets no more."""
MAX_REASON_BYTES = 123
CLOSE_TIMEOUT_S = 1.0

GOING_AWAY = CloseReason.GOING_AWAY
REFUSED = CloseReason.POLICY_VIOLATION
TRY_LATER = CloseReason.TRY_AGAIN_LATER


class WebSocketClosed(Exception):
    """The peer closed, went away or takes nothing; there is nobody left to talk to."""


class WebSocketLost(WebSocketClosed):
    """The peer did not say goodbye: it is silent, takes nothing or cannot be reached."""


class CloseWith(Exception):
    """The talk ends with this code and reason, which the browser's `CloseEvent` shows."""

    def __init__(self, code: CloseReason, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class WebSocket:
    """One open WebSocket; used by one thread, but for `wake`."""

    def __init__(
        self,
        sock: socket.socket,
        protocol: WSConnection,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        lease: Lease | None = None,
    ) -> None:
        """Take over `sock`; protocol: with the peer's request taken in.

        lease: what lets the peer talk; once it is over, `receive` and `send` raise Refusal. Default: never.
        """
        self.lease = lease or Lease()
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(SEND_TIMEOUT_S * 1000))
        self._sock = sock
        self._protocol = protocol
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._wake_fd, select.POLLIN)
        self._poll.register(sock, select.POLLIN)
        self._max_message_bytes = max_message_bytes
        self._unsent: deque[memoryview] = deque()
        self._messages: list[str | bytes] = []
        self._message = bytearray()
        self._blocked_at = self._heard_at = self._asked_at = time.monotonic()
        self._is_closed = False

    def __enter__(self) -> WebSocket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sock.close()
        os.close(self._wake_fd)

    def accept(self) -> None:
        """Answer the peer's handshake, and offer no compression: it costs milliseconds a JPEG for nothing."""
        self._put(AcceptConnection())

    @property
    def is_idle(self) -> bool:
        """Whether the socket has taken all that was sent."""
        return not self._unsent

    def wake(self) -> None:
        """Let `receive` return now; may be called from any thread until the WebSocket is closed."""
        os.eventfd_write(self._wake_fd, 1)

    def receive(self, timeout_s: float) -> list[str | bytes]:
        """Return the messages that came, after `timeout_s` at most or when woken; send what is unsent.

        Raises WebSocketClosed, Refusal.
        """
        self._check_lease()
        self._exchange(timeout_s)
        messages, self._messages = self._messages, []
        return messages

    def _exchange(self, timeout_s: float) -> None:
        """Read what came and write what is unsent, after `timeout_s` at most."""
        self._check_peer(time.monotonic())
        self._poll.modify(self._sock, select.POLLIN | (select.POLLOUT if self._unsent else 0))
        for fd, events in self._poll.poll(1000 * timeout_s):
            if fd == self._wake_fd:
                os.eventfd_read(fd)
                continue
            if events & (select.POLLIN | select.POLLHUP | select.POLLERR):
                self._read()
            self._write()

    def send(self, message: str | bytes) -> None:
        """Send a text or binary message; look at `is_idle` first, nothing is thrown away here.

        Raises WebSocketClosed, Refusal.
        """
        self._check_lease()
        self._put(TextMessage(message) if isinstance(message, str) else BytesMessage(message))

    def close(self, code: CloseReason, reason: str = "") -> None:
        """Say goodbye, and give the peer a second to read it: a socket with unread acks would be reset."""
        short = reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
        until = time.monotonic() + CLOSE_TIMEOUT_S
        try:
            self._put(CloseConnection(code, short))
            while (left_s := until - time.monotonic()) > 0:
                self._exchange(left_s)
        except (WebSocketClosed, CloseWith, LocalProtocolError):
            pass

    def _check_lease(self) -> None:
        if self.lease.is_over:
            raise CloseWith(REFUSED, "what let you watch has ended")

    def _check_peer(self, now: float) -> None:
        if self._unsent and now - self._blocked_at > SEND_TIMEOUT_S:
            raise WebSocketLost(f"took nothing for {SEND_TIMEOUT_S:.0f} s")
        if now - self._heard_at > SILENT_S:
            raise WebSocketLost(f"was silent for {SILENT_S:.0f} s")
        if now - max(self._heard_at, self._asked_at) > PING_AFTER_S:
            self._asked_at = now
            self._put(Ping())

    def _put(self, event: Event) -> None:
        if len(self._unsent) >= MAX_UNSENT:
            raise WebSocketLost("took nothing but went on talking")
        if not self._unsent:
            self._blocked_at = time.monotonic()
        self._unsent.append(memoryview(self._protocol.send(event)))
        self._write()

    def _write(self) -> None:
        while self._unsent:
            try:
                sent = self._sock.send(self._unsent[0])
            except BlockingIOError:
                return
            except OSError as exc:
                raise _ending(exc) from None
            self._blocked_at = time.monotonic()
            rest = self._unsent[0][sent:]
            if rest:
                self._unsent[0] = rest
            else:
                self._unsent.popleft()

    def _read(self) -> None:
        try:
            data = self._sock.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError as exc:
            raise _ending(exc) from None
        if not data:
            raise WebSocketClosed("went away")
        self._heard_at = time.monotonic()
        try:
            self._protocol.receive_data(data)
            for event in self._protocol.events():
                self._handle(event)
        except RemoteProtocolError as exc:
            raise CloseWith(CloseReason.PROTOCOL_ERROR, str(exc)) from None

    def _handle(self, event: Event) -> None:
        if isinstance(event, (TextMessage, BytesMessage)):
            self._collect(event)
        elif isinstance(event, Ping):
            self._put(event.response())
        elif isinstance(event, CloseConnection):
            if self._protocol.state is ConnectionState.OPEN:  # wsproto's way to report a broken frame
                raise CloseWith(CloseReason(event.code), event.reason or "")
            if self._protocol.state is ConnectionState.REMOTE_CLOSING:
                self._put(event.response())
            raise WebSocketClosed(f"closed with {event.code}")

    def _collect(self, event: TextMessage | BytesMessage) -> None:
        is_text = isinstance(event, TextMessage)
        self._message += event.data.encode() if isinstance(event.data, str) else event.data
        if len(self._message) > self._max_message_bytes:
            raise CloseWith(CloseReason.MESSAGE_TOO_BIG, f"expected at most {self._max_message_bytes} bytes")
        if event.message_finished:
            self._messages.append(self._message.decode() if is_text else bytes(self._message))
            self._message.clear()


def _ending(error: OSError) -> WebSocketClosed:
    """Return what a socket's error says of the peer."""
    if isinstance(error, ConnectionError):
        return WebSocketClosed(str(error))
    return WebSocketLost(f"could not be reached ({error.strerror})")


def serve(
    talk: Callable[[WebSocket], None],
    max_message_bytes: int = MAX_MESSAGE_BYTES,
    *,
    only_own_pages: bool = False,
) -> Response:
    """Open a WebSocket for the current request and run `talk` over it, on this thread, until it returns.

    It ends with what let the request in, whatever `talk` does.

    max_message_bytes: of the peer's messages; a longer one ends the talk. only_own_pages: not those of
    `server.embed_origins` either, which are there to watch.

    Answers 400 to a handshake that is none, 403 to pages of other origins than `server.embed_origins` allows,
    501 where the HTTP server keeps its sockets to itself; raises LimitError beyond `server.max_websockets`.
    """
    check_origin(only_own_pages=only_own_pages)
    protocol, held = _handshake(), lease()
    with long_request_slot(), WebSocket(take_socket(), protocol, max_message_bytes, held) as opened:
        try:
            opened.accept()
            talk(opened)
        except WebSocketLost as exc:
            log.info("a WebSocket's peer %s and was dropped", exc)
        except WebSocketClosed as exc:
            log.debug("a WebSocket ended: %s", exc)
        except CloseWith as exc:
            opened.close(exc.code, exc.reason)
        except Exception:
            log.exception("a WebSocket failed")
            opened.close(CloseReason.INTERNAL_ERROR)
    return Finished()


def check_origin(*, only_own_pages: bool = False) -> None:
    """Answer 403 to a page of another origin: browsers let any page open a WebSocket to any server."""
    origin = request.headers.get("Origin")
    if origin is None or is_own_origin(origin):
        return
    if only_own_pages:
        abort(403, f"pages of {origin} may not do this; server.public_url names the address of these pages")
    allowed = engine().config.server.embed_origins
    if origin not in allowed and "*" not in allowed:
        abort(
            403,
            f"pages of {origin} may not watch; server.embed_origins names those that may, "
            "server.public_url the address of these pages behind a proxy",
        )


def _handshake() -> WSConnection:
    protocol = WSConnection(ConnectionType.SERVER)
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in request.headers]
    try:
        protocol.initiate_upgrade_connection(headers, "/")
        (event,) = protocol.events()
    except (RemoteProtocolError, LocalProtocolError) as exc:
        abort(400, f"not a WebSocket handshake: {exc}")
    assert isinstance(event, Request)
    return protocol
