"""How many requests that are a lot of work are answered at once, and how many of one client's."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from stream_server.errors import ClientLimitError, LimitError


class Admission:
    """Lets in so many at a time and refuses the rest: who has to wait in line does so elsewhere."""

    def __init__(self, most: int, most_per_client: int | None) -> None:
        self._most = most
        self._most_per_client = most_per_client
        self._lock = threading.Lock()  # guards _inside
        self._inside: Counter[str] = Counter()

    @contextmanager
    def admit(self, client: str) -> Iterator[None]:
        """Be one of those inside, until the end. Raises LimitError, ClientLimitError."""
        with self._lock:
            self._check(client)
            self._inside[client] += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside[client] -= 1
                if not self._inside[client]:
                    del self._inside[client]

    def _check(self, client: str) -> None:
        if self._most_per_client is not None and self._inside[client] >= self._most_per_client:
            raise ClientLimitError(
                f"{self._most_per_client} requests of this client are being answered "
                "(api.max_requests_per_address)"
            )
        if self._inside.total() >= self._most:
            raise LimitError(f"{self._most} requests with pictures are being answered (api.max_requests)")
