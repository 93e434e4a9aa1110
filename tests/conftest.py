"""What every test is held to: it leaves no thread, child process, descriptor or shared memory behind."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from detector.machine import usable_cores
from stream_server.base import redaction
from tests.support.browser import browser, page
from tests.support.fast import watch_what_is_started
from tests.support.leaks import children
from tests.support.server import server

__all__ = ["browser", "page", "server"]

SETTLE_TIMEOUT_S = 20.0

watch_what_is_started()

# No server that a test starts is to measure for seconds how many workers are best.
os.environ.setdefault("STREAM_SERVER_LAYOUT", f"{usable_cores()}x1")


@pytest.fixture(autouse=True)
def leaves_nothing_behind() -> Iterator[None]:
    """Fail a test whose threads, children, descriptors or shared-memory segments outlive it by 20 s."""
    before = set(threading.enumerate()), children(), _descriptors(), _segments()
    yield
    until = time.monotonic() + SETTLE_TIMEOUT_S
    while (left := _left_over(*before)) and time.monotonic() < until:
        gc.collect()
        threading.Event().wait(0.02)
    assert not left, f"left behind: {left}"


@pytest.fixture(autouse=True)
def forgets_secrets() -> Iterator[None]:
    """Forget after a test which secrets it told: in another the same word is none."""
    registry = redaction._registry
    held, passing = registry._held.copy(), registry._passing.copy()
    yield
    registry._held, registry._passing, registry._pattern = held, passing, None


def _left_over(
    threads: set[threading.Thread], processes: set[int], descriptors: set[str], segments: set[str]
) -> list[str]:
    left = [f"thread {thread.name}" for thread in threading.enumerate() if thread not in threads]
    left += [f"process {pid}" for pid in children() - processes]
    left += [f"segment {name}" for name in _segments() - segments]
    if len(now := _descriptors()) > len(descriptors):
        left += [f"descriptor {name}" for name in now - descriptors]
    return left


def _descriptors() -> set[str]:
    """Return what is open: sockets, pipes, devices and shared memory, but no files, which are cached."""
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            continue
        if target.startswith(("socket:", "pipe:", "/dev/video", "/memfd:", "anon_inode:")):
            found.add(target if target.startswith(("socket:", "pipe:")) else f"{target} ({fd})")
    return found


def _segments() -> set[str]:
    """Return what is in shared memory, but not browsers': other tests run at the same time."""
    shm = Path("/dev/shm")
    return {path.name for path in shm.glob("[!.]*")} if shm.is_dir() else set()
