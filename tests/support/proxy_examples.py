"""Debian's Caddy, HAProxy and Apache, each run from a folder of its own with the example configuration.

Only ports are replaced in the examples.
"""

from __future__ import annotations

from pathlib import Path

from tests.support.needs import need
from tests.support.nginx import Running, changed, free_port
from tests.support.paths import CHECKOUT

EXAMPLES = CHECKOUT / "examples"
_GLOBAL = """{{
    admin off
    auto_https off
    storage file_system {folder}
}}
"""
_APACHE = """
ServerRoot {folder}
PidFile {folder}/apache.pid
ErrorLog /dev/stderr
Listen 127.0.0.1:{port}
ServerName 127.0.0.1
{modules}
"""
_MODULES = ("mpm_event", "authz_core", "alias", "env", "headers", "proxy", "proxy_http", "proxy_wstunnel")


class Caddy(Running):
    """Caddy before the server on `upstream_port`."""

    def __init__(self, folder: Path, upstream_port: int) -> None:
        port = free_port()
        changes = {"127.0.0.1:8080": f"127.0.0.1:{upstream_port}", ":80 {": f"http://127.0.0.1:{port} {{"}
        file = folder / "Caddyfile"
        file.write_text(_GLOBAL.format(folder=folder) + changed(EXAMPLES / "caddy" / "Caddyfile", changes))
        super().__init__(port, [need("caddy"), "run", "--config", str(file), "--adapter", "caddyfile"])


class HAProxy(Running):
    """HAProxy before the server on `upstream_port`."""

    def __init__(self, folder: Path, upstream_port: int) -> None:
        port = free_port()
        changes = {"127.0.0.1:8080": f"127.0.0.1:{upstream_port}", "bind :80": f"bind 127.0.0.1:{port}"}
        file = folder / "haproxy.cfg"
        file.write_text(changed(EXAMPLES / "haproxy" / "haproxy.cfg", changes))
        super().__init__(port, [need("haproxy"), "-db", "-f", str(file)])


class Apache(Running):
    """Apache before the server on `upstream_port`."""

    def __init__(self, folder: Path, upstream_port: int) -> None:
        port = free_port()
        changes = {"127.0.0.1:8080": f"127.0.0.1:{upstream_port}", "*:80>": f"127.0.0.1:{port}>"}
        modules = "\n".join(
            f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in _MODULES
        )
        main = _APACHE.format(folder=folder, port=port, modules=modules)
        file = folder / "apache.conf"
        file.write_text(main + changed(EXAMPLES / "apache" / "stream-server.conf", changes))
        super().__init__(port, [need("apache2"), "-DFOREGROUND", "-f", str(file)])
