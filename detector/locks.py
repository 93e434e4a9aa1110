"""Lets one process at a time change what several keep in a folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def alone_in(folder: Path, on_wait: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Wait until no other process, and no other thread, is in here for a folder; no file is left in it.

    The lock is flock(2)'s, which ends with its process. Where there can be none, in a folder that cannot be
    read or on a file system without locks, nobody is waited for. on_wait: called before waiting.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield
        return
    try:
        with suppress(OSError):
            _lock(handle, on_wait)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, on_wait: Callable[[], object]) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        on_wait()
        fcntl.flock(handle, fcntl.LOCK_EX)
