"""How fast a model is on this machine, with so many workers of so many threads each."""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count, cycle, islice

import cv2
import numpy as np

from detector.detections import BGRImage
from detector.errors import DetectorError, DetectorTimeout
from detector.pool import DetectorPool
from detector.pool.layout import Layout
from detector.pool.messages import Model

LOAD_TIMEOUT_S = 60.0
_ASK_EVERY_S = 0.02
_WARM_UP = 2  # images a worker; the first loads the input size


@dataclass(frozen=True, slots=True)
class Speed:
    """What was measured.

    per_s: images a second, all workers busy. latency_ms: from handing over one image to its detections,
    median, with nothing else to do. memory_bytes: of all workers, their own.
    """

    layout: Layout
    per_s: float
    latency_ms: float
    memory_bytes: int


def measure(
    model: Model,
    layout: Layout,
    images: Sequence[BGRImage],
    seconds: float,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Speed:
    """Return the speed of `model` on `images`, which are looked at again and again.

    seconds: of measuring, half of it for `per_s`; loading comes on top. is_cancelled: asked now and then.

    Raises DetectorError when the model cannot be loaded, an image fails or it is cancelled.
    """
    with DetectorPool(model, workers=layout.workers, threads=layout.threads) as pool:
        _wait_ready(pool, layout.workers, is_cancelled)
        _saturate(pool, images, layout.workers, 0.0, at_least=_WARM_UP * layout.workers)
        per_s = _saturate(pool, images, layout.workers, seconds / 2)
        latency_ms = _one_by_one(pool, images, seconds / 2)
        memory_bytes = sum(worker.memory_bytes for worker in pool.status().workers)
    return Speed(layout, per_s, latency_ms, memory_bytes)


def sample_images(size_wh: tuple[int, int]) -> list[BGRImage]:
    """Return four pictures of that size, (H, W, 3) uint8 BGR, of blurred colours."""
    rng = np.random.default_rng(1)
    tiles = rng.integers(0, 256, (4, 9, 16, 3), np.uint8)
    return [np.asarray(cv2.resize(tile, size_wh), np.uint8) for tile in tiles]


def _wait_ready(pool: DetectorPool, workers: int, is_cancelled: Callable[[], bool]) -> None:
    """Wait until all workers have loaded the model: one that still does would be measured as slow."""
    until = time.monotonic() + LOAD_TIMEOUT_S
    while pool.idle_workers < workers:
        if is_cancelled():
            raise DetectorError("the measurement was cancelled")
        if time.monotonic() >= until or pool.status().degraded:
            raise DetectorError(pool.status().error or f"the model does not load in {LOAD_TIMEOUT_S:.0f} s")
        with contextlib.suppress(DetectorTimeout):
            pool.wait_ready(_ASK_EVERY_S)
        time.sleep(_ASK_EVERY_S)


def _saturate(
    pool: DetectorPool, images: Sequence[BGRImage], workers: int, seconds: float, at_least: int = 1
) -> float:
    """Return images a second with an image at every worker, and the next one on its way."""
    done = count()
    failures: list[Exception] = []
    started = time.perf_counter()

    def feed(first: int) -> None:
        try:
            for image in islice(cycle(images), first, None):
                pool.submit(image).result(LOAD_TIMEOUT_S)
                if next(done) + 1 >= at_least and time.perf_counter() - started >= seconds:
                    return
        except Exception as exc:  # raised below, on the caller's thread
            failures.append(exc)

    feeders = [threading.Thread(target=feed, args=(n,), name=f"feeder-{n}") for n in range(workers + 1)]
    for feeder in feeders:
        feeder.start()
    for feeder in feeders:
        feeder.join()
    if failures:
        raise failures[0]
    return next(done) / (time.perf_counter() - started)


def _one_by_one(pool: DetectorPool, images: Sequence[BGRImage], seconds: float) -> float:
    """Return the median time of an image in ms."""
    times_ms: list[float] = []
    until = time.perf_counter() + seconds
    for image in cycle(images):
        started = time.perf_counter()
        pool.submit(image).result(LOAD_TIMEOUT_S)
        times_ms.append((time.perf_counter() - started) * 1000)
        if time.perf_counter() >= until:
            return statistics.median(times_ms)
    raise ValueError("no images")
