"""Debian's nginx, run from a folder of its own with the example configuration."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
from pathlib import Path
from types import TracebackType

from tests.leaks import wait_until
from tests.needs import need
from tests.server import CHECKOUT, END_WITH_US

EXAMPLE = CHECKOUT / "examples" / "nginx" / "stream-server.conf"

_MAIN = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 256; }}
http {{
    access_log off;
    {temporary}
    include {folder}/stream-server.conf;
}}
"""
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class Nginx:
    """nginx before the server on `upstream_port`, on a free port of 127.0.0.1, with the example's settings.

    Only ports and paths are replaced in the example.
    """

    def __init__(self, folder: Path, upstream_port: int) -> None:
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        example = EXAMPLE.read_text()
        for old, new in (
            ("127.0.0.1:8080;", f"127.0.0.1:{upstream_port};"),
            ("listen 80;", f"listen 127.0.0.1:{self.port};"),
        ):
            assert example.count(old) == 1, old
            example = example.replace(old, new)
        (folder / "stream-server.conf").write_text(example)
        temporary = " ".join(f"{name}_temp_path {folder}/{name};" for name in _TEMPORARY)
        main = _MAIN.format(folder=folder, temporary=temporary)
        if os.geteuid() == 0:
            main = f"user {pwd.getpwuid(0).pw_name};{main}"
        (folder / "nginx.conf").write_text(main)
        nginx = need("nginx")
        self._command = [*END_WITH_US, nginx, "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]

    def __enter__(self) -> Nginx:
        self.process = subprocess.Popen(self._command, stderr=subprocess.PIPE, text=True)
        if not wait_until(lambda: _listens(self.port) or self.process.poll() is not None, 10):
            self.__exit__(None, None, None)
        assert self.process.poll() is None, self.process.communicate()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.terminate()
        self.process.communicate(timeout=10)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0
