"""All videos of a server: takes them, queues them, has them worked on, and forgets them."""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from stream_server.accounts.accounts import is_absent
from stream_server.config import Config
from stream_server.errors import JobError, LimitError, StorageError, UploadConflict
from stream_server.jobs import limits
from stream_server.jobs.folder import Folder
from stream_server.jobs.job import Job, State, VideoOptions, VideoSummary
from stream_server.jobs.running import Running
from stream_server.jobs.uploads import Uploads
from stream_server.video.pace import Pace

if TYPE_CHECKING:
    from stream_server.jobs.process import WorkProcess
    from stream_server.jobs.store import JobStore
    from stream_server.jobs.work import Task

log = logging.getLogger(__name__)

MAX_RUNS = 3
"""So often work on a video is begun; one that ends its process, or the server, will do so again."""
LOOK_AGAIN_S = 5.0
CHECK_ROOM_EVERY_S = 1.0
CLOSE_WITHIN_S = 3.0
END_WITHIN_S = 1.0
STALE_UPLOAD_S = 24 * 3600.0
"""An upload that was begun so long ago, and is not whole, is given up when the server starts."""
DELETED = "it was deleted"


class Jobs:
    """The videos. Any thread may call anything; all may raise AccountsError for a database that is gone.

    The database is the accounts', or one in the folder of the videos; it is made with the first video.
    """

    def __init__(self, config: Config) -> None:
        """Prepare; `start` goes on with what an earlier server has left."""
        self.config = config.videos
        self._detector = config.detector
        self._address = _database_of(config)
        self.folder = Folder(Path(config.videos.folder))
        self._uploads = Uploads()
        self._changed = threading.Condition()  # guards the four below, and steps that must not be mixed
        self._store: JobStore | None = None
        self._running: dict[str, Running] = {}
        self._is_closed = False
        self._has_doubts = True  # about what the database says is running
        self._threads = [
            threading.Thread(target=self._run, name=f"videos-{number}", daemon=True)
            for number in range(1, config.videos.max_running + 1)
        ]

    def start(self) -> None:
        """Go on with what an earlier server has left. Raises AccountsError, ConfigError."""
        if not is_absent(self._address):
            store = self._open()
            self._tidy(store)
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop working; what is not done goes on when a server starts again. May be called twice."""
        with self._changed:
            self._is_closed = True
            for running in self._running.values():
                running.kill("the server ends")
            self._changed.notify_all()
        until = time.monotonic() + CLOSE_WITHIN_S
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.1, until - time.monotonic()))
        with self._changed:
            if self._store:
                self._store.close()

    # What there is.

    def find(self, id: str) -> Job | None:
        """Return the job of that id."""
        store = self._find_store()
        return store.find(id) if store else None

    def jobs(self, owner: str | None = None) -> list[Job]:
        """Return all jobs, or those of `owner`, the newest first."""
        store = self._find_store()
        return store.jobs(owner) if store else []

    def pace(self, id: str) -> Pace | None:
        """Return how far a job is that is being worked on."""
        running = self._running.get(id)
        return running.pace if running else None

    # What is asked for.

    def add_upload(self, owner: str, name: str, bytes: int, options: VideoOptions) -> Job:
        """Return a new job, whose video is to come by `write`.

        Raises OptionError for a wrong name or size, LimitError, StorageError.
        """
        name = limits.check_name(name)
        limits.check_size(self.config, bytes)
        with self._changed:
            store = self._open()
            limits.check_room(self.config, self.folder, store.jobs(), bytes)
            return self._add(store, _new_job(owner, name, None, options, bytes, is_whole=False))

    def add_path(self, owner: str, path: str, options: VideoOptions) -> Job:
        """Return a new job about a video below the media root.

        Raises OptionError, LimitError, StorageError.
        """
        found = limits.find_in_root(self.config.media_root, path)
        size = found.stat().st_size
        limits.check_size(self.config, size)
        with self._changed:
            store = self._open()
            limits.check_room(self.config, self.folder, store.jobs(), 0)
            job = self._add(store, _new_job(owner, found.name, str(found), options, size, is_whole=True))
            self._changed.notify()
            return job

    def _add(self, store: JobStore, job: Job) -> Job:
        if not self._detector.workers:
            raise LimitError("there is no detector (detector.workers)")
        active = store.count(job.owner, ("uploading", "queued", "running"))
        limits.check_count(self.config, active)
        job.options.for_video(self._detector.model, self._detector.score_threshold, None)
        self.folder.make(job)
        store.add(job)
        return job

    def write(self, job: Job, offset: int, pieces: Iterator[bytes]) -> int:
        """Append to an upload; return how many bytes are there then. The last one queues the job.

        Raises UploadConflict and StorageError, and what `pieces` does; what came before that is kept.
        """
        if job.state != "uploading":
            raise UploadConflict("the upload is whole already")
        with self._uploads.writing(job.id, self.folder.source(job), job.bytes) as upload:
            end = upload.write(offset, pieces)
        if end == job.bytes:
            with self._changed:
                self._open().queue(job.id)
                self._changed.notify()
        return end

    def remove(self, id: str) -> None:
        """Stop work on a job and delete all there is of it."""
        with self._changed:
            self._open().remove(id)
            running = self._running.get(id)
            if running:
                running.kill(DELETED)
        self._uploads.cancel(id)
        if running:
            running.ended.wait(END_WITHIN_S)
        self.folder.remove(id)

    # The threads that have them worked on.

    def _run(self) -> None:
        while not self._is_closed:
            try:
                if claimed := self._next():
                    self._work(*claimed)
            except Exception:
                log.exception("videos wait: something is wrong with the database, or the disk")
                with self._changed:
                    self._has_doubts = True
                    self._changed.wait_for(lambda: self._is_closed, LOOK_AGAIN_S)

    def _next(self) -> tuple[Job, Running] | None:
        """Wait for a job; return it, None when it is to be looked again."""
        with self._changed:
            if self._is_closed:
                return None
            if self._has_doubts and self._store:
                self._store.requeue_running(but=self._running.keys())
                self._has_doubts = False
            job = self._store.claim() if self._store else None
            if job is None:
                self._changed.wait(LOOK_AGAIN_S)
                return None
            running = self._running[job.id] = Running()
            return job, running

    def _work(self, job: Job, running: Running) -> None:
        log.info("video %s (%s): work begins", job.id, job.name)
        try:
            end = self._end_of(job, running)
        finally:
            with self._changed:
                del self._running[job.id]
        with self._changed:
            if not self._is_closed:  # then it goes on later
                end(self._open())
        running.ended.set()

    def _end_of(self, job: Job, running: Running) -> Callable[[JobStore], None]:
        """Work on a job; return what is to be noted then."""
        from stream_server.jobs.process import WorkProcess  # noqa: PLC0415 - FFmpeg and models, when needed

        try:
            with contextlib.closing(WorkProcess(self._task(job))) as process:
                running.begin(process)
                return self._hear(job, running, process)
        except (JobError, StorageError) as exc:
            return self._failed(job, str(exc))

    def _hear(self, job: Job, running: Running, process: WorkProcess) -> Callable[[JobStore], None]:
        look_at = time.monotonic() + CHECK_ROOM_EVERY_S
        for report in process.reports():
            if summary := report.summary:
                return self._done(job, summary)
            if report.error:
                return self._failed(job, report.error)
            running.take(report)
            if time.monotonic() > look_at:
                look_at = time.monotonic() + CHECK_ROOM_EVERY_S
                if self.folder.used_bytes() > self.config.quota_bytes:
                    running.kill("there is no room for its result (videos.quota_bytes)")
        return self._broken_off(job, running)

    def _done(self, job: Job, summary: VideoSummary) -> Callable[[JobStore], None]:
        log.info("video %s (%s): done", job.id, job.name)

        def note(store: JobStore) -> None:
            store.finish(job.id, summary)
            self.folder.drop_source(job)

        return note

    def _broken_off(self, job: Job, running: Running) -> Callable[[JobStore], None]:
        if running.why_killed == DELETED:
            return lambda store: None
        if running.why_killed:
            return self._failed(job, running.why_killed)
        if job.runs < MAX_RUNS:
            log.warning("video %s (%s): its process died; it is begun again", job.id, job.name)
            return lambda store: store.queue(job.id)
        return self._failed(job, f"the process that worked on it died {MAX_RUNS} times")

    def _failed(self, job: Job, reason: str) -> Callable[[JobStore], None]:
        log.warning("video %s (%s): %s", job.id, job.name, reason)

        def note(store: JobStore) -> None:
            store.fail(job.id, reason)
            self.folder.remove(job.id)

        return note

    def _task(self, job: Job) -> Task:
        from stream_server.jobs.work import Task  # noqa: PLC0415 - FFmpeg and models, when needed

        detector, model = self._detector, self._detector.file()
        return Task(
            self.folder.source(job),
            self.folder.out(job),
            job.options.for_video(model.name, detector.score_threshold, detector.classes),
            model,
            detector.workers,
            detector.threads,
            self.config.max_length_s,
            self.config.nice,
        )

    # The database.

    def _find_store(self) -> JobStore | None:
        return self._store if self._store or is_absent(self._address) else self._open()

    def _open(self) -> JobStore:
        with self._changed:
            if self._store is None:
                from stream_server.jobs.store import JobStore  # noqa: PLC0415 - SQLAlchemy costs 20 MB

                self._store = JobStore.open(self._address)
            return self._store

    def _tidy(self, store: JobStore) -> None:
        """Queue uploads that are whole; forget those that nobody goes on with, and files of no video."""
        too_old = time.time() - STALE_UPLOAD_S
        for job in store.jobs():
            if job.state == "uploading" and self.folder.received(job) == job.bytes:
                store.queue(job.id)
            elif job.state == "uploading" and job.created_at < too_old:
                store.remove(job.id)
        self.folder.clear_all_but({job.id for job in store.jobs() if job.state != "failed"})


def _database_of(config: Config) -> str:
    if config.auth.database:
        return config.auth.database.get_secret_value()
    return f"sqlite:///{Path(config.videos.folder).absolute() / 'videos.db'}"


def _new_job(
    owner: str, name: str, path: str | None, options: VideoOptions, bytes: int, *, is_whole: bool
) -> Job:
    state: State = "queued" if is_whole else "uploading"
    return Job(secrets.token_hex(8), owner, name, path, options, bytes, state, time.time())
