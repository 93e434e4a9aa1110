"""The pool's worker processes: starts them, hears them, watches them, replaces them."""

from __future__ import annotations

import logging
import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Condition

from detector.errors import DetectorError, DetectorTimeout, WorkerLost
from detector.pool.messages import Answer, LoadFailure, Ready, Setup
from detector.pool.request_queue import Request
from detector.pool.restarts import RestartBudget
from detector.pool.worker_process import WorkerProcess
from detector.pool.worker_slot import Assignment, WorkerSlot

logger = logging.getLogger("detector.pool")

_KILL_AFTER_S = 1.0  # from SIGTERM to SIGKILL
_GIVE_UP_AFTER_S = 2.0  # from SIGTERM until a process that the kernel does not end is left alone


@dataclass(frozen=True, slots=True)
class Limits:
    """What a worker may take. timeout_s: for an image. start_timeout_s: to load. growth_bytes: of memory."""

    timeout_s: float
    start_timeout_s: float
    growth_bytes: int


@dataclass(frozen=True, slots=True)
class Lost:
    """What a worker that is gone had. begun: lost with it, after that time. spared: not begun."""

    begun: Sequence[Request]
    spared: Sequence[Request]
    error: DetectorError
    after_s: float


class WorkerSupervisor:
    """For the pool's own thread, except for what is said to be read with the lock held.

    places, labels, fault, is_degraded: read with `changed` held.
    """

    def __init__(
        self,
        places: Sequence[WorkerSlot],
        setup: Setup,
        *,
        devices: Sequence[str],
        limits: Limits,
        budget: RestartBudget,
        changed: Condition,
        on_answer: Callable[[WorkerSlot, Assignment, Answer], None],
        on_lost: Callable[[Lost], None],
    ) -> None:
        """devices: the GPUs, one for each worker in turn; none: whatever each finds."""
        self.places = places
        self.labels: dict[str, dict[int, str]] = {}
        self.fault: DetectorError | None = None
        self.is_degraded = False
        self.has_news = False
        self._setup = setup
        self._devices = devices
        self._limits = limits
        self._budget = budget
        self._changed = changed
        self._on_answer = on_answer
        self._on_lost = on_lost
        self._ended: list[WorkerProcess] = []  # given up or on their way out, to be collected

    @property
    def threads(self) -> int:
        """That the runtime uses in each worker."""
        return self._setup.threads

    def set_threads(self, threads: int) -> None:
        """Let workers that are started from now on use so many threads."""
        self._setup = replace(self._setup, threads=threads)

    def fill_places(self) -> None:
        """Start what is missing, as often as the budget allows."""
        for place in self.places:
            if place.process is None and (place.is_retired or self._budget.take(time.monotonic())):
                self._launch(place)
        is_degraded = any(place.process is None for place in self.places)
        if is_degraded and not self.is_degraded:
            wait_s = self._budget.wait_s(time.monotonic())
            logger.error("detection is degraded: %s; next try in %.0f s", self.fault, wait_s)
        self.is_degraded = is_degraded

    def _launch(self, place: WorkerSlot) -> None:
        place.restarts += not place.is_retired
        place.is_retired = False
        place.fault = None
        self.has_news = True
        device = self._devices[(place.number - 1) % len(self._devices)] if self._devices else None
        try:
            process = WorkerProcess(place.number, pickle.dumps(self._setup), slots=place.slots, device=device)
        except DetectorError as exc:
            self._report(exc)
            return
        with self._changed:
            place.hold(process, ready_by=time.monotonic() + self._limits.start_timeout_s)

    def hear(self, place: WorkerSlot) -> None:
        """Take in the message that waits in the pipe of `place`, or its end."""
        assert place.process is not None
        self.has_news = True
        try:
            message = place.process.receive()
        except ValueError as exc:
            self._stop(place, WorkerLost(f"detector worker {place.number} talks nonsense: {exc}"))
            return
        match message:
            case Ready(labels=labels):
                self._welcome(place, labels)
            case LoadFailure(error=error):
                place.fault = error
            case Answer() as answer:
                self._take_answer(place, answer)
            case None:
                self._bury(place)

    def _welcome(self, place: WorkerSlot, labels: dict[str, dict[int, str]]) -> None:
        with self._changed:
            place.is_ready = True
            self.labels = labels
            if all(other.is_ready for other in self.places):
                self.fault = None

    def _take_answer(self, place: WorkerSlot, answer: Answer) -> None:
        assert place.process is not None
        with self._changed:
            work = place.finish(answer, time.monotonic(), self._limits.timeout_s)
            if work is not None and not work.request.future.cancelled():
                place.count(answer)
        if work is None:
            fault = WorkerLost(f"detector worker {place.number} answered what it was not asked")
            self._stop(place, fault)
            return
        place.process.slots[work.slot].trim()
        if place.growth_bytes > self._limits.growth_bytes and not place.process.is_stopping:
            logger.info("detector worker %d is replaced at %d MiB", place.number, place.memory_bytes >> 20)
            place.is_retired = True
            self._stop(place, None)
        self._on_answer(place, work, answer)

    def _stop(self, place: WorkerSlot, fault: DetectorError | None) -> None:
        assert place.process is not None
        with self._changed:
            place.fault = fault
            place.process.stop()

    def watch(self) -> None:
        """Enforce the deadlines."""
        for place in self.places:
            if place.process is not None:
                self._watch(place, place.process)
        self._ended = [process for process in self._ended if not process.has_ended()]

    def _watch(self, place: WorkerSlot, process: WorkerProcess) -> None:
        if process.stopping_s > _GIVE_UP_AFTER_S:
            self._bury(place)
        elif process.stopping_s > _KILL_AFTER_S:
            process.kill()
        elif not process.is_stopping and self._is_overdue(place) and not process.pipe.poll():
            # `poll` comes last: an answer that came while we looked elsewhere counts. So does one that comes
            # before the signal does, for a pipe is read to its end before its process is buried.
            limit = f"did not answer within {self._limits.timeout_s:g} s"
            what = limit if place.is_ready else "did not get ready"
            self._stop(place, DetectorTimeout(f"detector worker {place.number} (pid {process.pid}) {what}"))
        elif process.has_ended() and not process.pipe.poll():
            self._bury(place)  # something that it started keeps its pipe open

    def _is_overdue(self, place: WorkerSlot) -> bool:
        with self._changed:
            return time.monotonic() >= place.due

    def _bury(self, place: WorkerSlot) -> None:
        """Part with a process that has ended or is given up; its place is empty."""
        process = place.process
        assert process is not None
        with self._changed:
            after_s = time.monotonic() - place.since if place.work else 0.0
            begun, spared = place.leave()
        how = process.close()
        if not process.has_ended():
            self._ended.append(process)
        error = place.fault or WorkerLost(f"detector worker {place.number} (pid {process.pid}) {how}")
        if not place.is_retired:
            self._report(error)
        self._on_lost(Lost(begun, spared, error, after_s))
        self.has_news = True

    def _report(self, fault: DetectorError) -> None:
        if str(fault) != str(self.fault):
            logger.warning("%s", fault)
        with self._changed:
            self.fault = fault

    def surrender(self) -> list[Request]:
        """Take all processes from their places, and return what they had; with the lock held."""
        self._ended += [place.process for place in self.places if place.process]
        return [request for place in self.places for part in place.leave() for request in part]

    def end(self) -> None:
        """End the processes that were surrendered, within 2 s."""
        for process in self._ended:
            process.stop()
        for process in self._ended:
            if not process.wait(_KILL_AFTER_S - process.stopping_s):
                process.kill()
        for process in self._ended:
            if not process.wait(_GIVE_UP_AFTER_S - process.stopping_s):
                logger.error("the detector worker %d (pid %d) does not end", process.number, process.pid)
            process.close()
