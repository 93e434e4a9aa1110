"""A worker's place in the pool, which one process after the other may hold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from detector.errors import DetectorError
from detector.requests import Request
from detector.worker import Answer
from detector.worker_process import WorkerProcess

WorkerState = Literal["starting", "idle", "busy", "stopping", "down"]


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One worker, over all the processes that have held its place.

    restarts: after crashes and late answers. images: answered. inference_ms: average of the last ten or so, 0
    before the first. memory_bytes: the process's own memory after its last image.
    """

    number: int
    pid: int | None
    state: WorkerState
    restarts: int
    images: int
    inference_ms: float
    memory_bytes: int


@dataclass(slots=True, eq=False)
class Place:
    """The process that holds the place now, what it is doing, and what was done here so far.

    ready_by: when the process must have loaded its model. fault: why it is being ended. starts_free: the next
    start is not charged to the restart budget.
    """

    number: int
    process: WorkerProcess | None = None
    is_ready: bool = False
    ready_by: float = 0.0
    request: Request | None = None
    fault: DetectorError | None = None
    starts_free: bool = True
    restarts: int = 0
    images: int = 0
    inference_ms: float = 0.0
    memory_bytes: int = 0
    first_memory_bytes: int = 0

    @property
    def state(self) -> WorkerState:
        """What the process is doing."""
        if self.process is None:
            return "down"
        if self.process.is_stopping:
            return "stopping"
        if not self.is_ready:
            return "starting"
        return "busy" if self.request else "idle"

    @property
    def due(self) -> float:
        """When the process must have said something, in `time.monotonic()` seconds."""
        if not self.is_ready:
            return self.ready_by
        return self.request.deadline if self.request else math.inf

    @property
    def growth_bytes(self) -> int:
        """Memory the process has gained since its first image."""
        return self.memory_bytes - self.first_memory_bytes

    def hold(self, process: WorkerProcess, ready_by: float) -> None:
        """Give the place to `process`, just started."""
        self.process, self.ready_by = process, ready_by
        self.starts_free = False
        self.memory_bytes = self.first_memory_bytes = 0

    def leave(self) -> Request | None:
        """Take the process away and return the request it had."""
        request, self.request = self.request, None
        self.process, self.is_ready = None, False
        return request

    def count(self, answer: Answer) -> None:
        """Note an answer for the statistics."""
        weight = 0.1 if self.images else 1.0
        self.inference_ms += weight * (answer.inference_ms - self.inference_ms)
        self.images += 1
        self.memory_bytes = answer.memory_bytes
        self.first_memory_bytes = self.first_memory_bytes or answer.memory_bytes

    def status(self) -> WorkerStatus:
        """Return what others may know."""
        return WorkerStatus(
            self.number,
            self.process.pid if self.process else None,
            self.state,
            self.restarts,
            self.images,
            self.inference_ms,
            self.memory_bytes,
        )
