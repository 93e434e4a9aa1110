"""What every benchmark says about where it ran, and how it counts CPU."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def machine(*packages: str) -> str:
    """Return cores, processor, Python and the versions of `packages` in one line."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    versions = (f"{package} {version(package)}" for package in packages)
    cpu = f"{len(names)} x {names[0]}" if names else platform.machine()
    return ", ".join((cpu, f"Python {platform.python_version()}", *versions))


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the user and system time that the processes have used so far."""
    return sum(_ticks(pid) for pid in pids) / _TICKS_PER_S


def machine_cpu_seconds() -> float:
    """Return what all processes, and other machines of the same host, have used so far (proc(5), stat)."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / _TICKS_PER_S


def resident_mib(pids: Iterable[int]) -> float:
    """Return the memory of the processes (RSS); what they share counts for each."""
    pages = (int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) for pid in pids)
    return sum(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20


def descendants(pid: int) -> list[int]:
    """Return `pid` and all processes below it."""
    found = [pid]
    for parent in found:  # grows while it is walked
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            found += [int(child) for child in children.read_text(encoding="ascii").split()]
    return found


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
