"""Debian's nginx, run from a folder of its own with the example configuration."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import TYPE_CHECKING

from tests.support.leaks import wait_until
from tests.support.needs import need
from tests.support.paths import CHECKOUT
from tests.support.server import END_WITH_US

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


class Running:
    """A proxy in the foreground, by `command`, on `port` of 127.0.0.1; entering waits until it listens."""

    def __init__(self, port: int, command: list[str]) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._command = [*END_WITH_US, *command]

    def __enter__(self) -> Self:
        self._log = TemporaryFile("w+")
        self.process = subprocess.Popen(self._command, stdout=self._log, stderr=self._log)
        wait_until(lambda: listens(self.port) or self.process.poll() is not None)
        if not listens(self.port):
            self.__exit__(None, None, None)
            raise AssertionError(self.said)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.terminate()
        self.process.wait(10)
        self._log.seek(0)
        self.said = self._log.read()
        self._log.close()


class _NginxRunning(Running):
    """nginx with `server_blocks` of configuration, on a free port of 127.0.0.1 ({port}) from `folder`."""

    def __init__(self, folder: Path, server_blocks: str, port: int) -> None:
        (folder / "stream-server.conf").write_text(server_blocks)
        temporary = " ".join(f"{name}_temp_path {folder}/{name};" for name in _TEMPORARY)
        main = _MAIN.format(folder=folder, temporary=temporary)
        if os.geteuid() == 0:
            main = f"user {pwd.getpwuid(0).pw_name};{main}"
        (folder / "nginx.conf").write_text(main)
        super().__init__(port, [need("nginx"), "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"])


class Nginx(_NginxRunning):
    """nginx before the server on `upstream_port`, with the example's settings.

    Only ports and paths are replaced in the example.
    """

    def __init__(self, folder: Path, upstream_port: int) -> None:
        port = free_port()
        changes = {
            "127.0.0.1:8080;": f"127.0.0.1:{upstream_port};",
            "listen 80;": f"listen 127.0.0.1:{port};",
        }
        super().__init__(folder, changed(EXAMPLE, changes), port)


class NginxFiles(_NginxRunning):
    """nginx serving the files in `root`; locations: more of its configuration."""

    def __init__(self, folder: Path, root: Path, locations: str = "") -> None:
        port = free_port()
        super().__init__(folder, f"server {{ listen 127.0.0.1:{port}; root {root}; {locations} }}", port)


def changed(example: Path, changes: Mapping[str, str]) -> str:
    """Return the text of `example`, in which each key of `changes`, which must be there, is its value."""
    text = example.read_text()
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0
