"""Images on their way to a worker, the line they wait in when none is free, and who brings them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Literal

from detector.detections import BGRImage, Detections
from detector.errors import DetectorError
from detector.pool.messages import DetectOptions


class FutureDetections(Future[Detections]):
    """The detections of one image, once they are known.

    inference_s: how long a detector was busy with it, of a batch an equal part; 0 before it is done.
    """

    inference_s = 0.0


@dataclass(slots=True, eq=False)
class Request:
    """One image and the promise of its detections.

    client: who asked. deadline: `time.monotonic()` seconds, to be given to a worker.
    cost_s: of a worker's time, an estimate until it is answered.
    """

    id: int
    client: Client
    image: BGRImage
    model: str
    options: DetectOptions
    deadline: float
    cost_s: float = 0.0
    future: FutureDetections = field(default_factory=FutureDetections)
    _is_claimed: bool | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether nobody has begun with it, and it can still be cancelled."""
        return self._is_claimed is None and not self.future.cancelled()

    def claim(self) -> bool:
        """Start work on it; False when it was cancelled. From then on it cannot be."""
        if self._is_claimed is None:
            self._is_claimed = self.future.set_running_or_notify_cancel()
        return self._is_claimed

    def complete(self, result: Detections | DetectorError) -> None:
        """Keep the promise, once, or say why it cannot be kept. Runs the future's callbacks."""
        if not self.claim():
            return
        if isinstance(result, DetectorError):
            self.future.set_exception(result)
        else:
            self.future.set_result(result)


class RequestQueue:
    """Requests in order of arrival. For one thread at a time."""

    def __init__(self) -> None:
        self._requests: deque[Request] = deque()

    def __len__(self) -> int:
        return len(self._requests)

    def add(self, request: Request) -> None:
        """Put `request` at the end."""
        self._requests.append(request)

    def put_back(self, request: Request) -> None:
        """Put `request` first."""
        self._requests.appendleft(request)

    def remove(self, request: Request) -> bool:
        """Take `request` out; False when it is not in line."""
        if request in self._requests:
            self._requests.remove(request)
            return True
        return False

    def take(self) -> Request | None:
        """Take out the first request that is not cancelled, None when there is none."""
        self.drop_cancelled()
        return self._requests.popleft() if self._requests else None

    def drop_cancelled(self) -> None:
        """Take out those that nobody wants any more."""
        if any(request.future.cancelled() for request in self._requests):
            self._requests = deque(request for request in self._requests if not request.future.cancelled())

    def take_overdue(self, now: float = math.inf) -> list[Request]:
        """Take out the requests whose deadline has passed."""
        overdue = [request for request in self._requests if request.deadline <= now]
        if overdue:
            self._requests = deque(request for request in self._requests if request.deadline > now)
        return overdue


@dataclass(slots=True, eq=False)
class Client:
    """One of those who share the pool, as the scheduler knows it.

    weight: its share, compared with others'. may_stage: its images may wait at a worker that is busy.
    max_waiting: images in line. on_turn: called, holding no lock, when a wish has come true.
    tag: seconds of workers' time it was given, by its weight. lead_s: how long it usually takes to come.
    """

    name: str
    weight: float = 1.0
    may_stage: bool = False
    max_waiting: int = 1
    on_turn: Callable[[], None] = lambda: None
    line: RequestQueue = field(default_factory=RequestQueue)
    tag: float = 0.0
    lead_s: float = 0.0
    state: Literal["away", "wishing", "called"] = "away"
    called_at: float = 0.0

    @property
    def is_called(self) -> bool:
        """Whether it is this client's turn to bring an image."""
        return self.state == "called"
