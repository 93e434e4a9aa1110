"""A worker's place in the pool, which one process after the other may hold."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from detector.errors import DetectorError
from detector.pool.messages import Answer
from detector.pool.request_queue import Request
from detector.pool.worker_process import WorkerProcess

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
class Assignment:
    """A request that a place was given, and the slot for its image. sent_at: when the worker was told."""

    request: Request
    slot: int
    sent_at: float | None = None


@dataclass(slots=True, eq=False)
class WorkerSlot:
    """The process that holds the place now, what it is doing, and what was done here so far.

    max_batch: images the worker looks at together; it holds as many again, for after that. batch_wait_s: how
        long it waits for them.
    ready_by: when the process must have loaded its models. work: what it was given, the oldest first.
    since: when it began with that. answer_by: when it must have answered something. fault: why it is being
    ended. is_retired: it is to be replaced, which costs no restart and no image.
    """

    number: int
    max_batch: int = 1
    batch_wait_s: float = 0.0
    process: WorkerProcess | None = None
    is_ready: bool = False
    ready_by: float = 0.0
    work: deque[Assignment] = field(default_factory=deque)
    since: float = -math.inf
    answer_by: float = math.inf
    fault: DetectorError | None = None
    is_retired: bool = True
    restarts: int = 0
    images: int = 0
    inference_ms: float = 0.0
    memory_bytes: int = 0
    first_memory_bytes: int = 0

    @property
    def slots(self) -> int:
        """Images that the worker can hold."""
        return 2 * self.max_batch

    @property
    def state(self) -> WorkerState:
        """What the process is doing."""
        if self.process is None:
            return "down"
        if self.process.is_stopping:
            return "stopping"
        if not self.is_ready:
            return "starting"
        return "busy" if self.work else "idle"

    @property
    def due(self) -> float:
        """When the process must have said something, in `time.monotonic()` seconds."""
        return self.answer_by if self.is_ready else self.ready_by

    @property
    def free_at(self) -> float:
        """When the worker will be done with what it has, as far as that is known."""
        return self.since + sum(work.request.cost_s for work in self.work)

    @property
    def growth_bytes(self) -> int:
        """Memory the process has gained since its first image."""
        return self.memory_bytes - self.first_memory_bytes

    def free_seats(self, now: float) -> int:
        """Return how many images the worker would begin with at once."""
        is_collecting = self.state == "busy" and now < self.since + self.batch_wait_s
        return max(0, self.max_batch - len(self.work)) if self.state == "idle" or is_collecting else 0

    def staged_seats(self) -> int:
        """Return how many images the worker would take while it is busy with others."""
        return self.slots - len(self.work) if self.state == "busy" else 0

    def hold(self, process: WorkerProcess, ready_by: float) -> None:
        """Give the place to `process`, just started."""
        self.process, self.ready_by = process, ready_by
        self.is_retired = False
        self.since = -math.inf
        self.memory_bytes = self.first_memory_bytes = 0

    def take(self, request: Request, now: float, timeout_s: float) -> Assignment:
        """Give `request` a slot; there must be one. The first image must be answered within `timeout_s`."""
        used = {work.slot for work in self.work}
        work = Assignment(request, next(slot for slot in range(self.slots) if slot not in used))
        if not self.work:
            self.since, self.answer_by = now, now + timeout_s
        self.work.append(work)
        return work

    def finish(self, answer: Answer, now: float, timeout_s: float) -> Assignment | None:
        """Take out what `answer` is about, None when the worker was not asked that."""
        work = next((work for work in self.work if work.sent_at and work.request.id == answer.id), None)
        if work is not None:
            self.work.remove(work)
            self.since, self.answer_by = now, now + timeout_s if self.work else math.inf
        return work

    def give_up(self, work: Assignment) -> bool:
        """Take out what was not sent after all; False when another thread did."""
        if work not in self.work:
            return False
        self.work.remove(work)
        if not self.work:
            self.since, self.answer_by = -math.inf, math.inf
        return True

    def leave(self) -> tuple[list[Request], list[Request]]:
        """Take the process away; return the requests it may have ended by, and those that only waited."""
        sent = [] if self.is_retired else [work for work in self.work if work.sent_at]
        begun = sorted(sent, key=lambda work: work.sent_at or math.inf)[: self.max_batch]
        lost = [work.request for work in begun]
        spared = [work.request for work in self.work if work not in begun]
        self.work.clear()
        self.process, self.is_ready, self.answer_by = None, False, math.inf
        return lost, spared

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
