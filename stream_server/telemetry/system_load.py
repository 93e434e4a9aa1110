"""How much CPU and memory the server's processes and their machine use: proc(5), and cgroup v2's limit."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from detector.machine import available_memory_bytes, total_memory_bytes, usable_cores

READ_EVERY_S = 1.0
"""Figures may be so old: they cost a few milliseconds, however many ask."""
_CGROUP = Path("/sys/fs/cgroup")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class ProcessLoad:
    """One process. cores: that it keeps busy, None when it is seen for the first time. name: what it does."""

    pid: int
    name: str
    cores: float | None
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Load:
    """cores: that the server may use. busy: share of all the machine's time, 0..1; None at first.

    memory: of the machine, or of the container where that has less; None where it is not told.
    disk: of the folder that was asked about.
    """

    cores: int
    busy: float | None
    memory_total_bytes: int | None
    memory_available_bytes: int | None
    disk: DiskSpace | None
    processes: tuple[ProcessLoad, ...]


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """Of the disk that a folder is on, or will be."""

    free_bytes: int
    total_bytes: int

    @classmethod
    def at(cls, folder: Path) -> DiskSpace | None:
        """Return the space where `folder` is; None where the system does not tell."""
        there = next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
        try:
            usage = shutil.disk_usage(there)
        except OSError:
            return None
        return cls(usage.free, usage.total)


@dataclass(frozen=True, slots=True)
class _Sample:
    """at: monotonic seconds. spent: CPU seconds of each process, told apart by pid and time of its start.

    working, all: CPU seconds of the machine.
    """

    at: float
    spent: Mapping[tuple[int, int], float]
    working: float
    all: float


class LoadMeter:
    """Reads the load of this process, of those it started and of its machine. Any thread may ask."""

    def __init__(self) -> None:
        self._reading = threading.Lock()  # guards all below
        self._last = _Sample(0.0, {}, 0.0, 0.0)
        self._load: Load | None = None

    def read(self, names: Mapping[int, str], folder: Path) -> Load | None:
        """Return the load since the last reading; None before anything is known.

        names: what single processes do, by pid; others are called as those are that started them.
        folder: whose disk is looked at.
        """
        # Who comes while another reads gets what was known before: a disk may be far away, and not answer.
        if self._reading.acquire(blocking=False):
            try:
                if self._load is None or time.monotonic() - self._last.at >= READ_EVERY_S:
                    self._load = self._read(names, folder)
            finally:
                self._reading.release()
        return self._load

    def _read(self, names: Mapping[int, str], folder: Path) -> Load:
        now, before = time.monotonic(), self._last
        working, all_s = _machine_s()
        spent: dict[tuple[int, int], float] = {}
        processes = []
        for pid, name in _named(names):
            with suppress(OSError, IndexError, ValueError):  # it has ended meanwhile
                started, spent_s = _process_s(pid)
                known_s = before.spent.get((pid, started))
                cores = None if known_s is None else max(0.0, spent_s - known_s) / (now - before.at)
                processes.append(ProcessLoad(pid, name, cores, _own_memory_bytes(pid)))
                spent[pid, started] = spent_s
        busy = (working - before.working) / (all_s - before.all) if 0 < before.all < all_s else None
        self._last = _Sample(now, spent, working, all_s)
        total, available = _memory_bytes()
        return Load(usable_cores(), busy, total, available, DiskSpace.at(folder), tuple(processes))


def _named(names: Mapping[int, str]) -> Iterator[tuple[int, str]]:
    """Yield the pids of the server's processes, each with what it does."""
    own, parent = os.getpid(), os.getppid()
    if _command(parent) == _command(own):  # it forked us
        yield parent, "supervisor"
    yield own, "web"
    for child in _children(own):
        name = names.get(child, "video")
        yield child, name
        for pid in _descendants(child):
            yield pid, name


def _descendants(pid: int) -> Iterator[int]:
    for child in _children(pid):
        yield child
        yield from _descendants(child)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_bytes().split())
    return found


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return str(pid).encode()


def _process_s(pid: int) -> tuple[int, float]:
    """Return when a process was started, in ticks since the machine was, and how much CPU it has used."""
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return int(fields[19]), (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def _own_memory_bytes(pid: int) -> int:
    """Return resident memory less shared pages, as detectors report theirs."""
    _, resident, shared = map(int, Path(f"/proc/{pid}/statm").read_bytes().split()[:3])
    return (resident - shared) * _PAGE_BYTES


def _machine_s() -> tuple[float, float]:
    """Return CPU seconds, over all cores, in which the machine worked, and in which it could have."""
    try:
        fields = Path("/proc/stat").read_bytes().split(b"\n", 1)[0].split()[1:9]
        user, nice, system, idle, iowait, irq, softirq, steal = (int(field) for field in fields)
    except (OSError, ValueError):
        return 0.0, 0.0
    working = user + nice + system + irq + softirq + steal
    return working / _TICKS_PER_S, (working + idle + iowait) / _TICKS_PER_S


def _memory_bytes() -> tuple[int | None, int | None]:
    """Return how much memory there is, and how much of it programs may still take."""
    total, available = total_memory_bytes(), available_memory_bytes()
    limit, used = _in_cgroup(_limit_bytes), _in_cgroup(_used_bytes)
    if total is None or available is None or limit is None or used is None or limit >= total:
        return total, available
    return limit, min(available, max(0, limit - used))


def _in_cgroup(read: Callable[[], int]) -> int | None:
    try:
        return read()
    except (OSError, ValueError):  # no cgroup v2, or "max"
        return None


def _limit_bytes() -> int:
    return int((_CGROUP / "memory.max").read_bytes())


def _used_bytes() -> int:
    """Return what the container's processes use; files that are only kept in memory are given back."""
    lines = (_CGROUP / "memory.stat").read_text(encoding="ascii").splitlines()
    cached = next(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
    return int((_CGROUP / "memory.current").read_bytes()) - cached
