"""Requests as clients made them, behind proxies: who asks, under which address, below which prefix.

A proxy that `server.trusted_proxies` names is believed what its X-Forwarded-For, -Proto, -Host and -Prefix
say, nobody else is. `server.public_url` wins over the last three. Either prefix becomes SCRIPT_NAME, so that
`url_for` gives addresses that work for the client; a proxy may take it off the path or leave it there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import request
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import Map

from stream_server.addresses import DEFAULT_PORTS, PREFIX_PATTERN
from stream_server.config import ServerConfig

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_SENT_HOST = "stream_server.sent_host"
_IS_TRUSTED = "stream_server.is_trusted_proxy"
_UNDERSTOOD = {
    "HTTP_X_FORWARDED_PROTO": re.compile("https?"),
    "HTTP_X_FORWARDED_HOST": re.compile(r"([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"),
    "HTTP_X_FORWARDED_PREFIX": re.compile(PREFIX_PATTERN),
}
"""What may stand in a header; below a prefix //elsewhere.example, pages would load scripts from there."""


class BehindProxies:
    """WSGI middleware; see the module."""

    def __init__(self, app: WSGIApplication, server: ServerConfig, routes: Map) -> None:
        """Stand before `app`, whose routes are `routes`."""
        self._app = app
        self._routes = routes
        self._trusted = server.trusted_proxies
        self._public = _public_environ(server.public_url) if server.public_url else {}
        self._fix = ProxyFix(self._pass_on, x_for=1, x_proto=1, x_host=1, x_prefix=1)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer the request as it was made to the outermost trusted proxy."""
        if not self._trusts(_address(environ.get("REMOTE_ADDR", ""))):
            return self._pass_on(environ, start_response)
        environ[_IS_TRUSTED] = True
        environ["HTTP_X_FORWARDED_FOR"] = self._client(environ)
        _keep_understood(environ)
        return self._fix(environ, start_response)

    def _trusts(self, address: IPv4Address | IPv6Address | None) -> bool:
        return address is not None and any(address in network for network in self._trusted)

    def _client(self, environ: WSGIEnvironment) -> str:
        """Return the nearest address that is no trusted proxy's; what lies beyond it may be made up."""
        client: str = environ["REMOTE_ADDR"]
        for hop in reversed(environ.get("HTTP_X_FORWARDED_FOR", "").split(",")):
            address = _address(hop)
            if address is None:
                break
            client = str(address)
            if not self._trusts(address):
                break
        return client

    def _pass_on(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ[_SENT_HOST] = environ.get("HTTP_HOST", "")
        environ.update(self._public)
        prefix, path = environ.get("SCRIPT_NAME", ""), environ.get("PATH_INFO", "")
        if prefix and f"{path}/".startswith(f"{prefix}/") and not self._is_route(path):
            environ["PATH_INFO"] = path[len(prefix) :]
        return self._app(environ, start_response)

    def _is_route(self, path: str) -> bool:
        """Whether `path` means something as it is, such as /cameras/front where the prefix is /cameras."""
        return self._routes.bind("").test(path)


def came_through_a_stranger() -> bool:
    """Whether a proxy that nobody said to trust, or who claims to be one, passed the current request on."""
    says_so = any(key.startswith(("HTTP_X_FORWARDED", "HTTP_FORWARDED")) for key in request.environ)
    return says_so and _IS_TRUSTED not in request.environ


def sent_host() -> str:
    """Return the name and port by which the client asked; empty where it gave none."""
    host: str = request.environ.get(_SENT_HOST, "")
    return host


def own_hosts() -> frozenset[str]:
    """Return by which names, with ports, this server goes: the one asked for, and the public one."""
    return frozenset((sent_host(), request.host))


def _public_environ(url: str) -> dict[str, str]:
    """Return what the environment of requests to `url` says about it (PEP 3333)."""
    parts = urlsplit(url)
    return {
        "wsgi.url_scheme": parts.scheme,
        "HTTP_HOST": parts.netloc,
        "SERVER_NAME": parts.hostname or "",
        "SERVER_PORT": str(parts.port or DEFAULT_PORTS[parts.scheme]),
        "SCRIPT_NAME": parts.path,
    }


def _keep_understood(environ: WSGIEnvironment) -> None:
    """Leave of each header the value of the nearest proxy, and of those only what is well-formed."""
    for key, pattern in _UNDERSTOOD.items():
        value = environ.pop(key, "").rpartition(",")[2].strip().rstrip("/")
        if pattern.fullmatch(value):
            environ[key] = value


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Return the IP address in `text`, which may be followed by a port; None for anything else."""
    for part in (text, text.rpartition(":")[0]):
        try:
            address = ip_address(part.strip().strip("[]"))
        except ValueError:
            continue
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return mapped or address
    return None
