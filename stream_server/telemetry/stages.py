"""How long each stage takes, as Prometheus histograms, and how often what happened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Literal

from prometheus_client import CollectorRegistry, Histogram

Stage = Literal["capture", "decode", "turn", "detect", "draw", "encode", "send"]
"""capture: from the picture's arrival until the pipeline takes it up; turn: from wanting a frame analysed
until a worker is free for the camera; detect: from there to its detections;
decode, draw, encode: the calls; send: from the encoded frame until all viewers that were ready have it."""

STAGES: tuple[Stage, ...] = ("capture", "decode", "turn", "detect", "draw", "encode", "send")

BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


@dataclass
class Counters:
    """What a camera's pipeline did since it started.

    skipped: frames that were to be analysed, and had no turn at the detector.
    """

    seen: int = 0
    dropped: int = 0
    still: int = 0
    analysed: int = 0
    skipped: int = 0
    drawn: int = 0
    encoded: int = 0
    passed_through: int = 0
    decode_errors: int = 0
    detector_errors: int = 0


class Telemetry:
    """The histograms of one engine, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._histogram = Histogram(
            "stream_server_stage_seconds",
            "Seconds a frame spends in a stage.",
            ("camera", "stage"),
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self._stopwatches: dict[str, Stopwatch] = {}

    def stopwatch(self, camera: str) -> Stopwatch:
        """Return what takes the times of one camera's stages."""
        stopwatch = Stopwatch({stage: self._histogram.labels(camera, stage) for stage in STAGES})
        self._stopwatches[camera] = stopwatch
        return stopwatch

    def forget(self, camera: str) -> None:
        """Tell no more of a camera that is gone."""
        del self._stopwatches[camera]
        for stage in STAGES:
            self._histogram.remove(camera, stage)

    def counts(self, camera: str) -> list[list[int]]:
        """Return, for each of STAGES, how many frames took how long: for each of BUCKETS_S, and above all.

        Nothing was counted for a camera that is gone; to ask the histogram would bring its labels back.
        """
        stopwatch = self._stopwatches.get(camera)
        return stopwatch.counts() if stopwatch else [[0] * (len(BUCKETS_S) + 1) for _ in STAGES]


class Stopwatch:
    """Takes the times of one camera's stages; any thread may use it."""

    def __init__(self, histograms: dict[Stage, Histogram]) -> None:
        self._histograms = histograms

    def observe(self, stage: Stage, seconds: float) -> None:
        """Count one frame that spent `seconds` in `stage`."""
        self._histograms[stage].observe(seconds)

    def counts(self) -> list[list[int]]:
        """Return, for each of STAGES, how many frames took how long: for each of BUCKETS_S, and above all."""
        # Not `collect`, which makes labels of text for each count: 3 ms for eight cameras.
        return [[int(bucket.get()) for bucket in self._histograms[stage]._buckets] for stage in STAGES]

    @contextmanager
    def time(self, stage: Stage) -> Iterator[None]:
        """Count the block as one frame in `stage`, unless it raises."""
        started = perf_counter()
        yield
        self.observe(stage, perf_counter() - started)
