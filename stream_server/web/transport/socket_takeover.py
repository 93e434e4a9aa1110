"""Requests that last: how many there may be, each on a server's thread, and how one keeps its socket."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flask import Response, abort, request

from stream_server.errors import LimitError
from stream_server.web.context import engine

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


@contextmanager
def long_request_slot() -> Iterator[None]:
    """Count one of the requests that may last; each holds one of the server's threads.

    Raises LimitError beyond `server.max_websockets`.
    """
    budget = engine().long_requests
    if not budget.acquire(blocking=False):
        most = engine().config.server.max_websockets
        raise LimitError(
            f"{most} WebSockets, event streams and senders of pictures are there already, more are not "
            "allowed (server.max_websockets)"
        )
    try:
        yield
    finally:
        budget.release()


def take_socket() -> socket.socket:
    """Return the request's socket for our own: gunicorn loses it, Werkzeug keeps a copy to close.

    Answers 501 where the HTTP server keeps its sockets to itself.
    """
    environ = request.environ
    sock = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
    if sock is None or isinstance(sock, ssl.SSLSocket):
        abort(501, "this HTTP server cannot carry WebSockets and event streams")
    return sock.dup() if "werkzeug.socket" in environ else socket.socket(fileno=sock.detach())


class Finished(Response):
    """The answer to a request whose socket is closed already."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Tell the HTTP server that there is nothing left for it to do.

        gunicorn takes StopIteration for a connection that is done with, Werkzeug a lost connection.
        """
        if "gunicorn.socket" in environ:
            raise StopIteration
        raise ConnectionResetError
