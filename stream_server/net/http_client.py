"""Asks a camera over HTTP: credentials, redirects, kept connections, and errors in words."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from stream_server.errors import AuthenticationFailed, SourceError
from stream_server.net.body import Body, BodyTooLong, DamagedBody
from stream_server.net.cookies import Cookies
from stream_server.net.deadline_socket import DeadlineConnection, DeadlineSocket
from stream_server.net.http_auth import Credentials, name_troubles, parse_challenges

MAX_REDIRECTS = 3

_MAX_REST_BYTES: Final = 64 * 1024
"""A longer rest of an answer costs more to read than a new connection."""
_LOST: Final = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_SUCCESSES: Final = frozenset({200, 206, 304})
_HEADERS: Final = {
    "User-Agent": "stream-server",
    "Accept": "multipart/x-mixed-replace, image/jpeg, */*;q=0.1",
}
_PRINTABLE: Final = "".join(map(chr, range(0x21, 0x7F)))


class Answer:
    """What a camera answered; its body is read from the thread that asked, before the next request."""

    def __init__(self, client: CameraClient, response: http.client.HTTPResponse, url: str) -> None:
        """url: where it was found in the end, after redirects."""
        self.url = url
        self.status = response.status
        self.headers = response.headers
        #: Bytes of the body as the header claims, None where it does not.
        self.length = response.length
        self._client = client
        self._body = Body(response)
        self._peeked = b""
        self._failure: SourceError | None = None  # met by `peek`

    def peek(self, count: int) -> bytes:
        """Return at least `count` bytes of the body, fewer where it ends; they are read later all the same.

        Raises TimeoutError; what else goes wrong is for who reads.
        """
        try:
            while len(self._peeked) < count and (more := self._read()):
                self._peeked += more
        except SourceError as exc:
            self._failure = exc
        return self._peeked

    def read(self) -> bytes:
        """Return what came of the body, b"" at its end. Raises SourceError, TimeoutError."""
        peeked, self._peeked = self._peeked, b""
        return peeked or self._read()

    def _read(self) -> bytes:
        if self._failure:
            raise self._failure
        with self._client.reported():
            return self._body.read()

    def read_whole(self, max_bytes: int, what: str) -> bytes:
        """Return all of the body. Raises SourceError that calls it `what`, TimeoutError."""
        with self._client.reported():
            try:
                peeked, self._peeked = self._peeked, b""
                return peeked + self._body.read_whole(max_bytes - len(peeked))
            except BodyTooLong:
                raise SourceError(f"the camera's {what} is longer than {max_bytes >> 20} MiB") from None
            except http.client.IncompleteRead:
                raise SourceError(f"the camera closed the connection in the middle of a {what}") from None


class CameraClient:
    """Gets one address of a camera, again and again over one connection while the camera keeps it.

    Cookies that its answers set are kept as long as the client. Everything but `interrupt` is called from one
    thread. Foreign errors become SourceError, whose text names host and port but neither path nor query; only
    TimeoutError is left for the caller, who knows what was waited for.
    """

    def __init__(self, url: str, credentials: Credentials | None = None, *, verify_tls: bool = True) -> None:
        self._url = url
        self._host = urlsplit(url).hostname
        self._credentials = credentials
        self._cookies = Cookies()
        self._verify_tls = verify_tls
        self._wire = DeadlineSocket()
        self._connection: DeadlineConnection | None = None
        self._origin = ("", "")
        self._response: http.client.HTTPResponse | None = None
        self._was_user_told = False
        self._reach: int | None = None

    def allow(self, seconds: float) -> None:
        """Give what follows so much time, all together."""
        self._wire.deadline = time.monotonic() + seconds

    def pause(self, seconds: float) -> None:
        """Wait, at most until interrupted, which raises SourceError."""
        self._wire.pause(seconds)

    @property
    def has_credentials(self) -> bool:
        """Whether there is a user whose account too many refused requests could lock."""
        return self._credentials is not None

    def get(self, headers: Mapping[str, str] | None = None, *, led_to: str | None = None) -> Answer:
        """Return the answer, its body unread: of status 200, or 206 or 304 where `headers` asked for that.

        Follows redirects and answers challenges, each only as far as is safe.

        led_to: an address the camera named, to be got instead of its own under the rules for redirects.

        Raises AuthenticationFailed, SourceError and TimeoutError.
        """
        url = _redirected(self._url, led_to) if led_to else self._url
        with self.reported():
            for _ in range(MAX_REDIRECTS + 1):
                response = self._get_authorised(url, headers or {})
                location = response.headers.get("Location")
                if response.status not in _REDIRECTS or not location:
                    self._check(response)
                    return Answer(self, response, url)
                url = _redirected(url, location)
        raise SourceError(f"the camera redirects more than {MAX_REDIRECTS} times")

    def interrupt(self) -> None:
        """End what waits and all that is begun later; any thread may call it."""
        self._wire.interrupt()

    def close(self) -> None:
        """Close the connection; may be called twice."""
        self._response = None
        if self._connection is not None:
            self._connection.close()
        self._wire.hang_up()

    def _get_authorised(self, url: str, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        """Ask, and answer one challenge; a second only if it says that the first answer came too late.

        Cameras lock accounts after a few wrong passwords, so a refused one is never sent again.
        """
        credentials = self._credentials if urlsplit(url).hostname == self._host else None
        response = self._exchange(url, headers, credentials)
        answered = 0
        while response.status == http.HTTPStatus.UNAUTHORIZED:
            challenges = parse_challenges(response.headers.get_all("WWW-Authenticate", []))
            if credentials is None:
                raise AuthenticationFailed("the camera asks for a user name and password")
            if answered > 1 or (answered == 1 and not any(c.is_stale for c in challenges)):
                raise AuthenticationFailed("the camera refuses the user name or password")
            if not credentials.take(challenges):
                raise AuthenticationFailed(name_troubles(challenges))
            answered += 1
            response = self._exchange(url, headers, credentials)
        return response

    def _exchange(
        self, url: str, headers: Mapping[str, str], credentials: Credentials | None
    ) -> http.client.HTTPResponse:
        connection = self._connection_to(urlsplit(url))
        was_kept = connection.sock is not None
        try:
            return self._send(connection, url, headers, credentials)
        except _LOST:
            connection.close()
            if not was_kept:
                raise
            return self._send(connection, url, headers, credentials)  # a camera may end what it kept

    def _send(
        self,
        connection: DeadlineConnection,
        url: str,
        headers: Mapping[str, str],
        credentials: Credentials | None,
    ) -> http.client.HTTPResponse:
        target = _target(url)
        all_headers: dict[str, str | bytes] = {**_HEADERS, **headers}
        authorization = credentials.authorization("GET", target) if credentials else None
        self._was_user_told = authorization is not None
        if authorization:
            all_headers["Authorization"] = authorization.encode()
        if cookie := self._cookies.header(url):
            all_headers["Cookie"] = cookie
        if connection.sock is None:
            connection.connect()
            self._check_reach()
        connection.request("GET", target, headers=all_headers)
        self._response = response = connection.getresponse()
        self._cookies.take(url, response)
        return response

    def _connection_to(self, url: SplitResult) -> DeadlineConnection:
        origin = (url.scheme, url.netloc)
        if self._connection is None or origin != self._origin or not self._has_read_all():
            self.close()
            tls = _tls_context(self._verify_tls) if url.scheme == "https" else None
            host = unquote(url.hostname or "")
            self._connection, self._origin = DeadlineConnection(self._wire, host, url.port, tls), origin
        return self._connection

    def _has_read_all(self) -> bool:
        """Return whether the last answer lets the connection be used again; read the rest of a short one."""
        response = self._response
        is_over = self._connection is None or self._connection.sock is None
        if response is None or is_over or response.isclosed():
            return True
        if response.length is None and not response.chunked:
            return False  # the connection's end is the answer's
        if (response.length or 0) <= _MAX_REST_BYTES:
            with contextlib.suppress(http.client.HTTPException, ConnectionError):
                response.read(_MAX_REST_BYTES)
        if response.length == 0:
            response.close()
        return response.isclosed()

    def _check_reach(self) -> None:
        """Refuse to be led from the configured address to a more private network (SSRF)."""
        reach = _reach(self._wire.peer)
        if self._reach is None:
            self._reach = reach
        elif reach > self._reach:
            raise SourceError("the camera redirects into a more private network, which is refused")

    def _check(self, response: http.client.HTTPResponse) -> None:
        if response.status == http.HTTPStatus.FORBIDDEN:
            what = "this user to see the picture" if self._was_user_told else "access to the picture"
            raise AuthenticationFailed(f"the camera forbids {what} (403)")
        if response.status not in _SUCCESSES:
            reason = " ".join(response.reason.split())[:60]
            raise SourceError(f"the camera answers {response.status} {reason}".rstrip())

    @contextlib.contextmanager
    def reported(self) -> Iterator[None]:
        """Turn foreign errors into SourceError, but for TimeoutError."""
        try:
            yield
        except (OSError, http.client.HTTPException, ValueError) as exc:
            if self._wire.is_interrupted:
                raise SourceError("interrupted") from None
            if isinstance(exc, TimeoutError):
                raise
            url = urlsplit("//" + (self._origin[1] or urlsplit(self._url).netloc))
            raise SourceError(f"{url.netloc}: {_cause(exc)}") from exc


def _cause(error: Exception) -> str:
    """Return in a few words what went wrong; never what was asked for or sent."""
    match error:
        case ssl.SSLCertVerificationError():
            cause = f"its certificate is not trusted ({error.verify_message}); `verify_tls: false` takes any"
        case ssl.SSLError():
            cause = f"TLS failed ({error.reason or 'the connection ended'}); is this https?"
        case socket.gaierror():
            cause = "this name is not known"
        case http.client.RemoteDisconnected():
            cause = "closed the connection without an answer"
        case OSError():
            cause = (error.strerror or type(error).__name__).lower()
        case http.client.IncompleteRead():
            cause = "closed the connection in the middle"
        case DamagedBody():
            cause = f"what it sends cannot be unpacked ({error})"
        case http.client.HTTPException():
            cause = f"does not speak HTTP ({type(error).__name__})"
        case UnicodeError():
            cause = "is not a usable host name"
        case _:
            cause = "cannot be asked with this address or user name"
    return cause


def _redirected(url: str, location: str) -> str:
    try:
        target = urljoin(url, location.strip())
        before, after = urlsplit(url), urlsplit(target)
        is_usable = bool(after.hostname) and after.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise SourceError("the camera redirects to something that is no address")
    if after.scheme not in (before.scheme, "https"):
        raise SourceError(f"the camera redirects from {before.scheme} to {after.scheme}, which is refused")
    return after._replace(netloc=after.netloc.rpartition("@")[2]).geturl()


def _target(url: str) -> str:
    """Return path and query as they stand in the request line: ASCII, what is escaped left as it is."""
    parts = urlsplit(url)
    path = parts.path or "/"
    return quote(f"{path}?{parts.query}" if parts.query else path, safe=_PRINTABLE)


def _reach(address: str) -> int:
    """Return how private an IP address is: 0 the internet, 1 a private network, 2 this machine or link."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(ip, "ipv4_mapped", None)
    ip = mapped or ip
    if ip.is_loopback or ip.is_link_local or ip.is_unspecified or ip.is_multicast:
        return 2
    return 0 if ip.is_global else 1


def _tls_context(verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
