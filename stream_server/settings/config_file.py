"""The configuration file: read, and written so that there is a whole one at any time."""

from __future__ import annotations

import errno
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from detector.locks import alone_in
from stream_server.config.text import read_text
from stream_server.errors import SettingsConflict

_NOT_BESIDE = frozenset({errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS})
"""Why a file cannot be replaced by another that may still be written into: it is mounted by itself, as Docker
does it, or its folder is not to be written to."""


class ConfigFile:
    """The file at a path; where that is a link, what it points at."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def why_read_only(self) -> str | None:
        """Why it cannot be written, None where it can."""
        if not self.path.exists():
            return f"{self.path} is not there any more"
        return None if os.access(self.path, os.W_OK) else f"{self.path} is read-only"

    def read(self) -> str:
        """Return what is in it. Raises ConfigError."""
        return read_text(self.path)

    def write(self, text: str, *, instead_of: str) -> None:
        """Let it hold `text`; who reads it meanwhile gets all of the one or of the other.

        Only a file that cannot be replaced is written in place: mode, owner and links stay in either case.

        Raises SettingsConflict where it does not hold `instead_of` any more, or cannot be written.
        """
        target = self.path.resolve()
        try:
            with alone_in(target.parent):  # another server may have this file too
                self._put(target, text, instead_of)
        except OSError as exc:
            raise SettingsConflict(f"{self.path} cannot be written: {exc.strerror}") from None

    def _put(self, target: Path, text: str, instead_of: str) -> None:
        try:
            self._replace(target, text, instead_of)
        except OSError as exc:
            if exc.errno not in _NOT_BESIDE:
                raise
            self._check(instead_of)
            _write_into(target, text)

    def _replace(self, target: Path, text: str, instead_of: str) -> None:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".new", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                _be_like(file.fileno(), target)
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
            self._check(instead_of)
            os.replace(name, target)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise
        _sync_folder(target.parent)

    def _check(self, instead_of: str) -> None:
        if self.read() != instead_of:
            raise SettingsConflict(f"{self.path} was changed by somebody else just now; look, and try again")


def _be_like(handle: int, target: Path) -> None:
    """Give a new file mode and owner of the one it replaces. Raises PermissionError where that may not be."""
    like = target.stat()
    own = os.fstat(handle)
    if (like.st_uid, like.st_gid) != (own.st_uid, own.st_gid):
        os.fchown(handle, like.st_uid, like.st_gid)
    os.fchmod(handle, like.st_mode & 0o7777)


def _write_into(target: Path, text: str) -> None:
    data = text.encode()
    with target.open("r+b", buffering=0) as file:
        file.write(data)
        file.truncate(len(data))
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Let the folder's entry survive a loss of power, where its file system can say so."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
