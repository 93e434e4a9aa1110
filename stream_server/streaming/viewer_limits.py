"""Lets viewers in, as many as the configuration allows: in all, at a camera, from an address, by a token."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from stream_server.accounts.grants import OPEN, Lease
from stream_server.config import ServerConfig
from stream_server.errors import LimitError
from stream_server.streaming.streams import Streams, Variant, Viewer


class ViewerLimits:
    """Counts the viewers of all cameras. Any thread may ask."""

    def __init__(self, server: ServerConfig, all_streams: Callable[[], Iterable[Streams]]) -> None:
        """all_streams: returns those of each camera there is now."""
        self.max_viewers = server.max_viewers  # or fewer, where descriptors do not suffice
        self._server, self._all_streams = server, all_streams
        self._lock = threading.Lock()  # makes counting the viewers and adding one a single step

    @property
    def viewers(self) -> int:
        """How many watch now, over all cameras."""
        return sum(streams.viewers for streams in self._all_streams())

    def watch(
        self, streams: Streams, variant: Variant, fps: float, address: str, lease: Lease | None
    ) -> Viewer:
        """Return a new viewer of a camera's streams; parameters as in `Engine.watch`.

        Raises LimitError when as many watch already as may.
        """
        with self._lock:
            self._check(streams, address, lease)
            return streams.watch(variant, fps, address, lease)

    def _check(self, streams: Streams, address: str, lease: Lease | None) -> None:
        server = self._server
        limits: tuple[tuple[str, int | None, int], ...] = (
            ("max_viewers", self.max_viewers, self.viewers),
            ("max_viewers_per_camera", server.max_viewers_per_camera, streams.viewers),
            ("max_viewers_per_address", server.max_viewers_per_address, self._viewers_from(address)),
            ("max_viewers_per_token", server.max_viewers_per_token, self._viewers_by(lease)),
        )
        for key, most, now in limits:
            if most is not None and now >= most:
                raise LimitError(f"{most} viewers watch already, more are not allowed (server.{key})")

    def _viewers_from(self, address: str) -> int:
        return sum(streams.viewers_from(address) for streams in self._all_streams())

    def _viewers_by(self, lease: Lease | None) -> int:
        if lease is None or lease.grant is OPEN:
            return 0
        return sum(streams.viewers_by(lease.grant.key) for streams in self._all_streams())
