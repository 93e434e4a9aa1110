"""An HTTP camera on a free port: MJPEG or snapshots, with faults on command."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import secrets
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Literal
from urllib.request import parse_http_list, parse_keqv_list

import cv2
import numpy as np

from tests.support.patience import PATIENCE_S

Authentication = Literal["none", "basic", "digest"]
Lengths = Literal["right", "none", "short", "long"]

REALM = 'camera "front", north'


@lru_cache(maxsize=64)
def numbered_jpeg(number: int, size_wh: tuple[int, int] = (64, 48)) -> bytes:
    """Return a one-colour JPEG; `colour_of(number)` is its colour within 3."""
    width, height = size_wh
    image = np.full((height, width, 3), colour_of(number), np.uint8)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def colour_of(number: int) -> tuple[int, int, int]:
    """Return the blue, green and red of picture `number`; repeats after 256."""
    return (number * 37 % 256, number * 101 % 256, number * 59 % 256)


class HTTPCamera:
    """A scripted camera; `with HTTPCamera(...) as camera: open(camera.url)`.

    jpegs: shown in turn; default: `numbered_jpeg(k, size)` for picture k = 0, 1, 2... of a connection.
    sizes: size from picture k on, e.g. {0: (640, 480), 10: (1280, 720)}.
    fps: pictures a second, 0 as fast as the client reads.
    header_boundary, boundary: what the response header claims, and the delimiter written before each part.
    newline, chunk_bytes: line ends of the parts, and the size of the pieces they are written in.
    stop_after: end each connection after so many pictures.
    body: written as it is after the response header instead of parts, then the connection ends.
    head: written as it is instead of the status line and the headers.
    status, content_type, redirect_to: of every (authorised) answer; None: what the mode asks for.
    digest, nonce_uses: the Digest algorithm, and for how many requests a nonce is good.
    qop, separator: of its challenge: what it offers ("" as in RFC 2069), and what parts the fields.
    before, after: challenges in headers of their own beside the camera's.
    tls: serve https with this server context.

    `silent`, `frozen` and `users` may be changed while it runs; the counters may be read from anywhere.
    """

    def __init__(
        self,
        mode: Literal["mjpeg", "snapshot"] = "mjpeg",
        *,
        jpegs: Sequence[bytes] | None = None,
        sizes: Mapping[int, tuple[int, int]] | None = None,
        fps: float = 30,
        header_boundary: str = "frame",
        boundary: bytes = b"--frame",
        lengths: Lengths = "right",
        newline: bytes = b"\r\n",
        chunk_bytes: int | None = None,
        chunked: bool = False,
        stop_after: int | None = None,
        body: Iterable[bytes] | None = None,
        head: bytes | None = None,
        status: int = 200,
        content_type: str | None = None,
        redirect_to: str | None = None,
        validators: bool = True,
        authentication: Authentication = "none",
        users: Mapping[str, str] | None = None,
        digest: str = "MD5",
        nonce_uses: int | None = None,
        qop: str | None = "auth,auth-int",
        separator: str = ", ",
        before: Sequence[str] = (),
        after: Sequence[str] = (),
        silent: bool = False,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.mode = mode
        self.jpegs = jpegs
        self.sizes = dict(sizes or {0: (64, 48)})
        self.fps = fps
        self.header_boundary = header_boundary
        self.boundary = boundary
        self.lengths = lengths
        self.newline = newline
        self.chunk_bytes = chunk_bytes
        self.chunked = chunked
        self.stop_after = stop_after
        self.body = body
        self.head = head
        self.status = status
        self.content_type = content_type
        self.redirect_to = redirect_to
        self.validators = validators
        self.authentication = authentication
        self.users = dict(users or {"admin": "secret"})
        self.digest = digest
        self.nonce_uses = nonce_uses
        self.qop = qop
        self.separator = separator
        self.before = tuple(before)
        self.after = tuple(after)
        self.silent = silent
        #: Which picture a snapshot shows; raise it to change the picture.
        self.picture = 0

        self.connections = 0
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.auth_tries = 0
        self.pictures_sent = 0
        self._nonces: dict[str, int] = {}
        self._changed = threading.Condition()  # guards the counters and the set of open sockets
        self._open: set[socket.socket] = set()
        self._running = threading.Event()
        self._running.set()
        self._closing = threading.Event()
        self._server = _Server((host, 0), _Handler, self, tls)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), name="http-camera", daemon=True
        )
        scheme = "https" if tls else "http"
        name = f"[{host}]" if ":" in host else host
        self.host, self.port = host, int(self._server.server_address[1])
        self.address = f"{name}:{self.port}"
        self.url = f"{scheme}://{self.address}/{'video.mjpg' if mode == 'mjpeg' else 'image.jpg'}"

    def __enter__(self) -> HTTPCamera:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every connection and every thread."""
        self._closing.set()
        self._running.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(5)
        self.drop()
        self._server.server_close()

    def with_credentials(self, credentials: str) -> str:
        """Return the address with `credentials` ("user:password") in it."""
        return self.url.replace("://", f"://{credentials}@", 1)

    # Faults.

    def freeze(self) -> None:
        """Send nothing from now on; the connections stay open."""
        self._running.clear()

    def resume(self) -> None:
        """Go on sending."""
        self._running.set()

    def drop(self) -> None:
        """Cut every open connection."""
        with self._changed:
            open_sockets = list(self._open)
        for sock in open_sockets:
            _shut_down(sock)

    # Counters.

    @property
    def open_connections(self) -> int:
        """Connections open now."""
        with self._changed:
            return len(self._open)

    def wait_until(self, is_true: Callable[[], bool], timeout_s: float = PATIENCE_S) -> bool:
        """Wait until `is_true()`, looked at after each change of a counter; return whether it became true."""
        with self._changed:
            return self._changed.wait_for(is_true, timeout_s)

    # Called by the handlers' threads.

    def opened(self, sock: socket.socket) -> None:
        with self._changed:
            self.connections += 1
            self._open.add(sock)
            self._changed.notify_all()
            if self._closing.is_set():
                _shut_down(sock)

    def closed(self, sock: socket.socket) -> None:
        with self._changed:
            self._open.discard(sock)
            self._changed.notify_all()

    def asked(self, path: str, headers: dict[str, str]) -> None:
        with self._changed:
            self.requests.append((path, headers))
            self.auth_tries += "authorization" in headers
            self._changed.notify_all()

    def sent_picture(self) -> None:
        with self._changed:
            self.pictures_sent += 1
            self._changed.notify_all()

    def wait_for_turn(self, due: float, client: socket.socket) -> bool:
        """Wait until it is `due` and the camera not frozen; return False when either end leaves."""
        self._closing.wait(max(0.0, due - time.monotonic()))
        while not self._running.is_set():
            if select.select([client], [], [], 0.02)[0]:
                return False  # who watches a stream sends nothing, so this is its end
        return not self._closing.is_set()

    @property
    def is_closing(self) -> bool:
        return self._closing.is_set()

    def jpeg(self, number: int) -> bytes:
        """Return picture `number` of a connection."""
        if self.jpegs is not None:
            return self.jpegs[number % len(self.jpegs)]
        size_wh = self.sizes[max(start for start in self.sizes if start <= number)]
        return numbered_jpeg(number % 256, size_wh)

    def parts(self) -> Iterator[bytes]:
        """Return the parts of one connection, without end."""
        number = 0
        while self.stop_after is None or number < self.stop_after:
            jpeg = self.jpeg(number)
            lines = [self.boundary, b"Content-Type: image/jpeg"]
            if self.lengths != "none":
                error = {"right": 0, "short": -1, "long": 1}[self.lengths]
                lines.append(b"Content-Length: %d" % (len(jpeg) + error))
            yield self.newline.join([*lines, b"", jpeg, b""])
            number += 1

    def challenge(self, *, stale: bool = False) -> str:
        if self.authentication == "basic":
            return 'Basic realm="camera"'
        nonce = secrets.token_hex(16)
        self._nonces[nonce] = 0
        realm = REALM.replace('"', '\\"')
        fields = [
            f'realm="{realm}"',
            f"algorithm={self.digest}",
            f'nonce="{nonce}"',
            'opaque="5ccc069c403ebaf9f0171e9517f40e41"',
            f"stale={'true' if stale else 'false'}",
        ]
        if self.qop is not None:
            fields.insert(1, f'qop="{self.qop}"')
        return "Digest " + self.separator.join(fields)

    def authorise(self, method: str, target: str, authorization: str | None) -> Literal["yes", "no", "stale"]:
        """Return whether a request may be answered, or its nonce is no longer good."""
        if self.authentication == "none":
            return "yes"
        scheme, _, rest = (authorization or "").partition(" ")
        if scheme.lower() != self.authentication:
            return "no"
        if scheme.lower() == "basic":
            given = base64.b64decode(rest).decode()
            return "yes" if given in {f"{user}:{pw}" for user, pw in self.users.items()} else "no"
        return self._check_digest(method, target, parse_keqv_list(parse_http_list(rest)))

    def _check_digest(self, method: str, target: str, given: dict[str, str]) -> Literal["yes", "no", "stale"]:
        """RFC 7616, section 3.4.1, written from the server's side."""
        name = self.digest.removesuffix("-sess").removesuffix("-SESS")
        algorithm = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}[name]

        def h(*fields: str) -> str:
            return hashlib.new(algorithm, ":".join(fields).encode()).hexdigest()

        user, nonce = given["username"].encode("latin-1").decode(), given["nonce"]
        if given["uri"] != target or user not in self.users or given["realm"] != REALM:
            return "no"
        ha1 = h(user, REALM, self.users[user])
        if name != self.digest:
            ha1 = h(ha1, nonce, given["cnonce"])
        if not self.qop:  # RFC 2069
            return "yes" if given["response"] == h(ha1, nonce, h(method, target)) else "no"
        if given["qop"] not in self.qop.split(","):
            return "no"
        ha2 = h(method, target, h("")) if given["qop"] == "auth-int" else h(method, target)
        if given["response"] != h(ha1, nonce, given["nc"], given["cnonce"], given["qop"], ha2):
            return "no"
        with self._changed:
            uses = self._nonces.get(nonce)
            if uses is None or int(given["nc"], 16) != uses + 1:
                return "stale"
            self._nonces[nonce] = uses + 1
        return "stale" if self.nonce_uses is not None and uses >= self.nonce_uses else "yes"


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that server_close() waits for them
    request_queue_size = 128

    def __init__(
        self,
        address: tuple[str, int],
        handler: type[BaseHTTPRequestHandler],
        camera: HTTPCamera,
        tls: ssl.SSLContext | None,
    ) -> None:
        self.camera = camera
        self.tls = tls
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, handler)

    def finish_request(self, request: object, client_address: object) -> None:
        assert isinstance(request, socket.socket)
        self.camera.opened(request)
        try:
            self._serve(request, client_address)
        except OSError:
            pass  # the client left, as clients do, or `drop` cut it off
        finally:
            self.camera.closed(request)

    def _serve(self, request: socket.socket, client_address: object) -> None:
        if self.tls is None:
            _Handler(request, client_address, self)
            return
        # The camera shuts down the socket it knows, so the TLS one is made of a second descriptor.
        with self.tls.wrap_socket(request.dup(), server_side=True) as wrapped:
            _Handler(wrapped, client_address, self)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        camera = self.server.camera
        camera.asked(self.path, {name.lower(): value for name, value in self.headers.items()})
        if camera.silent:
            self.close_connection = True
            self.rfile.read(1)  # until the client leaves
            return
        verdict = camera.authorise(self.command, self.path, self.headers.get("Authorization"))
        if verdict != "yes":
            challenges = (*camera.before, camera.challenge(stale=verdict == "stale"), *camera.after)
            self._answer(
                401, b"who are you?", "text/html", *(("WWW-Authenticate", text) for text in challenges)
            )
        elif camera.head is not None or camera.body is not None:
            self._say_literally(camera)
        elif camera.redirect_to is not None:
            self._answer(302, b"", "text/html", ("Location", camera.redirect_to))
        elif camera.status != 200:
            self._answer(camera.status, b"no", "text/html")
        elif camera.mode == "snapshot":
            self._show_snapshot(camera)
        else:
            self._stream(camera)

    def _answer(self, status: int, body: bytes, content_type: str, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _say_literally(self, camera: HTTPCamera) -> None:
        self.close_connection = True
        if camera.head is not None:
            self.wfile.write(camera.head)
        else:
            self._start_stream(camera)
        for piece in camera.body or ():
            if not camera.wait_for_turn(0, self.connection):
                return
            self.wfile.write(piece)

    def _show_snapshot(self, camera: HTTPCamera) -> None:
        if not camera.wait_for_turn(0, self.connection):
            self.close_connection = True
            return
        jpeg = camera.jpeg(camera.picture)
        etag = f'"{hashlib.sha256(jpeg).hexdigest()[:16]}"'
        content_type = camera.content_type or "image/jpeg"
        if camera.validators and self.headers.get("If-None-Match") == etag:
            self._answer(304, b"", content_type, ("ETag", etag))
            return
        self._answer(200, jpeg, content_type, *([("ETag", etag)] if camera.validators else []))
        camera.sent_picture()

    def _start_stream(self, camera: HTTPCamera) -> None:
        self.send_response(camera.status)
        default = f"multipart/x-mixed-replace; boundary={camera.header_boundary}"
        self.send_header("Content-Type", camera.content_type or default)
        self.send_header("Connection", "close")
        if camera.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _stream(self, camera: HTTPCamera) -> None:
        self.close_connection = True
        self._start_stream(camera)
        due = time.monotonic()
        for part in camera.parts():
            if not camera.wait_for_turn(due, self.connection):
                return
            due = max(due + 1 / camera.fps, time.monotonic() - 1 / camera.fps) if camera.fps else due
            self._write(camera, part)
            camera.sent_picture()

    def _write(self, camera: HTTPCamera, part: bytes) -> None:
        step = camera.chunk_bytes or len(part)
        for start in range(0, len(part), step):
            piece = part[start : start + step]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if camera.chunked else piece)


def _shut_down(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # already gone
        sock.shutdown(socket.SHUT_RDWR)
