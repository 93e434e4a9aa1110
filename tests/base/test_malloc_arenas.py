"""What the C library keeps of memory that was freed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.paths import CHECKOUT

MIB = 1 << 20
CAMERAS = """
import threading
from pathlib import Path
from stream_server.base.malloc_arenas import share_arenas
{call}
held = [threading.Event() for _ in range(16)]

def live(go_on):
    pictures = [bytearray(100_000) for _ in range(40)]  # below what malloc asks the system for by itself
    keeps = bytearray(90_000)
    del pictures
    go_on.wait(30)

threads = [threading.Thread(target=live, args=(each,)) for each in held]
for thread in threads:
    thread.start()
    thread.join(0.05)  # one after the other
print(int(Path("/proc/self/statm").read_text().split()[1]) * 4096)
for each in held:
    each.set()
"""
"""Sixteen threads that live beside one another, each of which had some pictures in its time."""


def _resident_bytes(call: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", CAMERAS.format(call=call)],
        cwd=CHECKOUT, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc has arenas")
def test_threads_that_come_and_go_do_not_each_keep_what_they_freed() -> None:
    assert _resident_bytes("pass") - _resident_bytes("share_arenas()") > 20 * MIB
