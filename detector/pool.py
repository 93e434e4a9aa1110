"""Detection in N processes: feeds the workers, watches them, replaces them."""

from __future__ import annotations

import itertools
import logging
import math
import os
import pickle
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import wait
from types import TracebackType

from detector.detections import BGRImage, Detections, check_image
from detector.errors import DetectorBusy, DetectorError, DetectorTimeout, WorkerLost
from detector.places import Place, WorkerStatus
from detector.requests import Line, Request
from detector.restarts import RestartBudget
from detector.worker import Answer, DetectOptions, Job, Loader, LoadFailure, Ready, Setup
from detector.worker_process import WorkerProcess

logger = logging.getLogger(__name__)

_KILL_AFTER_S = 1.0  # from SIGTERM to SIGKILL
_GIVE_UP_AFTER_S = 2.0  # from SIGTERM until a process that the kernel does not end is left alone
_CLOSE_S = 4.0


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """What the pool is doing.

    waiting: images in line. degraded: a worker is missing and its replacement has to wait. error: what went
    wrong last, in one line, until all workers are well again.
    """

    model: str
    workers: tuple[WorkerStatus, ...]
    waiting: int
    degraded: bool
    error: str | None


class DetectorPool:
    """Detects objects in images with N worker processes. A context manager: entering starts it.

    `submit`, `status` and the properties may be used from any thread. An image goes straight from the
    submitter's thread into the memory of a free worker (0.2 to 0.4 ms at 1280x720), not waiting for another
    thread's turn. Only when none is free does it wait in line, where the pool's own thread picks it up. That
    thread alone hears the workers, completes futures, and starts, watches and ends the processes. Futures'
    callbacks and listeners run on it, so they must be quick; what they raise is logged.

    A pool belongs to the process that starts it: start it after a fork, not before.
    """

    def __init__(
        self,
        model: str,
        *,
        workers: int,
        loader: Loader | str = "detector:load_detector",
        timeout_s: float = 10.0,
        start_timeout_s: float = 60.0,
        max_waiting: int = 16,
        max_growth_bytes: int = 512 * 2**20,
        restarts: RestartBudget | None = None,
    ) -> None:
        """Prepare a pool; nothing runs before `start`.

        loader: called with `model` in each worker, returns the detector; an importable function, or its
            "module:function".
        timeout_s: for an image in line to get a worker, then for the worker to answer; a worker that does not
            is replaced.
        start_timeout_s: for a worker to load its model.
        max_waiting: images in line, beyond those the workers hold.
        max_growth_bytes: a worker that gained more memory since its first image is replaced between images.
        restarts: how often lost workers are replaced; default: 5 (or all, should there be more) at once, then
            one a minute.
        """
        if workers < 1:
            raise ValueError(f"workers: got {workers}, expected 1 or more")
        self._model = model
        self._setup = pickle.dumps(Setup(loader, model))
        self._timeout_s = timeout_s
        self._start_timeout_s = start_timeout_s
        self._tick_s = min(1.0, timeout_s / 10)
        self._look_at = 0.0
        self._max_growth_bytes = max_growth_bytes
        self._budget = restarts or RestartBudget(max(5, workers))
        self._ids = itertools.count(1)
        # Guards all that follows, announces its changes. Held for microseconds: images are copied without it.
        self._changed = threading.Condition()
        self._places = [Place(number) for number in range(1, workers + 1)]
        self._line = Line(max_waiting)
        self._labels: dict[int, str] = {}
        self._fault: DetectorError | None = None
        self._degraded = False
        self._closed: str | None = None  # why no image is taken any more
        self._listeners: list[Callable[[], None]] = []
        self._ended: list[WorkerProcess] = []  # given up or on their way out, to be collected
        self._has_news = False
        self._thread: threading.Thread | None = None
        self._owner_pid = os.getpid()

    def start(self) -> None:
        """Start the workers; returns before they are ready, see `wait_ready`."""
        with self._changed:
            if self._closed or self._thread:
                raise DetectorError(self._closed or "the detector pool is already started")
            self._owner_pid = os.getpid()
            try:
                self._wake_reader, self._wake_writer = Pipe(duplex=False)
            except OSError as exc:
                raise DetectorError(f"cannot start the detector pool: {exc.strerror}") from exc
            self._thread = threading.Thread(target=self._run, name="detector-pool", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End the workers and fail what they were doing, within 4 s. May be called twice, from any state."""
        if os.getpid() != self._owner_pid:
            return  # a forked copy: the workers are not ours
        with self._changed:
            self._closed = self._closed or "the detector pool is closed"
            self._changed.notify_all()
            thread = self._thread
        if thread is None or thread is threading.current_thread():
            return
        self._wake()
        thread.join(_CLOSE_S)
        if thread.is_alive():
            logger.error("the thread %s did not end within %.0f s", thread.name, _CLOSE_S)

    def __enter__(self) -> DetectorPool:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def submit(
        self,
        image: BGRImage,
        *,
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
        classes: Collection[str] | None = None,
        max_detections: int | None = None,
        may_wait: bool = True,
    ) -> Future[Detections]:
        """Return the future detections of `image`, which nobody may change until then.

        may_wait: False to stand in no line: a worker takes the image now, or DetectorBusy is raised.
        The other options are those of `Detector.detect`.

        Raises DetectorBusy when all workers are busy and the line is full, DetectorError for what is no image
        and when the pool is closed. The future raises WorkerLost, DetectorTimeout, or DetectorError
        (ModelError) with what the detector said about this image. It can be cancelled while in line.
        """
        self._check_process()
        check_image(image)
        labels = None if classes is None else tuple(classes)
        options = DetectOptions(score_threshold, iou_threshold, labels, max_detections)
        request = Request(next(self._ids), image, options, time.monotonic() + self._timeout_s)
        with self._changed:
            self._check_open()
            place = next((place for place in self._places if place.state == "idle"), None)
            if place is None:
                if not may_wait or not self._line.add(request):
                    raise DetectorBusy(
                        f"all {len(self._places)} detector workers are busy, {len(self._line)} images wait"
                    )
                return request.future
            request.claim()
            place.request = request
            process = place.process
        self._hand_over(place, process, request)
        return request.future

    @property
    def labels(self) -> dict[int, str]:
        """The names of the class ids; empty until the first worker is ready."""
        return self._labels

    @property
    def idle_workers(self) -> int:
        """Workers that would take an image at once."""
        with self._changed:
            return sum(place.state == "idle" for place in self._places)

    def wait_ready(self, timeout_s: float) -> None:
        """Wait until a worker takes images.

        Raises ModelError or DetectorError with the reason as soon as it is known that none will;
        DetectorTimeout when none does after `timeout_s`.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._any_ready() or self._is_hopeless(), timeout_s)
            if self._any_ready():
                return
            self._check_open()
            if self._fault is not None:
                raise type(self._fault)(
                    str(self._fault)
                )  # a copy: the original is kept, and grows when raised
            raise DetectorTimeout(f"no detector worker is ready after {timeout_s:g} s")

    def add_listener(self, listener: Callable[[], None]) -> None:
        """Call `listener`, on the pool's thread, when workers got ready, became free or were lost."""
        with self._changed:
            self._listeners.append(listener)

    def remove_listener(self, listener: Callable[[], None]) -> None:
        """Call `listener` no more, except in a call that is just being made."""
        with self._changed:
            self._listeners.remove(listener)

    def status(self) -> PoolStatus:
        """Return what the pool is doing now."""
        with self._changed:
            return PoolStatus(
                self._model,
                tuple(place.status() for place in self._places),
                len(self._line),
                self._degraded,
                str(self._fault) if self._fault else None,
            )

    # What follows, up to `_run`, may run in a submitter's thread.

    def _check_open(self) -> None:
        if self._closed:
            raise DetectorError(self._closed)
        if self._thread is None:
            raise DetectorError("the detector pool is not started")

    def _check_process(self) -> None:
        if os.getpid() != self._owner_pid:
            raise DetectorError(
                f"the detector pool belongs to process {self._owner_pid}; start one after the fork"
            )

    def _any_ready(self) -> bool:
        return any(place.state in ("idle", "busy") for place in self._places)

    def _is_hopeless(self) -> bool:
        cannot_load = self._fault is not None and not isinstance(self._fault, WorkerLost | DetectorTimeout)
        return cannot_load or self._degraded or self._closed is not None

    def _hand_over(self, place: Place, process: WorkerProcess | None, request: Request) -> None:
        """Bring a claimed request to the process that held `place` then; it may be gone by now."""
        assert process is not None
        try:
            process.slot.write(request.image)
        except DetectorError as exc:
            if self._release(place, request):
                request.complete(exc)
                self._wake()  # the worker is free again
            return
        with self._changed:
            if place.request is request:
                request.deadline = time.monotonic() + self._timeout_s
                process.hand_over(Job(request.id, request.image.shape, request.options))

    def _release(self, place: Place, request: Request) -> bool:
        """Take `request` from `place`; False when another thread did."""
        with self._changed:
            if place.request is not request:
                return False
            place.request = None
            return True

    def _wake(self) -> None:
        with self._changed:
            if not self._wake_writer.closed:
                self._wake_writer.send_bytes(b"")

    # From here on: the pool's own thread.

    def _run(self) -> None:
        try:
            while not self._closed:
                self._fill_places()
                self._listen()
                if time.monotonic() >= self._look_at:
                    self._enforce_deadlines()
                self._feed()
                self._announce()
        except Exception as exc:  # a bug: end all of it rather than leave futures that never complete
            logger.exception("the detector pool ends")
            self._closed = f"the detector pool has ended: {type(exc).__name__}: {exc}"
        finally:
            self._shut_down()

    def _fill_places(self) -> None:
        """Start what is missing, as often as the budget allows."""
        for place in self._places:
            if place.process is None and (place.starts_free or self._budget.take(time.monotonic())):
                self._launch(place)
        is_degraded = any(place.process is None for place in self._places)
        if is_degraded and not self._degraded:
            wait_s = self._budget.wait_s(time.monotonic())
            logger.error("detection is degraded: %s; next try in %.0f s", self._fault, wait_s)
        self._degraded = is_degraded

    def _launch(self, place: Place) -> None:
        place.restarts += not place.starts_free
        place.starts_free = False
        place.fault = None
        self._has_news = True
        try:
            process = WorkerProcess(place.number, self._setup)
        except DetectorError as exc:
            self._report(exc)
            return
        with self._changed:
            place.hold(process, ready_by=time.monotonic() + self._start_timeout_s)

    def _listen(self) -> None:
        """Wait for the workers, at most until the next look at the deadlines, and hear those that spoke."""
        speakers = {place.process.pipe.fileno(): place for place in self._places if place.process}
        for pipe in wait([*speakers, self._wake_reader.fileno()], max(0.0, self._look_at - time.monotonic())):
            assert isinstance(pipe, int)
            if pipe in speakers:
                self._hear(speakers[pipe])
            else:
                self._wake_reader.recv_bytes()

    def _hear(self, place: Place) -> None:
        assert place.process is not None
        self._has_news = True
        match place.process.receive():
            case Ready(labels=labels):
                self._welcome(place, labels)
            case LoadFailure(error=error):
                place.fault = error
            case Answer() as answer:
                self._take_answer(place, answer)
            case None:
                self._bury(place)

    def _welcome(self, place: Place, labels: dict[int, str]) -> None:
        with self._changed:
            place.is_ready = True
            self._labels = labels
            if all(other.is_ready for other in self._places):
                self._fault = None

    def _take_answer(self, place: Place, answer: Answer) -> None:
        request, process = place.request, place.process
        assert process is not None
        if request is None or request.id != answer.id:
            self._stop(place, WorkerLost(f"detector worker {place.number} answered what it was not asked"))
            return
        process.slot.trim()
        with self._changed:
            place.count(answer)
            place.request = None
        if place.growth_bytes > self._max_growth_bytes:
            logger.info("detector worker %d is replaced at %d MiB", place.number, place.memory_bytes >> 20)
            place.starts_free = True
            self._stop(place, None)
        self._feed()  # the worker computes again while the callbacks run
        request.complete(answer.result)

    def _feed(self) -> None:
        """Hand waiting images to free workers."""
        for place in self._places:
            while (request := self._claim_next(place)) is not None:
                self._hand_over(place, place.process, request)

    def _claim_next(self, place: Place) -> Request | None:
        with self._changed:
            if place.state != "idle":
                return None
            place.request = self._line.take()
            return place.request

    def _stop(self, place: Place, fault: DetectorError | None) -> None:
        assert place.process is not None
        with self._changed:
            place.fault = fault
            place.process.stop()

    def _enforce_deadlines(self) -> None:
        self._look_at = time.monotonic() + self._tick_s
        for place in self._places:
            if place.process is not None:
                self._watch(place, place.process)
        with self._changed:
            overdue = self._line.take_overdue(time.monotonic())
        for request in overdue:
            reason = self._fault or "all were busy"
            request.complete(
                DetectorTimeout(f"no detector worker took the image in {self._timeout_s:g} s: {reason}")
            )
        self._ended = [process for process in self._ended if not process.has_ended()]

    def _watch(self, place: Place, process: WorkerProcess) -> None:
        if process.stopping_s > _GIVE_UP_AFTER_S:
            self._bury(place)
        elif process.stopping_s > _KILL_AFTER_S:
            process.kill()
        elif not process.is_stopping and self._is_overdue(place) and not process.pipe.poll():
            # `poll` comes last: an answer that came while we looked elsewhere counts. So does one that comes
            # before the signal does, for a pipe is read to its end before its process is buried.
            what = f"did not answer within {self._timeout_s:g} s" if place.is_ready else "did not get ready"
            self._stop(place, DetectorTimeout(f"detector worker {place.number} (pid {process.pid}) {what}"))
        elif process.has_ended() and not process.pipe.poll():
            self._bury(place)  # something that it started keeps its pipe open

    def _is_overdue(self, place: Place) -> bool:
        with self._changed:
            return time.monotonic() >= place.due

    def _bury(self, place: Place) -> None:
        """Part with a process that has ended or is given up; its image is lost, its place empty."""
        process = place.process
        assert process is not None
        with self._changed:
            request = place.leave()
        how = process.close()
        if not process.has_ended():
            self._ended.append(process)
        error = place.fault or WorkerLost(f"detector worker {place.number} (pid {process.pid}) {how}")
        if not place.starts_free:
            self._report(error)
        if request is not None:
            request.complete(error)
        self._has_news = True

    def _report(self, fault: DetectorError) -> None:
        if str(fault) != str(self._fault):
            logger.warning("%s", fault)
        with self._changed:
            self._fault = fault

    def _announce(self) -> None:
        if not self._has_news:
            return
        self._has_news = False
        with self._changed:
            self._changed.notify_all()
            listeners = tuple(self._listeners)
        for listener in listeners:
            try:
                listener()
            except Exception:  # somebody else's code, on the thread everybody depends on: log it and go on
                logger.exception("a listener of the detector pool failed")

    def _shut_down(self) -> None:
        with self._changed:
            reason = self._closed = self._closed or "the detector pool is closed"
            processes = [place.process for place in self._places if place.process] + self._ended
            requests = [request for place in self._places if (request := place.leave())]
            requests += self._line.take_overdue(math.inf)
            self._wake_writer.close()
        _end(processes)
        self._wake_reader.close()
        for request in requests:
            request.complete(DetectorError(reason))
        self._has_news = True
        self._announce()


def _end(processes: list[WorkerProcess]) -> None:
    for process in processes:
        process.stop()
    for process in processes:
        if not process.wait(_KILL_AFTER_S - process.stopping_s):
            process.kill()
    for process in processes:
        if not process.wait(_GIVE_UP_AFTER_S - process.stopping_s):
            logger.error("the detector worker %d (pid %d) does not end", process.number, process.pid)
        process.close()
