"""Proxies as they are with no more settings than they need: what they listen on, and where they pass it."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
from pathlib import Path
from types import TracebackType

from tests.support.leaks import wait_until
from tests.support.needs import need
from tests.support.server import END_WITH_US

_NGINX = """
{user}
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{
        listen {port};
        location / {{ proxy_pass http://127.0.0.1:{upstream}; }}
    }}
}}
"""
_HAPROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 10s
    timeout server 10s
frontend front
    bind *:{port}
    default_backend back
backend back
    server one 127.0.0.1:{upstream}
"""
_CADDY = """
{{
    admin off
    storage file_system {folder}
}}
http://:{port} {{
    reverse_proxy 127.0.0.1:{upstream}
}}
"""
_APACHE = """
ServerRoot {folder}
ServerName localhost
PidFile {folder}/apache.pid
ErrorLog /dev/stderr
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
StartServers 1
Listen {port}
ProxyPass / http://127.0.0.1:{upstream}/
"""
_CONFIGS = {
    "nginx": (_NGINX, ("nginx", "-c", "{file}", "-p", "{folder}", "-e", "stderr")),
    "haproxy": (_HAPROXY, ("haproxy", "-db", "-f", "{file}")),
    "caddy": (_CADDY, ("caddy", "run", "--adapter", "caddyfile", "--config", "{file}")),
    "apache2": (_APACHE, ("apache2", "-f", "{file}", "-DFOREGROUND")),
}


class Proxy:
    """The Debian package `kind` before the server on `upstream`, on a free port of all networks."""

    def __init__(self, kind: str, folder: Path, upstream: int) -> None:
        with socket.create_server(("", 0)) as taken:
            self.port: int = taken.getsockname()[1]
        config, (program, *arguments) = _CONFIGS[kind]
        user = f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""
        file = folder / f"{kind}.conf"
        file.write_text(config.format(folder=folder, port=self.port, upstream=upstream, user=user))
        told = (part.format(file=file, folder=folder) for part in arguments)
        self._command = [*END_WITH_US, need(program), *told]
        self._environment = {**os.environ, "HOME": str(folder)}

    def __enter__(self) -> Proxy:
        self.process = subprocess.Popen(
            self._command, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        if not wait_until(lambda: self._listens() or self.process.poll() is not None, 10):
            self.__exit__(None, None, None)
        assert self.process.poll() is None, self.process.communicate()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.terminate()
        self.process.communicate(timeout=10)

    def _listens(self) -> bool:
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0
