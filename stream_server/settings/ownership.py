"""Lets one server alone work with a folder: a second one would work on the same videos, and delete some.

The lock is a file's (flock(2)); it ends with the process that took it, and those forked from it, however
they end. Commands that change accounts beside a server need none: the database keeps them apart.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from contextlib import suppress
from pathlib import Path

from stream_server.config import Config
from stream_server.database.address import path_of
from stream_server.errors import ConfigError

log = logging.getLogger(__name__)

WAIT_S = 5.0
"""For what is left of a server that was killed."""
POLL_INTERVAL_S = 0.1
MAX_HOLDER_BYTES = 200


def own_folders(config: Config, where: str) -> None:
    """Take the database and the folder of videos for this process, until it ends.

    where: the server's address, told to who finds them taken. What is not there is made, as it would be with
    the first user or video: a second server finds it taken then. What cannot be made is not taken.

    Raises ConfigError where another server has one of them.
    """
    database = path_of(config.auth.database.get_secret_value()) if config.auth.database else None
    if database is not None:
        _own(database.with_name(f"{database.name}.lock"), f"auth.database: {database}", where)
    folder = Path(config.videos.folder).absolute()
    _own(folder / ".lock", f"videos.folder: {folder}", where)


def _own(file: Path, what: str, where: str) -> None:
    with suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        log.debug("%s cannot be taken: %s", file, exc.strerror)
        return
    try:
        if holder := _lock(handle):
            os.close(handle)
            raise ConfigError(
                f"{what} is in use by another server ({holder}); stop it, or give this one a folder of its "
                "own (--config in another folder, or --set auth.database and videos.folder)"
            )
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()}, {where}".encode(), 0)
    except OSError as exc:  # a file system without locks, or a full one
        log.warning("%s: %s; start no second server with it", file, exc.strerror)


def _lock(handle: int) -> str:
    """Lock the file and return "", or who has it; wait for who has ended, and leaves processes that will."""
    until = time.monotonic() + WAIT_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, MAX_HOLDER_BYTES, 0).decode(errors="replace")
            if _runs(holder) or time.monotonic() > until:
                return holder or "just started"
            time.sleep(POLL_INTERVAL_S)
        else:
            return ""


def _runs(holder: str) -> bool:
    number = holder.partition(",")[0].removeprefix("process ")
    return number.isdecimal() and Path("/proc", number).exists()
