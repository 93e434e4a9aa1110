"""Web addresses in the configuration: of other sites, of this server as others see it, of proxies."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from pydantic import BeforeValidator

_HOST = r"([a-z0-9._-]+|\[[0-9a-f:.]+\])"
_ORIGIN = re.compile(rf"\*|https?://{_HOST}(:[0-9]+)?")
PREFIX_PATTERN = r"(/(?!\.+(/|$))[A-Za-z0-9_.~-]+)+"
"""Of the path below which a server is found; no //, after which a host would follow."""
_PUBLIC_URL = re.compile(
    rf"(?P<scheme>https?)://(?P<host>{_HOST})(:(?P<port>[0-9]{{1,5}}))?(?P<prefix>{PREFIX_PATTERN})?"
)
DEFAULT_PORTS = {"http": 80, "https": 443}


def _check_origin(origin: object) -> str:
    """Return the origin, as browsers send it."""
    text = str(origin).lower().rstrip("/")
    if not _ORIGIN.fullmatch(text):
        raise ValueError("expected scheme and host of a site, e.g. https://home.example:8123, or '*'")
    return text


def _check_public_url(url: object) -> str:
    """Return the address without what need not be said: a slash at its end, its scheme's own port."""
    scheme, slashes, rest = str(url).rstrip("/").partition("://")
    host, slash, prefix = rest.partition("/")
    found = _PUBLIC_URL.fullmatch(scheme.lower() + slashes + host.lower() + slash + prefix)
    port = int((found and found["port"]) or 1)
    if not found or not 0 < port <= 65535:
        raise ValueError("expected http(s)://HOST[:PORT][/PREFIX], e.g. https://home.example/cams")
    shown_port = f":{port}" if found["port"] and port != DEFAULT_PORTS[found["scheme"]] else ""
    return f"{found['scheme']}://{found['host']}{shown_port}{found['prefix'] or ''}"


def _check_host(host: object) -> str:
    """Return the name of a server, as it is compared."""
    text = str(host).lower().rstrip(".")
    if text != "*" and not re.fullmatch(_HOST, text):
        raise ValueError("expected a name without scheme and port, e.g. cams.home.example, or '*'")
    return text


def _check_network(network: object) -> IPv4Network | IPv6Network:
    try:
        return ip_network(str(network))
    except ValueError:
        raise ValueError("expected an IP address or network, e.g. 127.0.0.1 or 10.0.0.0/8") from None


def _check_host_or_network(value: object) -> str | IPv4Network | IPv6Network:
    try:
        return _check_network(value)
    except ValueError:
        return _check_host(value)


Origin = Annotated[str, BeforeValidator(_check_origin)]
"""Scheme, host and port of a site, or `*` for any."""
Host = Annotated[str, BeforeValidator(_check_host)]
"""Name of a server, or `*` for any."""
PublicURL = Annotated[str, BeforeValidator(_check_public_url)]
"""Scheme, host, port and path, without a slash at the end."""
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_check_network)]
"""An IP network; an address is one of a single member."""
HostOrNetwork = Annotated[str | IPv4Network | IPv6Network, BeforeValidator(_check_host_or_network)]
"""A host's name, an IP network, or `*`."""
