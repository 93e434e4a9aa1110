"""Images on their way to a worker, and the line they wait in when none is free."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field

from detector.detections import BGRImage, Detections
from detector.errors import DetectorError
from detector.worker import DetectOptions


@dataclass(slots=True, eq=False)
class Request:
    """One image and the promise of its detections.

    deadline: `time.monotonic()` seconds; to be handed to a worker and, once it is, to be answered.
    """

    id: int
    image: BGRImage
    options: DetectOptions
    deadline: float
    future: Future[Detections] = field(default_factory=Future)

    def claim(self) -> bool:
        """Start work on it, once; False when it was cancelled. From then on it cannot be."""
        return self.future.set_running_or_notify_cancel()

    def complete(self, result: Detections | DetectorError) -> None:
        """Keep the promise, once, or say why it cannot be kept. Runs the future's callbacks."""
        if isinstance(result, DetectorError):
            self.future.set_exception(result)
        else:
            self.future.set_result(result)


class Line:
    """Requests in order of arrival, `limit` at most. For one thread at a time."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._requests: deque[Request] = deque()

    def __len__(self) -> int:
        return len(self._requests)

    def add(self, request: Request) -> bool:
        """Put `request` at the end; False when the line is full of requests that nobody has cancelled."""
        if len(self._requests) >= self._limit:
            self._requests = deque(waiting for waiting in self._requests if not waiting.future.cancelled())
        if len(self._requests) >= self._limit:
            return False
        self._requests.append(request)
        return True

    def take(self) -> Request | None:
        """Claim the first request and take it out, None when there is none."""
        while self._requests:
            request = self._requests.popleft()
            if request.claim():
                return request
        return None

    def take_overdue(self, now: float) -> list[Request]:
        """Claim the requests whose deadline has passed and take them out."""
        overdue: list[Request] = []
        while self._requests and self._requests[0].deadline <= now:
            request = self._requests.popleft()
            if request.claim():
                overdue.append(request)
        return overdue
