"""What a process holds, to be compared before and after."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.support.patience import PATIENCE_S


def open_descriptors(pid: int | None = None) -> int:
    """Return how many descriptors `pid` (default: this process) has open."""
    return len(os.listdir(f"/proc/{pid or 'self'}/fd"))


def threads(pid: int) -> int:
    """Return how many threads `pid` has."""
    return len(os.listdir(f"/proc/{pid}/task"))


def resident_bytes(pid: int) -> int:
    """Return how much memory of `pid` is in use, of what it shares with others too."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def children(pid: int | None = None) -> set[int]:
    """Return the process ids of the children of `pid` (default: this process), zombies included."""
    parent = os.getpid() if pid is None else pid
    found: set[int] = set()
    for path in Path(f"/proc/{parent}/task").glob("*/children"):
        with suppress(FileNotFoundError):  # the thread has ended meanwhile
            found.update(int(child) for child in path.read_text().split())
    return found


def is_alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def wait_until(fact: Callable[[], bool], timeout_s: float = PATIENCE_S) -> bool:
    """Look for `fact`, which nothing announces, until it is true or time is up; return whether it is."""
    deadline = time.monotonic() + timeout_s
    while not fact():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
