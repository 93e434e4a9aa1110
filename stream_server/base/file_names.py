"""Names of files: as text that can be shown, short enough for what is made of them, and no two alike."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count

MAX_BYTES = 255
"""The longest name that file systems take (NAME_MAX)."""


def readable(name: str | os.PathLike[str]) -> str:
    r"""Return a file's name as text that can be written everywhere: \xe9 for a byte that is no UTF-8."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def size_of(name: str) -> int:
    """Return how many bytes a name has."""
    return len(os.fsencode(name))


def shortened(stem: str, most: int) -> str:
    """Return `stem`, without its last letters where it has more than `most` bytes."""
    while size_of(stem) > most:
        stem = stem[:-1]
    return stem


def alternatives(stem: str, suffix: str) -> Iterator[str]:
    """Yield what may be made of a file called `stem` and `suffix`: of b.ts b, b.ts, b-2, b-3 and so on."""
    yield stem
    yield f"{stem}{suffix}"
    for number in count(2):
        yield f"{stem}-{number}"
