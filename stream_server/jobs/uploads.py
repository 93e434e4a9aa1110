"""Uploads that come in pieces, and go on where they were broken off."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from stream_server.errors import UploadConflict
from stream_server.jobs.storage import storage_error


class UploadWriter:
    """One piece of an upload being written; used by one thread, but for `cancel`."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size
        self._is_cancelled = False

    def cancel(self) -> None:
        """Take nothing more."""
        self._is_cancelled = True

    def write(self, offset: int, pieces: Iterator[bytes]) -> int:
        """Append bytes at `offset`; return how many there are then.

        What came is kept, also when the rest does not: how long the file is, is what is known of it.

        Raises UploadConflict where `offset` is not the end, for more bytes than were announced and for a
        video that was deleted meanwhile, StorageError.
        """
        try:
            with self._path.open("r+b", buffering=0) as file:
                end = file.seek(0, 2)
                if offset != end:
                    raise UploadConflict(f"the upload goes on at {end}, not at {offset}")
                for piece in pieces:
                    self._check(end + len(piece))
                    _write_all(file, piece)
                    end += len(piece)
                return end
        except OSError as exc:
            self._check(0)
            raise storage_error(exc) from None

    def _check(self, end: int) -> None:
        if self._is_cancelled:
            raise UploadConflict("the video was deleted")
        if end > self._size:
            raise UploadConflict(f"more bytes came than the {self._size} that were announced")


def _write_all(file: FileIO, piece: bytes) -> None:
    """Write a piece; the disk may be full after a part of it."""
    rest = memoryview(piece)
    while rest:
        rest = rest[file.write(rest) :]


class Uploads:
    """The uploads that are being written, one piece of each at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the map
        self._running: dict[str, UploadWriter] = {}

    @contextmanager
    def writing(self, id: str, path: Path, size: int) -> Iterator[UploadWriter]:
        """Be the one who writes the upload `id`. Raises UploadConflict when somebody does."""
        upload = UploadWriter(path, size)
        with self._lock:
            if id in self._running:
                raise UploadConflict("another request is writing this upload")
            self._running[id] = upload
        try:
            yield upload
        finally:
            with self._lock:
                del self._running[id]

    def cancel(self, id: str) -> None:
        """Let who writes the upload `id` write no more."""
        with self._lock, suppress(KeyError):
            self._running[id].cancel()
