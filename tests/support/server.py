"""The server as people run it: `stream-server run …` as a process of its own, its log, and its end."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

import pytest

from tests.support.leaks import wait_until
from tests.support.paths import CHECKOUT
from tests.support.patience import PATIENCE_S
from tests.support.processes import Family, parent_of

COMMAND = (sys.executable, "-m", "stream_server")
END_WITH_US = ("setpriv", "--pdeathsig", "TERM") if shutil.which("setpriv") else ()
"""Before a command: a server must not outlive the tests that somebody kills."""


def settings(*assignments: str) -> tuple[str, ...]:
    """Return the options that set each `key=value`."""
    return tuple(part for assignment in assignments for part in ("--set", assignment))


def no_accounts() -> tuple[str, ...]:
    """Return settings of a server without accounts and videos, in a folder of its own that is not there.

    Who tries the checkout out may have made users there, or have a server running.
    """
    folder = f"{tempfile.gettempdir()}/stream-server-test-{uuid4().hex}"
    return settings(f"auth.database=sqlite:///{folder}/accounts.db", f"videos.folder={folder}/videos")


READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 30.0

SMALL_DEMO = settings("cameras.demo={source: 'demo:', width: 320, height: 180, fps: 10}")
"""A camera that costs next to nothing."""
NO_DETECTOR = settings("detector.workers=0")
ONE_WORKER = settings("detector.workers=1")
NINE = [f"cam{number}" for number in range(1, 10)]
NINE_SMALL_DEMOS = settings(
    *(f"cameras.{name}={{source: 'demo:', width: 320, height: 180, fps: 8}}" for name in NINE)
)
"""Nine cameras that cost next to nothing, by the names in `NINE`."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, read to its end; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """`stream-server run` on a free port, in a session of its own; entering waits for its URL.

    arguments: what follows `run --port 0`.
    command: what is run instead of `python -m stream_server`.
    environment: variables on top of the test's own.
    wait: whether entering waits until the server says where to look; else call `wait_until_ready`.
    """

    def __init__(
        self,
        *arguments: str,
        command: Sequence[str] = COMMAND,
        cwd: Path = CHECKOUT,
        environment: Mapping[str, str] | None = None,
        wait: bool = True,
    ) -> None:
        self._command = [*END_WITH_US, *command, "run", "--port", "0", *no_accounts(), *arguments]
        self._cwd = cwd
        self._family = Family()
        self._environment = {**os.environ, **self._family.environment, **(environment or {})}
        self._wait = wait
        self._changed = threading.Condition()  # guards the lines
        self._lines: list[str] = []
        self._is_silent = False
        self.url = ""
        self.port = 0

    def __enter__(self) -> Server:
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(
            self._command,
            cwd=self._cwd,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read_log, name="server-log", daemon=True)
        self._reader.start()
        try:
            if self._wait:
                self.wait_until_ready()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all that runs, however it is doing."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._family.kill()
        self._reader.join(30)
        assert self.process.stderr
        self.process.stderr.close()

    def wait_until_ready(self) -> None:
        """Wait until the server says where to look."""
        self.url = self.wait_for_line(r"(?:Watch|Serving) at (http://[^/\s]+)/", READY_TIMEOUT_S)[1]
        self.port = int(self.url.rpartition(":")[2])

    def _read_log(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            with self._changed:
                self._lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._is_silent = True
            self._changed.notify_all()

    @property
    def log(self) -> list[str]:
        """The lines logged so far."""
        with self._changed:
            return list(self._lines)

    def wait_for_line(
        self, pattern: str | re.Pattern[str], timeout_s: float = PATIENCE_S, since: int = 0
    ) -> re.Match[str]:
        """Return the match of the first log line, from line `since` on, in which `pattern` is found."""

        def find() -> re.Match[str] | None:
            return next((m for line in self._lines[since:] if (m := re.search(pattern, line))), None)

        with self._changed:
            self._changed.wait_for(lambda: find() or self._is_silent, timeout_s)
            found = find()
        assert found, f"no line with {pattern!r} within {timeout_s} s in the log:\n" + "\n".join(self.log)
        return found

    # Processes.

    def family(self) -> set[int]:
        """Return the process ids of the server and of all that came of it, whoever their parent is now."""
        return self._family.members()

    @property
    def web_worker(self) -> int:
        """The process id of the one web worker, forked by the arbiter."""
        (pid,) = {pid for pid in self.family() if parent_of(pid) == self.process.pid}
        return pid

    def stop(self, how: int = signal.SIGTERM, *, group: bool = False) -> tuple[int, float]:
        """Signal the server, with `group` all of it as Ctrl-C does; return exit code and seconds."""
        started = time.monotonic()
        if group:
            os.killpg(self.process.pid, how)
        else:
            self.process.send_signal(how)
        code = self.process.wait(STOP_TIMEOUT_S)
        return code, time.monotonic() - started

    def is_gone(self, timeout_s: float = PATIENCE_S) -> bool:
        """Return whether no process of the server is left, looked at for `timeout_s`."""
        return wait_until(lambda: not self.family(), timeout_s)

    # Requests.

    def get(
        self,
        path: str,
        headers: Mapping[str, str] | None = None,
        *,
        method: str = "GET",
        timeout_s: float = 20,
    ) -> Answer:
        """Return the answer to one request on a connection of its own; fail when it does not end in time."""
        return get(self.port, path, headers, method=method, timeout_s=timeout_s)

    def camera(self, name: str = "demo") -> dict[str, Any]:
        """Return what the API says about a camera."""
        info: dict[str, Any] = self.get(f"/api/v1/cameras/{name}").json
        return info

    @property
    def viewers(self) -> int:
        """How many watch, over all cameras."""
        return sum(camera["viewers"] for camera in self.get("/api/v1/cameras").json["cameras"])

    def has_viewers(self, count: int, within_s: float = PATIENCE_S) -> bool:
        """Return whether so many watch, looked at for `within_s`."""
        return wait_until(lambda: self.viewers == count, within_s)

    def wait_for_camera(
        self, fact: Callable[[dict[str, Any]], bool], timeout_s: float = PATIENCE_S, name: str = "demo"
    ) -> dict[str, Any]:
        """Return what the API says about a camera once `fact` of it is true; fail when it stays untrue."""
        info: dict[str, Any] = {}

        def is_so() -> bool:
            info.update(self.camera(name))
            return fact(info)

        assert wait_until(is_so, timeout_s), info
        return info


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server for all tests of a module, which leave it as it was.

    Its options are those in the module's `pytestmark = pytest.mark.server(*options)`; without, it is a small
    demo that nobody analyses. With `finds=True` in the mark it has found something in the camera `demo`.
    """
    mark = request.node.get_closest_marker("server")
    with Server(*(mark.args if mark else (*SMALL_DEMO, *NO_DETECTOR))) as server:
        if mark and mark.kwargs.get("finds"):
            server.wait_for_camera(lambda info: bool(info["objects"]), 60)
        yield server


def get(
    port: int,
    path: str,
    headers: Mapping[str, str] | None = None,
    *,
    method: str = "GET",
    timeout_s: float = 20,
    source: str = "127.0.0.1",
) -> Answer:
    """Return what answers at `port` to one request; fail when it does not end in time.

    source: the address that asks, of this machine.
    """
    started = time.monotonic()
    connection = HTTPConnection("127.0.0.1", port, timeout=timeout_s, source_address=(source, 0))
    try:
        connection.request(method, path, headers=dict(headers or {}))
        response = connection.getresponse()
        body = bytearray()
        while data := response.read1():
            body += data
            assert time.monotonic() - started < timeout_s, f"{path} does not end"
    finally:
        connection.close()
    lower = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, lower, bytes(body), time.monotonic() - started)


def run_command(
    *arguments: str,
    cwd: Path = CHECKOUT,
    environment: Mapping[str, str] | None = None,
    command: Sequence[str] = COMMAND,
    timeout_s: float = 30,
) -> subprocess.CompletedProcess[str]:
    """Run `stream-server ARGUMENTS` to its end and return exit code, stdout and stderr."""
    return subprocess.run(
        [*command, *arguments],
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
