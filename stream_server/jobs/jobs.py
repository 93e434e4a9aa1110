"""All videos of a server: takes them, queues them, has them worked on, and forgets them."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from stream_server.config import Config
from stream_server.database.address import path_of
from stream_server.errors import AccountsError, LimitError, StreamServerError, UploadConflict
from stream_server.jobs import quotas
from stream_server.jobs.job import Job, State, VideoOptions
from stream_server.jobs.lazy_store import LazyJobStore
from stream_server.jobs.model_choice import JobModels
from stream_server.jobs.retention import RetentionCleaner
from stream_server.jobs.runner import JobRunner
from stream_server.jobs.storage import JobStorage
from stream_server.jobs.uploads import Uploads
from stream_server.video.pace import Pace

if TYPE_CHECKING:
    from stream_server.jobs.store import JobStore


class Jobs:
    """The videos. Any thread may call anything; all may raise AccountsError for a database that is gone.

    The database is the accounts' file, or one in the folder of the videos; it is made with the first video.
    """

    def __init__(
        self, config: Config, labels_of: Callable[[str], Mapping[int, str]] = lambda model: {}
    ) -> None:
        """Prepare; `start` goes on with what an earlier server has left.

        labels_of: what a model knows that is loaded already, by its name.
        """
        self.config = config.videos
        self.folder = JobStorage(Path(config.videos.folder))
        self.models = JobModels(config, labels_of)
        self._stores = LazyJobStore(_database_of(config))
        self._uploads = Uploads()
        self._adding = threading.Lock()  # makes counting what there is, and adding to it, a single step
        self._crew = JobRunner(self.config, self.folder, self.models, self._stores, self._tidy)
        self._keeper = RetentionCleaner(self.config, self.folder, self._stores, self.remove)

    def start(self) -> None:
        """Go on with what an earlier server has left."""
        self._crew.start()
        self._keeper.start()

    @property
    def is_alive(self) -> bool:
        """Whether there are threads that work, and one that deletes what is old."""
        return self._crew.is_alive and self._keeper.is_alive

    def close(self) -> None:
        """Stop working; what is not done goes on when a server starts again. May be called twice."""
        self._keeper.close()
        self._crew.close()
        self._stores.close()

    # What there is.

    def find(self, id: str) -> Job | None:
        """Return the job of that id."""
        store = self._stores.find()
        return store.find(id) if store else None

    def jobs(self, owner: str | None = None) -> list[Job]:
        """Return all jobs, or those of `owner`, the newest first."""
        store = self._stores.find()
        return store.jobs(owner) if store else []

    def pace(self, id: str) -> Pace | None:
        """Return how far a job is that is being worked on."""
        return self._crew.pace(id)

    def kept_until(self, job: Job) -> float | None:
        """Return when a job will be deleted, in seconds since 1970; None: not by itself."""
        return self._keeper.until(job)

    # What is asked for.

    def add_upload(self, owner: str, name: str, bytes: int, options: VideoOptions) -> Job:
        """Return a new job, whose video is to come by `write`.

        Raises OptionError for a wrong name, size or option, LimitError, StorageError, DetectorError.
        """
        name = quotas.check_name(name)
        quotas.check_size(self.config, bytes)
        return self._add(_new_job(owner, name, None, options, bytes, is_whole=False))

    def add_path(self, owner: str, path: str, options: VideoOptions) -> Job:
        """Return a new job about a video below the media root.

        Raises OptionError, LimitError, StorageError, DetectorError.
        """
        found, size = quotas.find_in_root(self.config.media_root, path)
        quotas.check_size(self.config, size)
        job = self._add(_new_job(owner, found.name, str(found), options, size, is_whole=True))
        self._crew.look()
        return job

    def _add(self, job: Job) -> Job:
        if not self.models.workers:
            raise LimitError("there is no detector (detector.workers)")
        self.models.check(job.options)
        with self._adding:
            store = self._stores.open()
            to_come = 0 if job.path else job.bytes
            quotas.check_room(self.config, self.folder, store.jobs(), to_come)
            quotas.check_count(self.config, store.count(job.owner, ("uploading", "queued", "running")))
            try:
                self.folder.make(job)
                store.add(job)
            except StreamServerError:
                self.folder.remove(job.id)
                raise
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
            self._crew.queue(job.id)
        return end

    def remove(self, id: str) -> None:
        """Stop work on a job and delete all there is of it."""
        try:
            self._crew.drop(id)
        except AccountsError:
            self._drop_files(id)  # a database on a full disk needs the room, even to forget
            self._crew.drop(id)
        self._drop_files(id)

    def _drop_files(self, id: str) -> None:
        self._uploads.cancel(id)
        self.folder.remove(id)

    def _tidy(self, store: JobStore) -> None:
        """Queue uploads that are whole; delete files of no video, e.g. since the server was killed."""
        with self._adding:
            jobs = store.jobs()
            for job in jobs:
                if job.state == "uploading" and self.folder.received(job) == job.bytes:
                    store.queue(job.id)
            self.folder.clear_all_but({job.id for job in jobs if job.state != "failed"})


def _database_of(config: Config) -> str:
    """Return the accounts' if it is a file, which one server has; else one beside the videos it is about."""
    accounts = config.auth.database.get_secret_value() if config.auth.database else ""
    if path_of(accounts):
        return accounts
    return f"sqlite:///{Path(config.videos.folder).absolute() / 'videos.db'}"


def _new_job(
    owner: str, name: str, path: str | None, options: VideoOptions, bytes: int, *, is_whole: bool
) -> Job:
    state: State = "queued" if is_whole else "uploading"
    return Job(secrets.token_hex(8), owner, name, path, options, bytes, state, time.time())
