"""How much of the processor's time work gets that gives way to others, and a least share of it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

LEAST = 0.1
"""Work that runs for less of the time in which it could is given more weight, else it might never end."""
ENOUGH = 0.3
_STEPS = (19, 10, 5, 0)
"""Weights are 15, 110, 335 and 1024 to the 1024 of others (kernel/sched/core.c, sched_prio_to_weight)."""
_TOO_LITTLE_S = 0.05


class Share:
    """Measures how much of the time in which they could run this process and its children did."""

    def __init__(self) -> None:
        self._before = _times_ns()

    def measure(self) -> float | None:
        """Return the share since the last call, 0 to 1; None where they had nothing to do."""
        now = _times_ns()
        # Threads that have ended since are missed; that makes both smaller.
        ran, waited = (max(0, after - before) for after, before in zip(now, self._before, strict=True))
        self._before = now
        return ran / (ran + waited) if ran + waited > _TOO_LITTLE_S * 1e9 else None


class Weight:
    """The weight of this process and its children among others: as little as leaves them a least share."""

    def __init__(self, nice: int) -> None:
        """nice: what they have as a rule."""
        self._steps = (nice, *(step for step in _STEPS if step < nice))
        self._step = 0

    def adapt(self, share: float | None) -> None:
        """Give more weight after a share that is less than the least, less after one that is enough."""
        step = self._step
        if share is not None and share < LEAST:
            step = min(step + 1, len(self._steps) - 1)
        elif share is None or share > ENOUGH:
            step = max(step - 1, 0)
        if step != self._step:
            self._step = step
            _set_nice(self._steps[step])


def _set_nice(nice: int) -> None:
    """Set the nice value of all threads, and of their sessions: sched(7), "The autogroup feature".

    To lower that of threads takes a right (CAP_SYS_NICE or RLIMIT_NICE), of sessions none.
    """
    sessions = set()
    for pid in _family():
        with suppress(OSError):
            if (session := os.getsid(pid)) not in sessions:
                sessions.add(session)
                set_session_nice(pid, nice)
        for thread in _listed(f"/proc/{pid}/task"):
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, int(thread), nice)


def set_session_nice(pid: int, nice: int) -> None:
    """Let the session of a process give way, or not: sched(7), "The autogroup feature".

    Kernels may group processes by session and weigh groups against each other; nice counts within one.
    """
    for _ in range(20):  # ten such changes a second are taken, of all processes together
        try:
            Path(f"/proc/{pid}/autogroup").write_text(str(nice), encoding="ascii")
        except BlockingIOError:
            time.sleep(0.1)
        except OSError:
            return
        else:
            return


def _times_ns() -> tuple[int, int]:
    """Return for how long all threads ran, and waited for a processor (sched-stats.rst, schedstat)."""
    ran = waited = 0
    for pid in _family():
        for thread in _listed(f"/proc/{pid}/task"):
            with suppress(OSError, ValueError):
                text = Path(f"/proc/{pid}/task/{thread}/schedstat").read_text(encoding="ascii")
                one, other, _ = map(int, text.split())
                ran, waited = ran + one, waited + other
    return ran, waited


def _family(pid: int | None = None) -> Iterator[int]:
    """Yield the ids of this process, its children and theirs."""
    pid = os.getpid() if pid is None else pid
    yield pid
    for thread in _listed(f"/proc/{pid}/task"):
        with suppress(OSError):
            for child in Path(f"/proc/{pid}/task/{thread}/children").read_text(encoding="ascii").split():
                yield from _family(int(child))


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
