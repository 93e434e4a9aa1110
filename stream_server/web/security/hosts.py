"""Under which names the server may be asked.

A page can let its own name lead to an address of the visitor's network, and then read there as if it came
from that server (DNS rebinding). Who asks by an address, or a name nobody can register, is no such page.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from flask import abort

from stream_server.config import ServerConfig
from stream_server.web.context import engine
from stream_server.web.security.proxy import sent_host

_PRIVATE = (".local", ".localhost", ".home.arpa", ".internal", ".lan")
"""Ends of names that are not in the public DNS (RFC 6762, 6761, 8375; ICANN has set .internal aside)."""


def check_host() -> None:
    """Answer 421 (RFC 9110, section 15.5.20) where the current request asks for another server."""
    name = re.sub(r":\d*$", "", sent_host()).lower().rstrip(".")
    if not is_known(name, engine().config.server):
        abort(421, f"this server is not {name!r}, unless server.public_url or server.allowed_hosts says so")


def is_known(name: str, server: ServerConfig) -> bool:
    """Return whether `name`, in lower case and without a port, means this server or can mean no page's."""
    known = {server.host.lower(), urlsplit(server.public_url or "").hostname, *server.allowed_hosts}
    if "." not in name or name in known or "*" in known:
        return True  # of names without a dot browsers ask the local network; IPv6 addresses have none either
    return name.endswith(_PRIVATE) or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
