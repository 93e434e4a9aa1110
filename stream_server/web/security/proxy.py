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

from stream_server.accounts.accounts import is_loopback
from stream_server.config import ServerConfig
from stream_server.config.addresses import DEFAULT_PORTS, PREFIX_PATTERN
from stream_server.web.context import engine

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_SENT_HOST = "stream_server.sent_host"
MAX_PORT = 65535
_NAMES_CLIENT = "stream_server.proxy_names_client"
_UNDERSTOOD = {
    "HTTP_X_FORWARDED_PROTO": re.compile("https?"),
    "HTTP_X_FORWARDED_HOST": re.compile(r"([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"),
    "HTTP_X_FORWARDED_PREFIX": re.compile(PREFIX_PATTERN),
}
"""What may stand in a header; below a prefix //elsewhere.example, pages would load scripts from there."""
_TRACES = re.compile(
    "HTTP_(X_FORWARDED.*|FORWARDED.*|VIA|X_PROXY.*|(X_)?REAL_IP|.*CLIENT_IP|.*CONNECTING_IP|X_ORIGINAL_.*"
    "|X_ENVOY_.*|X_ARR_.*|X_AMZN_.*|X_SCHEME|X_URL_SCHEME|CF_.*|CDN_LOOP|TAILSCALE_.*|FRONT_END_HTTPS"
    "|X_NGINX_.*|X_SSL.*|X_HTTPS|X_HOST|X_REMOTE_.*|X_VARNISH|X_AZURE_.*|X_VERCEL_.*|FASTLY_.*|FLY_.*"
    "|(X_)?REMOTE_USER|X_AUTH_REQUEST_.*|X_REWRITE_URL|SURROGATE_CAPABILITY)"
)
"""Headers that proxies add and no client of its own."""
_ADDRESS_TRACES = re.compile("HTTP_(FORWARDED|(X_)?REAL_IP|.*CLIENT_IP|.*CONNECTING_IP)")
"""Those among them that say who asked; a proxy that passes on what another one said may leave them."""


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
        if "HTTP_X_FORWARDED_FOR" in environ:
            client = self._client(environ)
            environ[_NAMES_CLIENT] = client is not None
            environ["HTTP_X_FORWARDED_FOR"] = client or environ["REMOTE_ADDR"]
        _keep_understood(environ)
        return self._fix(environ, start_response)

    def _trusts(self, address: IPv4Address | IPv6Address | None) -> bool:
        return address is not None and any(address in network for network in self._trusted)

    def _client(self, environ: WSGIEnvironment) -> str | None:
        """Return the nearest address that is no trusted proxy's; what lies beyond it may be made up.

        None: the proxy names none.
        """
        client: str | None = None
        for hop in reversed(environ["HTTP_X_FORWARDED_FOR"].split(",")):
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


def is_from_this_machine() -> bool:
    """Return whether the client of the current request is on this machine, as far as can be told.

    Loopback is where local proxies are too. Those add headers, or pass on the name that their client asked
    for. nginx did neither by default: it asked by HTTP/1.0 and closed, as hardly a client of today does.
    Those that put our name for it (nginx since 1.29.7, some tunnels) show by their clients' browsers alone.
    """
    return (
        is_loopback(request.remote_addr or "")
        and _is_loopback_name(sent_host())
        and not any(map(_tells_of_a_proxy, request.environ))
        and not _asks_as_nginx_does(request.environ)
        and not any(map(_names_another_address, ("HTTP_ORIGIN", "HTTP_REFERER")))
    )


def _tells_of_a_proxy(key: str) -> bool:
    """Return whether a header is a proxy's; a trusted one that says who asks may send all else."""
    if not request.environ.get(_NAMES_CLIENT):
        return _TRACES.fullmatch(key) is not None
    return _ADDRESS_TRACES.fullmatch(key) is not None and not is_loopback(request.environ[key])


def _asks_as_nginx_does(environ: WSGIEnvironment) -> bool:
    """Return whether this is the default of ngx_http_proxy_module before version 1.29.7."""
    closes = environ.get("HTTP_CONNECTION", "").lower() == "close"
    return closes and environ.get("SERVER_PROTOCOL") == "HTTP/1.0" and not environ.get(_NAMES_CLIENT)


def _names_another_address(key: str) -> bool:
    """Return whether a page of ours says that it was loaded from elsewhere than this machine.

    Pages of other sites may show our pictures: browsers tell those that they load from loopback addresses
    (Sec-Fetch-Site; Fetch Metadata), some not with WebSockets. Where nothing is told, the address is none.
    """
    embedding = engine().config.server.embed_origins
    if "*" in embedding or request.headers.get("Origin") in embedding:
        return False
    if request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
        return False
    try:
        host = urlsplit(request.environ.get(key, "")).hostname
    except ValueError:
        return True
    return host is not None and not _is_loopback_name(host)


def _is_loopback_name(host: str) -> bool:
    """Return whether a Host header names this machine to itself (RFC 6761, section 6.3); none may be sent."""
    name = re.sub(r":\d*$", "", host).strip("[]").lower().rstrip(".")
    return not name or is_loopback(name) or name.endswith(".localhost")


def sent_host() -> str:
    """Return the name and port by which the client asked; empty where it gave none."""
    host: str = request.environ.get(_SENT_HOST, "")
    return host


def own_hosts() -> frozenset[str]:
    """Return by which names, with ports, this server goes: the one asked for, and the public one."""
    return frozenset((sent_host(), request.host))


def is_own_origin(origin: str) -> bool:
    """Return whether an Origin header is that of a page of this server."""
    try:
        return urlsplit(origin).netloc in own_hosts()
    except ValueError:  # as of http://[
        return False


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
        if pattern.fullmatch(value) and _has_port_if_any(value):
            environ[key] = value


def _has_port_if_any(host: str) -> bool:
    """Return whether a number behind the last colon, if there is one, is a port."""
    port = re.search(r":([0-9]{1,5})$", host)
    return port is None or 0 < int(port[1]) <= MAX_PORT


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
