"""Detection in N processes, shared fairly among those who bring images."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import wait
from types import TracebackType

from detector.detections import BGRImage
from detector.errors import DetectorError, DetectorTimeout, DetectorUnavailable, WorkerLost
from detector.machine import usable_cores
from detector.pool.client import PoolClient
from detector.pool.dispatcher import Dispatcher
from detector.pool.layout import Layout, Planner
from detector.pool.messages import Loader, Model, Setup, name_of
from detector.pool.request_queue import Client, FutureDetections
from detector.pool.restarts import RestartBudget
from detector.pool.supervisor import Limits, WorkerSupervisor
from detector.pool.worker_slot import WorkerSlot, WorkerStatus

logger = logging.getLogger(__package__)

_CLOSE_S = 4.0


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """What the pool is doing.

    model: the default one. threads: that the runtime uses in each worker. waiting: images in line. degraded:
    a worker is missing and its replacement has to wait. error: what went wrong last, in one line, until all
    workers are well again.
    """

    model: str
    workers: tuple[WorkerStatus, ...]
    threads: int
    waiting: int
    degraded: bool
    error: str | None


class DetectorPool:
    """Detects objects in images with N worker processes. A context manager: entering starts it.

    `client`, `submit`, `status` and the properties may be used from any thread. All who bring images are
    clients, and share the workers' time by weight (see `scheduler.py`); those who only `submit` are two
    clients together, those who wait and those who do not. The pool's own thread hears the workers, completes
    futures, and starts, watches and ends the processes. Futures' callbacks and listeners run on it, so they
    must be quick; what they raise is logged.

    Each worker loads all models, and takes images when it has them all.

    A pool belongs to the process that starts it: start it after a fork, not before.
    """

    def __init__(
        self,
        models: Model | Sequence[Model],
        *,
        workers: int | Planner,
        threads: int = 1,
        loader: Loader | str = "detector:load_detector",
        timeout_s: float = 10.0,
        start_timeout_s: float = 60.0,
        max_waiting: int = 16,
        max_batch: int = 1,
        max_wait_s: float = 0.0,
        max_growth_bytes: int = 512 * 2**20,
        devices: Sequence[str] = (),
        restarts: RestartBudget | None = None,
    ) -> None:
        """Prepare a pool; nothing runs before `start`.

        models: names, paths or files, the default first.
        workers: processes. threads: that the runtime uses in each, passed on to the loader when there are
            several. A function instead is called first, on the pool's thread, and returns both.
        loader: called with each model in each worker, returns the detector; an importable function, or its
            "module:function".
        timeout_s: for an image in line to get a worker, then for the worker to answer; a worker that does not
            is replaced.
        start_timeout_s: for a worker to load its models.
        max_waiting: images that wait after `submit`, in line or at a worker that computes.
        max_batch: images a worker looks at together, where its detector can. max_wait_s: how long the first
            of them waits for others.
        max_growth_bytes: a worker that gained more memory since its first image is replaced between images.
        devices: the GPUs, one for each worker in turn; none: each worker sees what there is.
        restarts: how often lost workers are replaced; default: 5 (or all, should there be more) at once, then
            one a minute.
        """
        if isinstance(workers, int) and workers < 1:
            raise ValueError(f"workers: got {workers}, expected 1 or more")
        models = (models,) if not isinstance(models, Sequence) or isinstance(models, str) else tuple(models)
        self._models = tuple(name_of(model) for model in models)
        self._timeout_s = timeout_s
        self._tick_s = min(1.0, timeout_s / 10)
        self._look_at = 0.0
        # Guards all that the parts share, announces its changes. Held for microseconds: images are copied
        # without it.
        self._changed = threading.Condition()
        self._planner = None if isinstance(workers, int) else workers
        self._make_place = partial(WorkerSlot, max_batch=max_batch, batch_wait_s=max_wait_s)
        count = workers if isinstance(workers, int) else 0
        self._places = [self._make_place(number) for number in range(1, count + 1)]
        self._dispatcher = Dispatcher(self._places, self._changed, timeout_s, self._wake)
        self._workforce = WorkerSupervisor(
            self._places,
            Setup(loader, models, threads, max_batch, max_wait_s),
            devices=devices,
            limits=Limits(timeout_s, start_timeout_s, max_growth_bytes),
            budget=restarts or RestartBudget(max(5, count or usable_cores())),
            changed=self._changed,
            on_answer=self._dispatcher.take_answer,
            on_lost=self._dispatcher.take_loss,
        )
        self._patient = self.client("requests", may_stage=True, max_waiting=max_waiting)
        self._impatient = self.client("requests that do not wait", max_waiting=0)
        self._is_closed = False
        self._listeners: list[Callable[[], None]] = []
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the workers; returns before they are ready, see `wait_ready`."""
        with self._changed:
            if self._is_closed or self._thread:
                raise DetectorError(self._dispatcher.refusal or "the detector pool is already started")
            self._dispatcher.owner_pid = os.getpid()
            try:
                self._wake_reader, self._wake_writer = Pipe(duplex=False)
            except OSError as exc:
                raise DetectorError(f"cannot start the detector pool: {exc.strerror}") from exc
            self._dispatcher.refusal = None
            self._thread = threading.Thread(target=self._run, name="detector-pool", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End the workers and fail what they were doing, within 4 s. May be called twice, from any state."""
        if os.getpid() != self._dispatcher.owner_pid:
            return  # a forked copy: the workers are not ours
        with self._changed:
            self._refuse("the detector pool is closed")
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

    def client(
        self,
        name: str,
        *,
        weight: float = 1.0,
        may_stage: bool = False,
        max_waiting: int = 1,
        on_turn: Callable[[], None] = lambda: None,
    ) -> PoolClient:
        """Return a new client, which takes part until it is closed.

        weight: its share of the workers' time, compared with others'.
        may_stage: its images may wait at a worker that computes: more throughput, but they are older when
            they are looked at.
        max_waiting: images in its line.
        on_turn: called, on any thread, when it is this client's turn after `ask` said no; must be quick.
        """
        share = Client(name, weight, may_stage, max_waiting, on_turn)
        return PoolClient(self._dispatcher, share, self._models, self._timeout_s)

    def submit(
        self,
        image: BGRImage,
        *,
        model: str | None = None,
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
        classes: Collection[str] | None = None,
        max_detections: int | None = None,
        may_wait: bool = True,
    ) -> FutureDetections:
        """Return the future detections of `image`, which nobody may change until then.

        model: one of the pool's, by name (default: the first).
        may_wait: False to stand in no line: a worker takes the image now, or DetectorBusy is raised.
        The other options are those of `Detector.detect`.

        Raises DetectorBusy when all workers are busy and the line is full, DetectorError for what is no image
        and when the pool is closed. The future raises WorkerLost, DetectorTimeout, or DetectorError
        (ModelError) with what the detector said about this image. It can be cancelled while it waits.
        """
        return (self._patient if may_wait else self._impatient).submit(
            image,
            model=model,
            score_threshold=score_threshold,
            iou_threshold=iou_threshold,
            classes=classes,
            max_detections=max_detections,
        )

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the models, the default first."""
        return self._models

    @property
    def labels(self) -> dict[int, str]:
        """The names of the default model's class ids; empty until the first worker is ready."""
        return self.labels_of(self._models[0])

    def labels_of(self, model: str) -> dict[int, str]:
        """Return the names of a model's class ids; empty until the first worker is ready."""
        return self._workforce.labels.get(model, {})

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
            self._dispatcher.check_open()
            fault = self._workforce.fault
            if fault is not None:
                raise type(fault)(str(fault))  # a copy: the original is kept, and grows when raised
            raise DetectorTimeout(f"no detector worker is ready after {timeout_s:g} s")

    def _any_ready(self) -> bool:
        return any(place.state in ("idle", "busy") for place in self._places)

    def _is_hopeless(self) -> bool:
        fault = self._workforce.fault
        cannot_load = fault is not None and not isinstance(fault, WorkerLost | DetectorTimeout)
        return cannot_load or self._workforce.is_degraded or self._is_closed

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
            fault = self._workforce.fault
            return PoolStatus(
                self._models[0],
                tuple(place.status() for place in self._places),
                self._workforce.threads,
                self._dispatcher.waiting,
                self._workforce.is_degraded,
                str(fault) if fault else None,
            )

    def _refuse(self, reason: str) -> None:
        if not self._is_closed:
            self._is_closed, self._dispatcher.refusal = True, reason
        self._changed.notify_all()

    def _wake(self) -> None:
        with self._changed:
            if not self._wake_writer.closed:
                self._wake_writer.send_bytes(b"")

    # From here on: the pool's own thread.

    def _run(self) -> None:
        try:
            if self._planner:
                self._follow(self._planner(lambda: self._is_closed))
            while not self._is_closed:
                self._workforce.fill_places()
                self._listen()
                if time.monotonic() >= self._look_at:
                    self._look_at = time.monotonic() + self._tick_s
                    self._workforce.watch()
                    self._dispatcher.expire(self._workforce.fault or "all were busy")
                self._dispatcher.dispatch()
                self._announce()
        except Exception as exc:  # a bug: end all of it rather than leave futures that never complete
            logger.exception("the detector pool ends")
            with self._changed:
                self._refuse(f"the detector pool has ended: {type(exc).__name__}: {exc}")
        finally:
            self._shut_down()

    def _follow(self, layout: Layout) -> None:
        self._workforce.set_threads(layout.threads)
        with self._changed:  # the parts share this very list
            self._places.extend(self._make_place(number) for number in range(1, layout.workers + 1))

    def _listen(self) -> None:
        """Wait until there is something to do, and hear the workers that spoke."""
        speakers = {place.process.pipe.fileno(): place for place in self._places if place.process}
        until = self._dispatcher.fall_asleep(self._look_at)
        spoken = wait([*speakers, self._wake_reader.fileno()], max(0.0, until - time.monotonic()))
        self._dispatcher.wake_up()
        for pipe in spoken:
            assert isinstance(pipe, int)
            if pipe in speakers:
                self._workforce.hear(speakers[pipe])
            else:
                self._wake_reader.recv_bytes()

    def _announce(self) -> None:
        if not self._workforce.has_news:
            return
        self._workforce.has_news = False
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
            reason = self._dispatcher.refusal or "the detector pool is closed"
            requests = self._workforce.surrender() + self._dispatcher.surrender()
            self._wake_writer.close()
        self._workforce.end()
        self._wake_reader.close()
        for request in requests:
            request.complete(DetectorUnavailable(reason))
        self._workforce.has_news = True
        self._announce()
