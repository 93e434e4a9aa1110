"""Pictures fetched from addresses that somebody names: never from where they were not allowed to.

What is checked is what is connected to: a name is resolved once, and the connection goes to that very address
(DNS rebinding). A redirect is checked like the address before it. All refusals read alike, so that nobody
learns from them what there is in a private network (OWASP, Server-Side Request Forgery Prevention).
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import closing, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urljoin, urlsplit

from stream_server.config import ApiConfig
from stream_server.errors import ImageTooLarge, OptionError, StreamServerError
from stream_server.net.body import Body, BodyTooLong
from stream_server.net.deadline_socket import DeadlineConnection, DeadlineSocket

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_REDIRECTS: Final = 3
REFUSAL: Final = "is not fetched; api.url_hosts in the configuration names the hosts from which pictures are"

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_PORTS: Final = {"http": 80, "https": 443}
_NAT64: Final = IPv6Network("64:ff9b::/96")
"""RFC 6052: the last 32 bits are an IPv4 address."""

Address = IPv4Address | IPv6Address


class FetchTimeout(StreamServerError):
    """The picture did not come in time."""


def resolve(host: str, port: int) -> list[Address]:
    """Return the addresses of `host`. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches what `config.url_hosts` allows, of `max_bytes` at most; from any thread."""

    config: ApiConfig
    max_bytes: int
    resolve: Callable[[str, int], list[Address]] = resolve

    def fetch(self, url: str, field: str = "url") -> bytes:
        """Return what is at `url`.

        field: what messages call it.

        Raises OptionError for an address that is refused or gives no answer to be used, ImageTooLarge,
        FetchTimeout.
        """
        until = time.monotonic() + self.config.url_timeout_s
        try:
            for _ in range(MAX_REDIRECTS + 1):
                found = self._get(url, until)
                if isinstance(found, bytes):
                    return found
                url = urljoin(url, found)
        except TimeoutError:
            raise FetchTimeout(f"{field}: no answer in {self.config.url_timeout_s:g} s") from None
        except ssl.SSLCertVerificationError as exc:
            raise OptionError(field, f"its certificate is not trusted ({exc.verify_message})") from None
        except (OSError, http.client.HTTPException) as exc:
            raise OptionError(field, f"could not be fetched ({type(exc).__name__})") from None
        except (_Refused, UnicodeError, ValueError):
            raise OptionError(field, REFUSAL) from None
        except _Useless as exc:
            raise OptionError(field, str(exc)) from None
        except ImageTooLarge as exc:
            exc.field = field
            raise
        raise OptionError(field, f"redirects more than {MAX_REDIRECTS} times")

    def _get(self, url: str, until: float) -> bytes | str:
        """Return what is at `url`, or where it redirects to."""
        parts = urlsplit(url)
        address = self._allowed_address(parts)
        with self._answer(parts, address, until) as answer:
            if answer.status in _REDIRECTS:
                return answer.headers.get("Location") or ""
            if answer.status != http.HTTPStatus.OK:
                raise _Useless(f"is answered with {answer.status}")
            if (answer.length or 0) > self.max_bytes:
                raise _too_large(self.max_bytes)
            try:
                return Body(answer).read_whole(self.max_bytes)
            except BodyTooLong:
                raise _too_large(self.max_bytes) from None

    def _allowed_address(self, url: SplitResult) -> Address:
        """Return the address to connect to. Raises _Refused, also when any of several is not allowed."""
        host = (url.hostname or "").rstrip(".")
        if url.scheme not in _PORTS or not host or url.username is not None or url.port == 0:
            raise _Refused
        if not self._is_named(host):
            raise _Refused
        try:
            addresses = self.resolve(host, url.port or _PORTS[url.scheme])
        except OSError:
            raise _Refused from None
        if not addresses or not all(map(self._is_reachable, addresses)):
            raise _Refused
        return addresses[0]

    def _is_named(self, host: str) -> bool:
        if any(name in ("*", host, f"[{host}]") for name in self.config.url_hosts if isinstance(name, str)):
            return True
        try:
            address = ip_address(host)
        except ValueError:
            return False
        return self._is_in_a_named_network(address)

    def _is_reachable(self, address: Address) -> bool:
        return is_public(address) or self._is_in_a_named_network(address)

    def _is_in_a_named_network(self, address: Address) -> bool:
        networks = (network for network in self.config.url_hosts if not isinstance(network, str))
        return any(address in network for network in networks)

    @contextmanager
    def _answer(self, url: SplitResult, address: Address, until: float) -> Iterator[http.client.HTTPResponse]:
        wire = DeadlineSocket()
        wire.deadline = until
        tls = ssl.create_default_context() if url.scheme == "https" else None
        connection = DeadlineConnection(wire, url.hostname or "", url.port, tls, address=str(address))
        try:
            target = (url.path or "/") + (f"?{url.query}" if url.query else "")
            connection.request("GET", target, headers={"Accept": "image/*", "User-Agent": "stream-server"})
            with closing(connection.getresponse()) as answer:
                yield answer
        finally:
            connection.close()
            wire.hang_up()


class _Refused(Exception):
    """It is not said why."""


class _Useless(Exception):
    """What an allowed host answered is of no use."""


def is_public(address: Address) -> bool:
    """Return whether an address is on the Internet, also when one of another kind is written within it."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is None and address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast


def _too_large(limit: int) -> ImageTooLarge:
    return ImageTooLarge(f"has more than {limit} bytes", limit)
