"""What the engine starts in order and ends in reverse, without knowing what it is."""

from __future__ import annotations

from typing import Protocol


class Service(Protocol):
    """A part of the server with threads of its own. Any thread may call it."""

    def start(self) -> None:
        """Begin; return soon. Raises an error of ours for what cannot be begun."""

    def close(self) -> None:
        """End, within a few seconds; may be called twice, and before `start`."""

    @property
    def is_alive(self) -> bool:
        """Whether it still does what it was started for."""
