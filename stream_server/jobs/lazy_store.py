"""The database of the videos, opened when it is first needed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from stream_server.database.address import is_absent

if TYPE_CHECKING:
    from stream_server.jobs.store import JobStore


class LazyJobStore:
    """Where the store is: there from the first video on. Any thread may call anything.

    `find` and `open` raise AccountsError for a database that cannot be used.
    """

    def __init__(self, address: str) -> None:
        """address: an SQLAlchemy URL."""
        self._address = address
        self._store: JobStore | None = None
        self._opening = threading.Lock()  # guards _store

    def find(self) -> JobStore | None:
        """Return the store, None where there never was a video."""
        return self._store if self._store or is_absent(self._address) else self.open()

    def open(self) -> JobStore:
        """Return the store, made if need be."""
        with self._opening:
            if self._store is None:
                from stream_server.jobs.store import JobStore  # noqa: PLC0415 - SQLAlchemy costs 20 MB

                self._store = JobStore.open(self._address)
            return self._store

    def close(self) -> None:
        """Let go of the database; may be called twice."""
        with self._opening:
            if self._store:
                self._store.close()
