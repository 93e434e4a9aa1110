"""A WebSocket client that a test drives message by message."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)

WITHIN_S = 20.0


@dataclass(frozen=True)
class Shown:
    """A picture on the wall."""

    id: int
    sequence: int
    timestamp: float
    jpeg: bytes


class Client:
    """The client's end; `status` is that of the answer to the handshake."""

    def __init__(
        self,
        sock: socket.socket,
        path: str = "/api/v1/wall",
        host: str = "127.0.0.1",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Ask for a WebSocket over the connected `sock`; `open` waits for the answer."""
        self.sock = sock
        self.protocol = WSConnection(ConnectionType.CLIENT)
        self.status = 0
        self.answers_pings = True
        self._events: list[Event] = []
        self._message: TextMessage | BytesMessage | None = None
        extra = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        sock.sendall(self.protocol.send(Request(host=host, target=path, extra_headers=extra)))

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sock.close()

    @classmethod
    def connect(
        cls,
        port: int,
        headers: Mapping[str, str] | None = None,
        receive_bytes: int | None = None,
        path: str = "/api/v1/wall",
    ) -> Client:
        """Return a client with the server's answer in `status`; 101 is a WebSocket."""
        sock = socket.socket()
        if receive_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.connect(("127.0.0.1", port))
        client = cls(sock, path, f"127.0.0.1:{port}", headers)
        client.open()
        return client

    def open(self) -> None:
        event = self._next()
        if isinstance(event, RejectConnection):
            self.status = event.status_code
        else:
            assert isinstance(event, AcceptConnection)
            assert not event.extensions
            self.status = 101

    def refusal(self) -> Any:
        """Return the JSON with which the handshake was refused."""
        body = b""
        while isinstance(event := self._next(), RejectData):
            body += event.data
            if event.body_finished:
                break
        return json.loads(body)

    def say(self, **message: object) -> None:
        self.send(TextMessage(json.dumps(message)))

    def send(self, event: Event) -> None:
        self.sock.sendall(self.protocol.send(event))

    def watch(self, *cameras: Mapping[str, object]) -> None:
        self.say(cameras=cameras)

    def picture(self, *, ack: bool = True) -> Shown:
        """Return the next picture."""
        event = self._next()
        assert isinstance(event, BytesMessage), event
        id, sequence, timestamp = struct.unpack("!IId", event.data[:16])
        shown = Shown(id, sequence, timestamp, bytes(event.data[16:]))
        assert shown.jpeg.startswith(b"\xff\xd8")
        assert shown.jpeg.endswith(b"\xff\xd9")
        if ack:
            self.say(ack=shown.id)
        return shown

    def text(self, timeout_s: float = WITHIN_S) -> Any:
        event = self._next(timeout_s)
        assert isinstance(event, TextMessage), event
        return json.loads(event.data)

    def binary(self, timeout_s: float = WITHIN_S) -> bytes:
        event = self._next(timeout_s)
        assert isinstance(event, BytesMessage), event
        return bytes(event.data)

    def wait_for_close(self) -> tuple[int, str]:
        """Return code and reason with which the server ends the talk, whatever comes before."""
        while not isinstance(event := self._next(), CloseConnection):
            pass
        with suppress(OSError):  # it does not wait for the answer
            self.sock.sendall(self.protocol.send(event.response()))
        return event.code, event.reason or ""

    def is_quiet(self, for_s: float) -> bool:
        """Return whether no message comes for so long."""
        try:
            self._next(for_s)
        except TimeoutError:
            return True
        return False

    def is_text_next(self) -> bool:
        """Return whether the next message is text; it is not taken."""
        event = self._next()
        self._events.insert(0, event)
        return isinstance(event, TextMessage)

    def _next(self, timeout_s: float = WITHIN_S) -> Event:
        until = time.monotonic() + timeout_s
        while not self._events:
            self.sock.settimeout(max(0.001, until - time.monotonic()))
            data = self.sock.recv(1 << 20)
            if not data:
                raise EOFError
            self.protocol.receive_data(data)
            self._events += self._whole()
        return self._events.pop(0)

    def _whole(self) -> list[Event]:
        found: list[Event] = []
        for event in self.protocol.events():
            if isinstance(event, Ping):
                if self.answers_pings:
                    with suppress(OSError):  # the server is gone; what it said before is still to be read
                        self.send(event.response())
            elif isinstance(event, (TextMessage, BytesMessage)):
                begun = self._message
                self._message = replace(event, data=begun.data + event.data) if begun else event
                if event.message_finished:
                    found.append(self._message)
                    self._message = None
            else:
                found.append(event)
        return found
