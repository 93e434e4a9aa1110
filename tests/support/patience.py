"""How long tests wait for what comes at once: a slow or busy machine may pass, what hangs may not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

PATIENCE_S = 30.0


@contextmanager
def soon(at_least_s: float = 0.0) -> Iterator[None]:
    """Fail what takes `PATIENCE_S`, because it waits for something else, or less than `at_least_s`."""
    began = time.monotonic()
    yield
    took_s = time.monotonic() - began
    assert at_least_s <= took_s < PATIENCE_S, f"took {took_s:.1f} s"


@contextmanager
def cheaply(cpu_s: float) -> Iterator[None]:
    """Fail what takes more CPU time of this process than `cpu_s`, on a machine of 2024."""
    began = time.process_time()
    yield
    took_s = time.process_time() - began
    assert took_s < cpu_s * slowness(), f"took {took_s:.2f} s"


@cache
def slowness() -> float:
    """Return how many times as long as a machine of 2024 this one takes for the same; 1 or more."""
    began = time.process_time()
    for _ in range(3000):
        sum(value * value for value in range(1000))
    return max(1.0, (time.process_time() - began) / 0.1)
