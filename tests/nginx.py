"""Debian's nginx, run from a folder of its own with the example configuration."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from tests.leaks import wait_until
from tests.needs import need
from tests.server import CHECKOUT, END_WITH_US

if TYPE_CHECKING:
    from typing_extensions import Self

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


class _Running:
    """nginx with `server_blocks` of configuration, on a free port of 127.0.0.1 ({port}) from `folder`."""

    def __init__(self, folder: Path, server_blocks: str, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        (folder / "stream-server.conf").write_text(server_blocks)
        temporary = " ".join(f"{name}_temp_path {folder}/{name};" for name in _TEMPORARY)
        main = _MAIN.format(folder=folder, temporary=temporary)
        if os.geteuid() == 0:
            main = f"user {pwd.getpwuid(0).pw_name};{main}"
        (folder / "nginx.conf").write_text(main)
        nginx = need("nginx")
        self._command = [*END_WITH_US, nginx, "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(self._command, stderr=subprocess.PIPE, text=True)
        if not wait_until(lambda: _listens(self.port) or self.process.poll() is not None):
            self.__exit__(None, None, None)
        assert self.process.poll() is None, self.process.communicate()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.terminate()
        self.process.communicate(timeout=10)


class Nginx(_Running):
    """nginx before the server on `upstream_port`, with the example's settings.

    Only ports and paths are replaced in the example.
    """

    def __init__(self, folder: Path, upstream_port: int) -> None:
        port = _free_port()
        example = EXAMPLE.read_text()
        for old, new in (
            ("127.0.0.1:8080;", f"127.0.0.1:{upstream_port};"),
            ("listen 80;", f"listen 127.0.0.1:{port};"),
        ):
            assert example.count(old) == 1, old
            example = example.replace(old, new)
        super().__init__(folder, example, port)


class NginxFiles(_Running):
    """nginx serving the files in `root`; locations: more of its configuration."""

    def __init__(self, folder: Path, root: Path, locations: str = "") -> None:
        port = _free_port()
        super().__init__(folder, f"server {{ listen 127.0.0.1:{port}; root {root}; {locations} }}", port)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0
