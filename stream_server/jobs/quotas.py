"""What may be asked for: which videos, how many, how large."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import Path

from stream_server.config import VideosConfig
from stream_server.errors import ClientLimitError, LimitError, OptionError, StorageError, VideoTooLarge
from stream_server.jobs.job import Job
from stream_server.jobs.storage import JobStorage
from stream_server.video.input.film import SUFFIXES

_FILE_NAME_BYTES = 200
"""Of the 255 that file systems take; what is made of it is called a little longer."""


def check_name(name: str) -> str:
    """Return what to call a video, whatever its sender's folders are. Raises OptionError."""
    name = name.replace("\\", "/").rpartition("/")[2].strip()
    if (size := len(name.encode("utf-8", "replace"))) > _FILE_NAME_BYTES:
        raise OptionError("name", f"got {size} bytes, expected at most {_FILE_NAME_BYTES}")
    if not name.isprintable() or name.startswith("."):
        raise OptionError("name", "expected printable characters, and no dot at the beginning")
    if Path(name).suffix.lower() not in SUFFIXES:
        raise OptionError("name", f"expected the name of a video ({', '.join(s[1:] for s in SUFFIXES)})")
    return name


def find_in_root(root: str | None, path: str) -> tuple[Path, int]:
    """Return the real path of a video below the media root, and how many bytes it has.

    path: relative to the root, or from the machine's.

    Raises OptionError, the same for all that is not a file there.
    """
    if root is None:
        raise OptionError("path", "the server names no videos.media_root")
    top = Path(root).resolve()
    try:
        found = (top / path).resolve(strict=True)
        status = found.stat()
        is_there = found.is_relative_to(top) and stat.S_ISREG(status.st_mode)
    except (OSError, ValueError, RuntimeError):
        is_there = False
    if not is_there:
        raise OptionError("path", "there is no such file in videos.media_root")
    check_name(found.name)
    return found, status.st_size


def check_size(config: VideosConfig, bytes: int) -> None:
    """Raise OptionError for a video without a byte, VideoTooLarge for one that has too many."""
    if bytes < 1:
        raise OptionError("bytes", "the video is empty")
    if bytes > config.max_bytes:
        raise VideoTooLarge(config.max_bytes)


def check_count(config: VideosConfig, active: int) -> None:
    """Raise LimitError where no job may be added to a user's `active` ones."""
    if not config.max_running:
        raise LimitError("no videos are annotated here (videos.max_running)")
    most = config.max_jobs_per_user
    if active >= most:
        raise ClientLimitError(f"{most} videos of yours are waiting or at work (videos.max_jobs_per_user)")


def check_room(config: VideosConfig, folder: JobStorage, jobs: Iterable[Job], bytes: int) -> None:
    """Raise StorageError where an upload would be too much; what others have announced counts."""
    announced = sum(job.bytes - folder.received(job) for job in jobs if job.state == "uploading")
    if folder.used_bytes() + announced + bytes > config.quota_bytes:
        raise StorageError(
            f"uploads and results may have {config.quota_bytes} bytes; delete some (videos.quota_bytes)"
        )
