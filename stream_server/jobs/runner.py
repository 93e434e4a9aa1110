"""The threads that have videos worked on, each one at a time."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from detector.errors import ModelError
from stream_server.config import VideosConfig
from stream_server.errors import AccountsError, JobError, OptionError, StorageError
from stream_server.jobs.job import Job, VideoSummary
from stream_server.jobs.lazy_store import LazyJobStore
from stream_server.jobs.model_choice import JobModels
from stream_server.jobs.run import JobRun
from stream_server.jobs.storage import JobStorage
from stream_server.jobs.trouble import Trouble
from stream_server.video.pace import Pace

if TYPE_CHECKING:
    from stream_server.jobs.store import JobStore
    from stream_server.jobs.worker import WorkerTask
    from stream_server.jobs.worker_process import WorkProcess

log = logging.getLogger(__name__)

MAX_RUNS = 3
"""So often work on a video is begun; one that ends its process, or the server, will do so again."""
POLL_INTERVAL_S = 5.0
CHECK_ROOM_EVERY_S = 1.0
CLOSE_TIMEOUT_S = 3.0
END_TIMEOUT_S = 1.0
DELETED = "it was deleted"


class JobRunner:
    """Takes videos off the queue and sees to each until its end. Any thread may call anything."""

    def __init__(
        self,
        config: VideosConfig,
        folder: JobStorage,
        models: JobModels,
        stores: LazyJobStore,
        tidy: Callable[[JobStore], None],
    ) -> None:
        """Prepare; `start` goes on with what an earlier server has left.

        tidy: brings the queue and the folder in line, before the first video and after each trouble.
        """
        self._config, self._folder, self._models, self._stores = config, folder, models, stores
        self._tidy = tidy
        self._changed = threading.Condition()  # guards the four below, and the queue in the store
        self._running: dict[str, JobRun] = {}
        self._is_closed = False
        self._has_doubts = True  # about what the database says is running
        self._trouble = Trouble(log, "videos wait")
        self._threads = [
            threading.Thread(target=self._run, name=f"videos-{number}", daemon=True)
            for number in range(1, config.max_running + 1)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether all threads that have videos worked on run."""
        return all(thread.is_alive() for thread in self._threads)

    def close(self) -> None:
        """Stop working; what is not done goes on when a server starts again. May be called twice."""
        with self._changed:
            self._is_closed = True
            for running in self._running.values():
                running.kill("the server ends")
            self._changed.notify_all()
        until = time.monotonic() + CLOSE_TIMEOUT_S
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.1, until - time.monotonic()))

    def pace(self, id: str) -> Pace | None:
        """Return how far a job is that is being worked on."""
        running = self._running.get(id)
        return running.pace if running else None

    def look(self) -> None:
        """Know that there is a new job in the queue."""
        with self._changed:
            self._changed.notify()

    def queue(self, id: str) -> None:
        """Let a job whose upload is whole wait for its turn, as soon as the database can note it."""
        with self._changed:
            if id in self._running:
                return
            try:
                self._stores.open().queue(id)
            except AccountsError:
                self._has_doubts = True  # nobody sends it again: tidying finds it
            self._changed.notify()

    def drop(self, id: str) -> None:
        """Stop work on a job, and forget it."""
        with self._changed:
            running = self._running.get(id)
            if running:
                running.kill(DELETED)
            self._stores.open().remove(id)
        if running:
            running.ended.wait(END_TIMEOUT_S)

    def _run(self) -> None:
        while not self._is_closed:
            with self._waiting_out_trouble():
                if claimed := self._next():
                    self._work(*claimed)

    @contextmanager
    def _waiting_out_trouble(self) -> Iterator[None]:
        """Wait a while after what goes wrong, and may go on to."""
        try:
            yield
        except Exception as exc:
            with self._changed:
                self._trouble.tell(exc)
                self._has_doubts = True
                self._changed.wait_for(lambda: self._is_closed, POLL_INTERVAL_S)

    def _next(self) -> tuple[Job, JobRun] | None:
        """Wait for a job; return it, None when it is to be looked again."""
        with self._changed:
            if self._is_closed:
                return None
            store = self._stores.find()
            if self._has_doubts and store:
                self._tidy(store)
                store.requeue_running(but=self._running.keys())
                self._has_doubts = False
                self._trouble.end()
            job = store.claim() if store else None
            if job is None:
                self._changed.wait(POLL_INTERVAL_S)
                return None
            running = self._running[job.id] = JobRun()
            return job, running

    def _work(self, job: Job, running: JobRun) -> None:
        log.info("video %s (%s): work begins", job.id, job.name)
        try:
            end, is_noted = self._end_of(job, running), False
            while not is_noted:
                with self._waiting_out_trouble(), self._changed:
                    if not self._is_closed:  # then it goes on later
                        end(self._stores.open())
                    is_noted = True
        finally:
            with self._changed:
                del self._running[job.id]
            running.ended.set()

    def _end_of(self, job: Job, running: JobRun) -> Callable[[JobStore], None]:
        """Work on a job; return what is to be noted then."""
        from stream_server.jobs.worker_process import WorkProcess  # noqa: PLC0415 - FFmpeg and models, when needed

        try:
            with contextlib.closing(WorkProcess(self._task(job))) as process:
                running.begin(process)
                return self._hear(job, running, process)
        except (JobError, OptionError, StorageError, ModelError) as exc:
            return self._failed(job, str(exc))

    def _hear(self, job: Job, running: JobRun, process: WorkProcess) -> Callable[[JobStore], None]:
        look_at = time.monotonic() + CHECK_ROOM_EVERY_S
        for report in process.reports():
            if summary := report.summary:
                return self._done(job, summary)
            if report.error:
                return self._failed(job, report.error)
            running.take(report)
            if time.monotonic() > look_at:
                look_at = time.monotonic() + CHECK_ROOM_EVERY_S
                if self._folder.used_bytes() > self._config.quota_bytes:
                    running.kill("there is no room for its result (videos.quota_bytes)")
        return self._broken_off(job, running)

    def _done(self, job: Job, summary: VideoSummary) -> Callable[[JobStore], None]:
        log.info("video %s (%s): done", job.id, job.name)

        def note(store: JobStore) -> None:
            store.finish(job.id, summary)
            self._folder.drop_source(job)

        return note

    def _broken_off(self, job: Job, running: JobRun) -> Callable[[JobStore], None]:
        if running.why_killed == DELETED:
            return lambda store: store.remove(job.id)  # if that was not possible then
        if running.why_killed:
            return self._failed(job, running.why_killed)
        if job.runs < MAX_RUNS:
            log.warning("video %s (%s): its process died; it is begun again", job.id, job.name)
            return lambda store: store.queue(job.id)
        return self._failed(job, f"the process that worked on it died {MAX_RUNS} times")

    def _failed(self, job: Job, reason: str) -> Callable[[JobStore], None]:
        log.warning("video %s (%s): %s", job.id, job.name, reason)

        def note(store: JobStore) -> None:
            self._folder.remove(job.id)  # first: a database on a full disk needs the room
            store.fail(job.id, reason)

        return note

    def _task(self, job: Job) -> WorkerTask:
        from stream_server.jobs.worker import WorkerTask  # noqa: PLC0415 - FFmpeg and models, when needed

        return WorkerTask(
            self._folder.source(job),
            self._folder.out(job),
            self._models.options(job.options),
            self._models.file(job.options.model),
            self._models.workers,
            self._models.threads,
            self._config.max_length_s,
            self._config.nice,
        )
