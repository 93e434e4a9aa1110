"""The files of videos: a folder for each, in it what was uploaded, and in `out` what is made of it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stream_server.errors import StorageError
from stream_server.jobs.job import Job

_HIDDEN = (".part", ".journal", ".cut")
"""What grows beside a result until it is whole."""
_OURS = re.compile(r"video-([0-9a-f]{16})")
"""What we call folders: nothing else that lies there is counted, or deleted."""


@dataclass(frozen=True, slots=True)
class ResultFile:
    """name: relative to the folder of results, with / between its parts."""

    name: str
    bytes: int


class JobStorage:
    """Where the files of all videos are."""

    def __init__(self, root: Path) -> None:
        """root: made when first needed."""
        self._root = root.absolute()

    def make(self, job: Job) -> None:
        """Make the folder of a job, for no other eyes. Raises StorageError."""
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.of(job.id).mkdir(mode=0o700)
            if job.path is None:
                self.source(job).touch(mode=0o600)
        except OSError as exc:
            raise storage_error(exc) from None

    def of(self, id: str) -> Path:
        """Return the folder of a job."""
        return self._root / f"video-{id}"

    def source(self, job: Job) -> Path:
        """Return where the video is that a job is about."""
        if job.path is not None:
            return Path(job.path)
        return self.of(job.id) / f"input{Path(job.name).suffix.lower()}"

    def out(self, job: Job) -> Path:
        """Return where the annotated video is to be; its name is what people call it."""
        stem = Path(job.name).stem
        return self.of(job.id) / "out" / f"{stem}.annotated.{job.options.format}"

    def received(self, job: Job) -> int:
        """Return how many bytes of an upload are there."""
        try:
            return self.source(job).stat().st_size
        except OSError:
            return 0

    def received_at(self, job: Job) -> float | None:
        """Return when the last bytes of an upload came, in seconds since 1970; None: there is none."""
        try:
            return self.source(job).stat().st_mtime
        except OSError:
            return None

    def results(self, job: Job) -> list[ResultFile]:
        """Return what was made of a video."""
        top = self.out(job).parent
        found = []
        for path in sorted(top.rglob("*")):
            with suppress(OSError):  # it is being deleted
                if path.is_file() and path.suffix not in _HIDDEN:
                    found.append(ResultFile(path.relative_to(top).as_posix(), path.stat().st_size))
        return found

    def drop_source(self, job: Job) -> None:
        """Delete what was uploaded: it is not needed any more. What stays goes with the job."""
        if job.path is None:
            with suppress(OSError):
                self.source(job).unlink()

    def remove(self, id: str) -> None:
        """Delete all files of a job."""
        shutil.rmtree(self.of(id), ignore_errors=True)

    def clear_all_but(self, ids: set[str]) -> None:
        """Delete what belongs to no job, e.g. since the server was killed between two steps."""
        for id in self._ids() - ids:
            self.remove(id)

    def used_bytes(self) -> int:
        """Return how many bytes all files have."""
        return sum(size for id in self._ids() for size in _sizes(self.of(id)))

    def _ids(self) -> set[str]:
        try:
            return {match[1] for name in os.listdir(self._root) if (match := _OURS.fullmatch(name))}
        except OSError:
            return set()


def storage_error(error: OSError) -> StorageError:
    """Return what to say about an error in writing."""
    return StorageError(f"the video cannot be kept: {(error.strerror or str(error)).lower()}")


def _sizes(folder: Path) -> Iterator[int]:
    """Yield the sizes of all files below `folder`, some of which may go meanwhile."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        with suppress(OSError):
            if entry.is_dir(follow_symlinks=False):
                yield from _sizes(Path(entry.path))
            else:
                yield entry.stat(follow_symlinks=False).st_size
