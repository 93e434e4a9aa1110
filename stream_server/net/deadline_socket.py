"""A connection with one deadline over all it does and a way to cut it from another thread."""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING

from stream_server.errors import SourceError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BUFFER_BYTES = 64 * 1024


class DeadlineSocket:
    """A TCP or TLS connection on which no wait goes past `deadline`; any thread may interrupt it.

    It has what http.client asks of a socket: `sendall`, `makefile` and `close`.
    """

    def __init__(self) -> None:
        #: `time.monotonic()` seconds by which everything that is begun has to be done.
        self.deadline = 0.0
        self._interrupted = threading.Event()
        self._lock = threading.Lock()  # guards _socket, which `interrupt` shuts down
        self._socket: socket.socket | None = None

    @property
    def is_interrupted(self) -> bool:
        """Whether `interrupt` was called; stays so."""
        return self._interrupted.is_set()

    @property
    def peer(self) -> str:
        """The IP address at the other end."""
        assert self._socket is not None
        return str(self._socket.getpeername()[0])

    def connect(
        self, host: str, port: int, tls: ssl.SSLContext | None, *, server_name: str | None = None
    ) -> None:
        """Connect to the first address of `host` that answers; each gets its share of the time left.

        server_name: that its certificate must be for; default: `host`.
        """
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for left, (family, kind, protocol, _, address) in zip(
            range(len(addresses), 0, -1), addresses, strict=True
        ):
            try:
                sock = self._hold(socket.socket(family, kind, protocol))
                sock.settimeout(self.remaining() / left)
                sock.connect(address)
                break
            except OSError:
                if left == 1:
                    raise
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            wrapped = tls.wrap_socket(
                sock, server_hostname=server_name or host, do_handshake_on_connect=False
            )
            self._hold(wrapped)
            wrapped.settimeout(self.remaining())
            wrapped.do_handshake()

    def _hold(self, sock: socket.socket) -> socket.socket:
        """Make `sock` the one that `interrupt` shuts down; one that came before shows in `remaining`."""
        with self._lock:
            previous, self._socket = self._socket, sock
        if previous is not None:
            previous.close()
        return sock

    def remaining(self) -> float:
        """Return the seconds left. Raises TimeoutError when there are none, SourceError after `interrupt`."""
        if self.is_interrupted:
            raise SourceError("interrupted")
        seconds = self.deadline - time.monotonic()
        if seconds <= 0:
            raise TimeoutError
        return seconds

    def pause(self, seconds: float) -> None:
        """Wait. Raises SourceError at once when interrupted."""
        if self._interrupted.wait(max(0.0, seconds)):
            raise SourceError("interrupted")

    def interrupt(self) -> None:
        """End what waits and all that is begun later; any thread may call it."""
        self._interrupted.set()
        with self._lock:
            if self._socket is not None:
                with contextlib.suppress(OSError):  # not connected
                    # Not SSLSocket.shutdown: that takes the TLS state from under the thread that reads.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def sendall(self, data: bytes) -> None:
        """Send all of `data`."""
        assert self._socket is not None
        self._socket.settimeout(self.remaining())
        self._socket.sendall(data)

    def recv_into(self, buffer: WriteableBuffer) -> int:
        """Wait for bytes and return how many came, 0 at the end."""
        if self._socket is None:
            return 0
        self._socket.settimeout(self.remaining())
        return self._socket.recv_into(buffer)

    def makefile(self, mode: str) -> io.BufferedReader:
        """Return a reader of what comes in."""
        return io.BufferedReader(_Reader(self), _BUFFER_BYTES)

    def close(self) -> None:
        """Do nothing: http.client closes a connection whose last answer is still being read."""

    def hang_up(self) -> None:
        """Close the connection; may be called twice."""
        with self._lock:
            previous, self._socket = self._socket, None
        if previous is not None:
            previous.close()


class _Reader(io.RawIOBase):
    def __init__(self, wire: DeadlineSocket) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        return self._wire.recv_into(buffer)


class DeadlineConnection(http.client.HTTPConnection):
    """http.client's reading of HTTP, which puts up with much that cameras send, over a `DeadlineSocket`."""

    def __init__(
        self,
        wire: DeadlineSocket,
        host: str,
        port: int | None,
        tls: ssl.SSLContext | None,
        *,
        address: str | None = None,
    ) -> None:
        """host: in whose name is asked. address: where that is; default: what the host's name resolves to."""
        self.default_port = 443 if tls else 80  # left out of the Host header
        super().__init__(host, port or self.default_port)
        self._wire = wire
        self._tls = tls
        self._address = address or self.host

    def connect(self) -> None:
        """Connect, for what is requested next."""
        self._wire.connect(self._address, self.port, self._tls, server_name=self.host)
        self.sock = self._wire
