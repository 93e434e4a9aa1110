"""Addresses of databases, looked at without loading SQLAlchemy, which costs 20 MB."""

from __future__ import annotations

from pathlib import Path


def path_of(database: str) -> Path | None:
    """Return the file of the SQLite database at an SQLAlchemy URL, None for another's."""
    scheme, _, path = database.partition(":///")
    is_file = scheme.partition("+")[0] == "sqlite" and path
    return Path(path.partition("?")[0]) if is_file else None


def is_absent(database: str) -> bool:
    """Return whether an SQLite file is not there; one that cannot be looked at may be."""
    path = path_of(database)
    try:
        return path is not None and not path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
