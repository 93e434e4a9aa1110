"""A belt from one thread to the next, with room for a few frames."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

_MAX_ITEMS = 1000


class BeltStopped(Exception):
    """Who takes from the belt has gone."""


class BoundedQueue(Generic[T]):
    """What one thread puts on it, another takes off, in order; the first waits while the belt is full."""

    def __init__(self, room: int) -> None:
        """room: for large items; small ones, such as sound, need next to none."""
        self._room = room
        self._items: deque[tuple[T, bool]] = deque()
        self._large = 0
        self._is_closed = self._is_stopped = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()  # guards all of it

    def put(self, item: T, *, is_large: bool = True) -> None:
        """Put `item` on it, when there is room. Raises BeltStopped when nobody takes it any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_stopped or self._has_room(is_large))
            if self._is_stopped:
                raise BeltStopped
            self._items.append((item, is_large))
            self._large += is_large
            self._changed.notify_all()

    def _has_room(self, is_large: bool) -> bool:
        return (self._large < self._room or not is_large) and len(self._items) < _MAX_ITEMS

    def close(self, error: BaseException | None = None) -> None:
        """Say that nothing follows, or why not."""
        with self._changed:
            self._is_closed, self._error = True, self._error or error
            self._changed.notify_all()

    def stop(self) -> None:
        """Take nothing more, and let who waits for room go."""
        with self._changed:
            self._is_stopped = True
            self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        """Take items off until the belt is closed or stopped; then raise what it was closed with."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._is_closed or self._is_stopped)
                if not self._items:
                    break
                item, is_large = self._items.popleft()
                self._large -= is_large
                self._changed.notify_all()
            yield item
        if self._error and not self._is_stopped:
            raise self._error
