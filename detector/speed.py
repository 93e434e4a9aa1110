"""How fast a model is on this machine, with so many workers of so many threads each."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count, cycle, islice
from typing import NamedTuple

import cv2
import numpy as np

from detector.detections import BGRImage
from detector.detector import load_detector
from detector.messages import Model
from detector.pool import DetectorPool

LOAD_WITHIN_S = 60.0
_WARM_UP = 2  # images a worker; the first loads the input size


class Layout(NamedTuple):
    """Worker processes, and threads that the runtime uses in each."""

    workers: int
    threads: int


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


def measure(model: Model, layout: Layout, images: Sequence[BGRImage], seconds: float) -> Speed:
    """Return the speed of `model` on `images`, which are looked at again and again.

    seconds: of measuring, half of it for `per_s`; loading comes on top.

    Raises DetectorError when the model cannot be loaded or an image fails.
    """
    loader = partial(load_detector, threads=layout.threads)
    with DetectorPool(model, workers=layout.workers, loader=loader) as pool:
        pool.wait_ready(LOAD_WITHIN_S)
        _saturate(pool, images, layout.workers, 0.0, at_least=_WARM_UP * layout.workers)
        per_s = _saturate(pool, images, layout.workers, seconds / 2)
        latency_ms = _one_by_one(pool, images, seconds / 2)
        memory_bytes = sum(worker.memory_bytes for worker in pool.status().workers)
    return Speed(layout, per_s, latency_ms, memory_bytes)


def layouts(cores: int) -> list[Layout]:
    """Return the ways to divide `cores`, in powers of two: from one thread each to one worker with all."""
    threads = [1 << power for power in range(cores.bit_length())]
    return list(dict.fromkeys(Layout(cores // each, each) for each in threads))


def sample_images(size_wh: tuple[int, int]) -> list[BGRImage]:
    """Return four pictures of that size, (H, W, 3) uint8 BGR, of blurred colours."""
    rng = np.random.default_rng(1)
    tiles = rng.integers(0, 256, (4, 9, 16, 3), np.uint8)
    return [np.asarray(cv2.resize(tile, size_wh), np.uint8) for tile in tiles]


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
                pool.submit(image).result(LOAD_WITHIN_S)
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
        pool.submit(image).result(LOAD_WITHIN_S)
        times_ms.append((time.perf_counter() - started) * 1000)
        if time.perf_counter() >= until:
            return statistics.median(times_ms)
    raise ValueError("no images")
