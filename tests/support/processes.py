"""Processes told from all others by a variable in their environment, whoever their parent is by now."""

from __future__ import annotations

import os
import signal
import uuid
from pathlib import Path

from tests.support.leaks import is_alive

MARK = "STREAM_SERVER_TEST"


class Family:
    """What is started with `environment` set, and all that comes of it.

    environment: to be added to that of the first process; its children inherit it.
    """

    def __init__(self) -> None:
        self.environment = {MARK: str(uuid.uuid4())}

    def members(self) -> set[int]:
        """Return the process ids of those that live."""
        mark = f"{MARK}={self.environment[MARK]}"
        return {pid for pid in _processes() if mark in _environment(pid) and is_alive(pid)}

    def kill(self) -> None:
        """End all that are left."""
        while members := self.members():
            for pid in members:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue


def parent_of(pid: int) -> int:
    """Return the process id of a process' parent, 0 of one that is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _environment(pid: int) -> list[str]:
    """Return the variables a process was started with; none of one that is gone, or of somebody else."""
    try:
        return Path(f"/proc/{pid}/environ").read_text(errors="replace").split("\0")
    except OSError:
        return []
