"""Remembers that a database has accounts, in a file outside its folder.

A disk that is not mounted looks like a server to which nobody was added yet, which lets in who asks on its
machine. With the mark it lets in nobody, until the accounts are back or somebody says that there are none.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from detector.locks import alone_in
from stream_server.database.address import path_of
from stream_server.errors import AccountsError

NAME = ".stream-server-accounts"
_HEAD = "# These have users or tokens. `stream-server user forget` says that one has none.\n"


class Marker:
    """Whether one database has, or had, accounts. Several processes may look and write."""

    def __init__(self, folder: Path, database: str) -> None:
        """folder: where the file is. database: an SQLAlchemy URL, of which no password is written."""
        self.path = folder / NAME
        self._line = re.sub(r"//[^/@]*@", "//", database).partition("?")[0].replace(f"{folder}/", "")
        self._is_unwritten = False

    @property
    def is_set(self) -> bool:
        """Whether there were accounts; so too where that could not be written. Raises AccountsError."""
        try:
            return self._is_unwritten or self._line in self._lines()
        except (OSError, ValueError) as exc:
            raise self._unusable(exc) from None

    def set(self) -> None:
        """Remember that there are accounts. Raises AccountsError; this object remembers it all the same."""
        try:
            with alone_in(self.path.parent):
                self._add()
        except (OSError, ValueError) as exc:
            self._is_unwritten = True
            raise self._unusable(exc) from None

    def clear(self) -> None:
        """Forget that there were accounts. Raises AccountsError."""
        try:
            with alone_in(self.path.parent):
                self._remove()
        except (OSError, ValueError) as exc:
            raise self._unusable(exc) from None

    def _add(self) -> None:
        if self._line in self._lines():
            return
        head = "" if self.path.exists() else _HEAD
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{head}{self._line}\n")

    def _remove(self) -> None:
        left = [line for line in self._lines() if line != self._line]
        if any(line and not line.startswith("#") for line in left):
            new = self.path.with_name(f"{NAME}.{os.getpid()}")
            new.write_text("\n".join(left) + "\n", encoding="utf-8")
            os.replace(new, self.path)
        else:
            self.path.unlink(missing_ok=True)

    def _lines(self) -> list[str]:
        try:
            return self.path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []

    def _unusable(self, error: OSError | ValueError) -> AccountsError:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        return AccountsError(f"{self.path}: cannot be used: {reason}")


def marker_for(database: str, config_file: Path | None) -> Marker:
    """Return the mark of a database: beside the configuration file, else above the database's folder."""
    file = path_of(database)
    if config_file:
        folder = config_file.absolute().parent
    else:
        folder = file.absolute().parent.parent if file else Path.cwd()
    return Marker(folder, database)
