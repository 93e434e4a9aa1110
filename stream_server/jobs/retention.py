"""How long videos are kept: results until they are old, uploads while somebody goes on with them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from stream_server.config import VideosConfig
from stream_server.jobs.job import ENDED, Job
from stream_server.jobs.lazy_store import LazyJobStore
from stream_server.jobs.storage import JobStorage
from stream_server.jobs.trouble import Trouble

log = logging.getLogger(__name__)

POLL_INTERVAL_S = 600.0
CLOSE_TIMEOUT_S = 3.0


class RetentionCleaner:
    """Has those deleted whose time is over, on a thread of its own."""

    def __init__(
        self, config: VideosConfig, folder: JobStorage, stores: LazyJobStore, remove: Callable[[str], None]
    ) -> None:
        """remove: deletes all there is of a video."""
        self._config, self._folder, self._stores, self._remove = config, folder, stores, remove
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="videos-keeper", daemon=True)

    def start(self) -> None:
        """Look now, and from then on again and again."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether old videos are looked for."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Delete nothing any more; may be called twice."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_TIMEOUT_S)

    def until(self, job: Job) -> float | None:
        """Return when a video will be deleted, in seconds since 1970; None: not by itself."""
        if job.state in ENDED:
            since, keep_s = job.ended_at, self._config.keep_s
        elif job.state == "uploading":
            since, keep_s = self._folder.received_at(job) or job.created_at, self._config.keep_uploads_s
        else:
            return None
        return None if since is None or keep_s is None else since + keep_s

    def _run(self) -> None:
        lengths = (self._config.keep_s, self._config.keep_uploads_s)
        every_s = min([POLL_INTERVAL_S, *filter(None, lengths)])
        trouble = Trouble(log, "old videos are not deleted")
        while not self._stop.is_set():
            try:
                self._look()
                trouble.end()
            except Exception as exc:
                trouble.tell(exc)
            self._stop.wait(every_s)

    def _look(self) -> None:
        store = self._stores.find()
        for job in store.jobs() if store else []:
            until = self.until(job)
            if until is not None and until <= time.time():
                log.info("video %s (%s): its time is over, it is deleted", job.id, job.name)
                self._remove(job.id)
