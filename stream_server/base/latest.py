"""The slot between two stages: it holds the newest item and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class LatestSlot(Generic[T]):
    """The newest item of a stage, numbered so that a reader knows what it has seen.

    Any thread may call anything.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()  # guards all below
        self._item: T | None = None
        self._version = 0
        self._closed = False
        self._listeners: list[Callable[[], None]] = []

    @property
    def item(self) -> T | None:
        """The newest item, None before the first and after `clear`."""
        return self._item

    @property
    def is_closed(self) -> bool:
        """Whether nothing will come any more."""
        return self._closed

    def put(self, item: T) -> None:
        """Replace the item and wake everyone who waits."""
        with self._changed:
            self._item = item
            self._version += 1
            self._tell()

    def clear(self) -> None:
        """Forget the item: it is too old to be shown."""
        with self._changed:
            self._item = None

    def close(self) -> None:
        """Wake everyone who waits; nothing comes any more."""
        with self._changed:
            self._closed = True
            self._tell()

    def listen(self, listener: Callable[[], None]) -> None:
        """Have `listener` called with each item and at the end, by who puts or closes; it must be quick."""
        with self._changed:
            self._listeners.append(listener)

    def unlisten(self, listener: Callable[[], None]) -> None:
        """Call `listener` no more: not even a call under way elsewhere goes on after this."""
        with self._changed:
            self._listeners.remove(listener)

    @contextmanager
    def heard_by(self, listener: Callable[[], None]) -> Iterator[None]:
        """Have `listener` called, as `listen` says, until the block ends."""
        self.listen(listener)
        try:
            yield
        finally:
            self.unlisten(listener)

    @property
    def is_heard(self) -> bool:
        """Whether anyone listens."""
        return bool(self._listeners)

    def _tell(self) -> None:
        self._changed.notify_all()
        for listener in self._listeners:
            listener()

    def wait_newer(self, seen: int, timeout_s: float) -> tuple[int, T | None]:
        """Return (version, item) once the version differs from `seen`.

        seen: the version returned last time, 0 at first.
        Returns (seen, None) when `timeout_s` passed or the slot was closed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._is_newer(seen), timeout_s)
            return (self._version, self._item) if self._is_newer(seen) else (seen, None)

    def _is_newer(self, seen: int) -> bool:
        return self._version > seen and self._item is not None
