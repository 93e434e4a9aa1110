"""Pictures from anybody at the detector pool: decoded here, looked at there, as many at once as fit."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from detector.detections import BGRImage, Detections
from detector.errors import DetectorBusy
from detector.pool import DetectorPool
from detector.pool.request_queue import FutureDetections
from stream_server.config import Config
from stream_server.detection.model_labels import ModelLabels, named
from stream_server.errors import ImageError, LimitError
from stream_server.images.results import ImageDetections, ImageOptions, Timings
from stream_server.media.image_decoding import ImageLimits, check_image_bytes, decode_pixels

PICTURES_IN_MEMORY = 4
"""Of the largest size, which may be with the detector at once; of 1280x720, 170."""
ROOM_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """A picture as it came: its bytes, its name if it had one, and what messages call its place."""

    data: bytes
    name: str | None = None
    field: str = "image"


@dataclass(frozen=True, slots=True)
class PendingDetections:
    """A picture at the detector.

    For the thread that brought it, but for `cancel` and `add_done_callback`.
    """

    upload: EncodedImage
    image: BGRImage
    options: ImageOptions
    model: ModelLabels
    future: FutureDetections
    started: float
    decoded: float

    def detections(self) -> Detections:
        """Wait for what is to be reported, boxes in pixels of `image`. Raises what `result` does."""
        height, width = self.image.shape[:2]
        return self.options.keep(self.future.result(), (width, height))

    def result(self) -> ImageDetections:
        """Wait for the answer; the pool's own deadlines see to it that there is one.

        Raises what became of the image: WorkerLost, DetectorTimeout, another DetectorError, CancelledError.
        """
        found = self.detections()
        timings = Timings.of(self.started, self.decoded, self.future.inference_s, time.perf_counter())
        return ImageDetections.of(self.upload.name, self.image, found, timings, self.model)

    def cancel(self) -> None:
        """Let nobody look at it who has not begun."""
        self.future.cancel()

    def add_done_callback(self, callback: Callable[[Future[Detections]], object]) -> None:
        """Call `callback` once `result` has not to wait any more; on the pool's thread, so be quick."""
        self.future.add_done_callback(callback)


class ImageDetectionService:
    """Has pictures looked at by the pool; from any thread. Takes part in it as one client of weight 1."""

    def __init__(self, pool: DetectorPool, config: Config) -> None:
        """pool: may be started later."""
        server = config.server
        self.limits = ImageLimits(server.max_image_bytes, server.max_image_pixels)
        self._pool = pool
        self._default = config.detector
        self._client = pool.client(
            "pictures over the API",
            may_stage=True,
            max_waiting=config.api.max_requests * config.api.max_images,
        )
        self._room = _Room(PICTURES_IN_MEMORY * server.max_image_pixels)

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the models that may be asked for, the default first."""
        return self._pool.models

    def model(self, name: str | None = None) -> ModelLabels:
        """Return a model by its name, by default the detector's.

        Raises OptionError for one that there is not, DetectorBusy while it is being loaded.
        """
        name = self.models[0] if name is None else named(name, self.models)
        labels = self._pool.labels_of(name)
        if not labels:
            raise DetectorBusy(f"the model {name} is being loaded")
        return ModelLabels(name, labels)

    def submit(self, upload: EncodedImage, options: ImageOptions) -> PendingDetections:
        """Decode a picture, here and now, and have it looked at.

        Raises ImageError, OptionError, LimitError when too many large pictures are being looked at, and what
        `DetectorPool.submit` raises.
        """
        started = time.perf_counter()
        options = options.or_else(self._default)
        model = self.model(options.model)
        model.check("classes", options.classes)
        try:
            header = check_image_bytes(upload.data, self.limits)
            pixels = header.size_wh[0] * header.size_wh[1]
            with self._room.taken(pixels) as room:
                image = decode_pixels(upload.data, header)
                decoded = time.perf_counter()
                future = self._submit(image, model.name, options)
                room.keep_until(future)
        except ImageError as exc:
            exc.field = upload.field
            raise
        return PendingDetections(upload, image, options, model, future, started, decoded)

    def _submit(self, image: BGRImage, model: str, options: ImageOptions) -> FutureDetections:
        return self._client.submit(
            image,
            model=model,
            score_threshold=options.score_threshold,
            iou_threshold=options.iou_threshold,
            classes=options.classes,
            max_detections=options.wanted_detections,
        )

    def analyse(self, uploads: Iterable[EncodedImage], options: ImageOptions) -> Iterator[ImageDetections]:
        """Yield what is in each of `uploads`, in their order; the whole pool works on them.

        A picture is decoded while others are looked at. Raises what `submit` and `result` raise; the others
        are then given up.
        """
        return self.analyse_each((upload, options) for upload in uploads)

    def analyse_each(self, asked: Iterable[tuple[EncodedImage, ImageOptions]]) -> Iterator[ImageDetections]:
        """Yield what `analyse` does, of pictures that have options of their own."""
        pending: deque[PendingDetections] = deque()
        window = 2 * max(1, len(self._pool.status().workers))
        try:
            for upload, options in asked:
                if len(pending) >= window:
                    yield pending.popleft().result()
                pending.append(self.submit(upload, options))
            while pending:
                yield pending.popleft().result()
        finally:
            for left in pending:
                left.cancel()


class _Room:
    """Pixels that may be in memory at once."""

    def __init__(self, pixels: int) -> None:
        self._left = pixels
        self._changed = threading.Condition()  # guards _left

    @contextmanager
    def taken(self, pixels: int) -> Iterator[_Taken]:
        """Wait for room for so many, and have it until the end, or longer. LimitError: none for 10 s."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._left >= pixels, ROOM_TIMEOUT_S):
                raise LimitError("too many large pictures are being looked at")
            self._left -= pixels
        taken = _Taken(partial(self._give_back, pixels))
        try:
            yield taken
        finally:
            taken.end()

    def _give_back(self, pixels: int) -> None:
        with self._changed:
            self._left += pixels
            self._changed.notify_all()


class _Taken:
    """Room that is given back at the end of a block, or once a future is done that was said there."""

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back = give_back
        self._is_kept = False

    def keep_until(self, future: FutureDetections) -> None:
        self._is_kept = True
        future.add_done_callback(lambda _: self._give_back())

    def end(self) -> None:
        if not self._is_kept:
            self._give_back()
