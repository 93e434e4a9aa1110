"""How a machine's cores are divided among worker processes and their threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias


class Layout(NamedTuple):
    """Worker processes, and threads that the runtime uses in each."""

    workers: int
    threads: int


Planner: TypeAlias = Callable[[Callable[[], bool]], Layout]
"""Returns the layout to use, which may take seconds; soon, once what it is given says it is not wanted."""


def layouts(cores: int) -> list[Layout]:
    """Return the ways to divide `cores`, in powers of two: from one thread each to one worker with all."""
    threads = [1 << power for power in range(cores.bit_length())]
    return list(dict.fromkeys(Layout(cores // each, each) for each in threads))
