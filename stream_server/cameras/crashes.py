"""Cameras whose pictures end the web worker: found by the thread that crashed, opened last, then left out.

Decoders are native code: a fault there ends the process, and the arbiter starts another. What is known of
such ends has to outlive the worker, so it stands in memory that the arbiter made before it forked.
"""

from __future__ import annotations

import faulthandler
import hashlib
import json
import logging
import mmap
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stream_server.config import SourceConfig
from stream_server.errors import SourceError

log = logging.getLogger(__name__)

PATIENCE = 3
"""Crashes by which a camera is opened last and alone; by one more it is left out."""
FORGOTTEN_AFTER_S = 3600.0
ALONE_S = 5.0
"""Such a camera is opened this long after the worker began, and this long after another one like it."""
TRIAL_S = 10.0
"""A crash so soon after a camera was opened alone is that camera's."""
_BYTES = 1 << 16
_THREAD = re.compile(r"Current thread 0x([0-9a-f]+)")
_SIGNAL = re.compile(r"Fatal Python error: ([^\n]*)")


class CrashBoard:
    """What one web worker leaves to the next. Made by the arbiter; any thread of a worker may use it."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _BYTES)
        self._dump = os.memfd_create("crash")
        self._lock = threading.Lock()
        self._began = 0.0

    def close(self) -> None:
        """Forget it all."""
        faulthandler.disable()
        self._memory.close()
        os.close(self._dump)

    def begin(self) -> None:
        """Find out how the worker before ended, and have a crash of this one written down."""
        with self._lock:
            state = self._read()
            told = os.pread(self._dump, os.fstat(self._dump).st_size, 0).decode(errors="replace")
            if told:
                self._attribute(state, told)
            state["threads"] = {}
            self._write(state)
            self._began = time.monotonic()
        os.ftruncate(self._dump, 0)
        os.lseek(self._dump, 0, os.SEEK_SET)
        faulthandler.enable(self._dump)

    def note_thread(self, camera: str, config: SourceConfig) -> None:
        """Remember that the current thread works on pictures of a camera."""
        with self._lock:
            state = self._read()
            state["threads"][f"{threading.get_ident():x}"] = [camera, _fingerprint(config)]
            self._write(state)

    def forget_thread(self) -> None:
        """Forget what the current thread worked on: it ends, and another one may get its number."""
        with self._lock:
            state = self._read()
            state["threads"].pop(f"{threading.get_ident():x}", None)
            self._write(state)

    def check(self, camera: str, config: SourceConfig) -> None:
        """Raise SourceError where a camera is not to be opened, or not yet; another configuration may be."""
        with self._lock:
            state, now, ours = self._read(), time.monotonic(), _fingerprint(config)
            fingerprint, crashes = state["crashes"].get(camera, ("", []))
            times = len(crashes) if fingerprint == ours else 0
            if times > PATIENCE:
                raise SourceError(f"left out: its pictures crashed the server {times} times")
            is_suspect, is_anyone = times == PATIENCE, len(_recent(state["unknown"])) >= PATIENCE
            if not (is_suspect or is_anyone):
                return
            other, _, since = state["trial"]
            if (other != camera and now - since < ALONE_S) or (is_suspect and now - self._began < ALONE_S):
                what = "its pictures" if is_suspect else "some camera's pictures"
                raise SourceError(f"opened last and alone: {what} crashed the server {PATIENCE} times")
            state["trial"] = (camera, ours, now)
            self._write(state)

    def _attribute(self, state: dict[str, Any], told: str) -> None:
        """Count the crash for the camera whose thread it was.

        A thread of a library is nobody's. When that has happened too often, cameras are opened one at a time:
        then it is the camera's that was opened last.
        """
        thread, cause = _THREAD.search(told), _SIGNAL.search(told)
        what, now = cause[1] if cause else "a fatal error", time.monotonic()
        camera, fingerprint, since = state["trial"]
        is_trial = now - since < TRIAL_S
        if found := state["threads"].get(thread[1].lstrip("0")) if thread else None:
            camera, fingerprint = found
        elif not is_trial:
            state["unknown"] = [*_recent(state["unknown"]), now]
            log.error("the server's worker crashed (%s); which camera did it, if one did, is unknown", what)
            return
        before, crashes = state["crashes"].get(camera, (fingerprint, []))
        crashes = [*(_recent(crashes) if before == fingerprint else []), now]
        if not found:
            crashes = [now] * (PATIENCE + 1)  # those before were its, too
            state["unknown"] = []
        state["crashes"][camera] = (fingerprint, crashes)
        times = len(crashes)
        log.error("camera %s: its pictures crashed the server's worker (%s), %d times", camera, what, times)

    def _read(self) -> dict[str, Any]:
        size = int.from_bytes(self._memory[:4], "big")
        try:
            state: dict[str, Any] = json.loads(self._memory[4 : 4 + size])
        except ValueError:  # nothing yet, or a crash in the middle of writing
            state = {"threads": {}, "crashes": {}, "unknown": [], "trial": ("", "", float("-inf"))}
        return state

    def _write(self, state: dict[str, Any]) -> None:
        data = json.dumps(state).encode()
        if 4 + len(data) <= _BYTES:
            self._memory[: 4 + len(data)] = len(data).to_bytes(4, "big") + data


def _recent(times: list[float]) -> list[float]:
    now = time.monotonic()
    return [at for at in times if now - at < FORGOTTEN_AFTER_S]


def _fingerprint(config: SourceConfig) -> str:
    settings = {key: str(getattr(config, key)) for key in SourceConfig.model_fields}
    settings["password"] = config.password.get_secret_value() if config.password else ""
    return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]


_board: CrashBoard | None = None


def use(board: CrashBoard | None) -> None:
    """Let the cameras of this process be noted on `board`, None: nowhere."""
    global _board  # noqa: PLW0603 - of a process, as its signal handlers are
    _board = board


@contextmanager
def working_on(camera: str, config: SourceConfig) -> Iterator[None]:
    """Remember, until the end, that the current thread works on pictures of a camera, if there is a board."""
    board = _board
    if board:
        board.note_thread(camera, config)
    try:
        yield
    finally:
        if board:
            board.forget_thread()


def check(camera: str, config: SourceConfig) -> None:
    """Raise SourceError where a camera is not to be opened, or not yet."""
    if _board:
        _board.check(camera, config)
