"""A small disk of a test's own, that can be full."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.needs import need


class Disk:
    """A file system in memory, at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def fill(self, but: int = 0) -> None:
        """Leave no room, or so many bytes."""
        with self._filler.open("ab", buffering=0) as file:
            os.posix_fallocate(file.fileno(), 0, file.seek(0, 2) + self.free_bytes - but or 1)

    @property
    def free_bytes(self) -> int:
        """How much there is room for."""
        room = os.statvfs(self.path)
        return room.f_bavail * room.f_bsize

    def clear(self) -> None:
        """Make room again."""
        self._filler.unlink()


@contextmanager
def small_disk(path: Path, mib: int) -> Iterator[Disk]:
    """Mount a disk of so many MiB, which takes root."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a disk")
    path.mkdir()
    subprocess.run([need("mount"), "-t", "tmpfs", "-o", f"size={mib}m", "none", path], check=True)
    try:
        yield Disk(path)
    finally:
        subprocess.run([need("umount"), "--lazy", path], check=True)
