"""One who shares the pool with others, as it is used."""

from __future__ import annotations

import itertools
import time
from collections.abc import Collection

from detector.detections import BGRImage, check_image
from detector.errors import DetectorError
from detector.pool.dispatcher import Dispatcher
from detector.pool.messages import DetectOptions
from detector.pool.request_queue import Client, FutureDetections, Request

_numbers = itertools.count(1)


class PoolClient:
    """Brings images to a pool, and gets the share of its workers that its weight gives it.

    Who has many images to choose from, such as a camera, asks first: `ask` until it returns True or the
    client is called, then `submit` the newest image, or `give_back`. From any thread, one at a time.
    """

    def __init__(
        self, dispatcher: Dispatcher, client: Client, models: tuple[str, ...], timeout_s: float
    ) -> None:
        """Made by `DetectorPool.client`. models: the names known, the default first."""
        self._dispatcher = dispatcher
        self._client = client
        self._models = models
        self._timeout_s = timeout_s
        dispatcher.add(client)

    def ask(self) -> bool:
        """Return whether it is this client's turn: a free worker waits some milliseconds for its image.

        When it is not, the client is called as soon as it is. Ask as often as you like.
        """
        return self._dispatcher.ask(self._client)

    def give_back(self) -> None:
        """Let the next one have the turn, if this client has it; ask no longer, if it does not."""
        self._dispatcher.withdraw(self._client)

    def submit(
        self,
        image: BGRImage,
        *,
        model: str | None = None,
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
        classes: Collection[str] | None = None,
        max_detections: int | None = None,
        timeout_s: float | None = None,
    ) -> FutureDetections:
        """Return the future detections of `image`, as the pool's `submit` does.

        Without having asked, or too late after having been called, the image waits in the client's line.

        timeout_s: for it to be given to a worker; default, and at most, the pool's.
        """
        self._dispatcher.check_open()
        check_image(image)
        model = self._models[0] if model is None else model
        if model not in self._models:
            raise DetectorError(f"model: got {model!r}, expected one of {', '.join(self._models)}")
        labels = None if classes is None else tuple(classes)
        options = DetectOptions(score_threshold, iou_threshold, labels, max_detections)
        deadline = time.monotonic() + min(self._timeout_s, timeout_s or self._timeout_s)
        request = Request(next(_numbers), self._client, image, model, options, deadline)
        self._dispatcher.bring(request)
        return request.future

    def close(self) -> None:
        """Take part no more; images in line fail. May be called twice."""
        self._dispatcher.remove(self._client)
