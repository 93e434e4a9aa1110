"""Cameras that want more of the detector than there is: who gets how much, and how old its frames are.

Each camera is what a pipeline does about detection, and nothing else: JPEG frames come at its rate, the
newest is decoded when it is the camera's turn. The pool's plain throughput, images ready and in line, is
measured before and after, so that the two are of one run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import threading
import time
from dataclasses import dataclass, field

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks._machine import machine
from benchmarks.detector import make_images, run_pool
from detector import BGRImage
from detector.pool import DetectorPool
from detector.pool.messages import DetectOptions
from stream_server.config import DetectConfig
from stream_server.detection.camera_detector import CameraDetector, FrameDetections
from stream_server.media.encode import encode_jpeg
from stream_server.media.frames import Frame, Picture
from stream_server.media.jpeg import picture_of
from stream_server.telemetry.stages import Counters, Telemetry

SIZE_WH = (1280, 720)
TARGET_JAIN = 0.95


def main(argv: list[str]) -> None:
    """Measure and print a table and, last, one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks scheduler", description=__doc__)
    parser.add_argument(
        "--model", default="centernet-mobilenetv3", help="name or path (default: %(default)s)"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes (default: one a core)")
    parser.add_argument("--cameras", type=int, default=8, help="how many (default: %(default)s)")
    parser.add_argument(
        "--overload", type=float, default=3.0, help="times what is possible (default: %(default)s)"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="to measure (default: %(default)s)")
    parser.add_argument("--raw", action="store_true", help="frames that need not be decoded")
    arguments = parser.parse_args(argv)
    images, what = make_images(SIZE_WH)
    with DetectorPool(arguments.model, workers=arguments.workers) as pool:
        pool.wait_ready(60)
        before = plain_per_s(pool, images, arguments.workers, arguments.seconds / 4)
        fps = arguments.overload * before / arguments.cameras
        cameras = [
            PacedCamera(pool, f"{number}", fps, images, arguments.raw) for number in range(arguments.cameras)
        ]
        measure(cameras, arguments.seconds)
        after = plain_per_s(pool, images, arguments.workers, arguments.seconds / 4)
        inference_ms = statistics.mean(worker.inference_ms for worker in pool.status().workers)
    show(f"{arguments.model}, {what}", cameras, arguments.seconds, fps, (before + after) / 2, inference_ms)


def plain_per_s(pool: DetectorPool, images: list[BGRImage], workers: int, seconds: float) -> float:
    """Return the images per second of a pool that always has some in line."""
    count, elapsed = run_pool(pool, images, workers, seconds)
    return count / elapsed


@dataclass
class PacedCamera:
    """A camera's frames, `fps` a second, and what becomes of them."""

    pool: DetectorPool
    name: str
    fps: float
    images: list[BGRImage]
    is_raw: bool
    analyses: list[FrameDetections] = field(default_factory=list)
    counters: Counters = field(default_factory=Counters)

    def run(self, stop: threading.Event) -> None:
        """Offer the newest frame whenever there is a new one, or a turn."""
        wake = threading.Event()
        jpegs = [encode_jpeg(image, 80) for image in self.images]
        pictures = [Picture.of_image(image.copy()) for image in self.images] if self.is_raw else []
        analyst = CameraDetector(
            self.pool,
            DetectConfig(fps=min(120, self.fps)),
            DetectOptions(),
            name=self.name,
            model=self.pool.models[0],
            image_of=lambda frame: frame.image,
            counters=self.counters,
            stopwatch=Telemetry().stopwatch(self.name),
            wake=wake.set,
        )
        started, frame = time.monotonic(), None
        while not stop.is_set():
            number = 1 + int((time.monotonic() - started) * self.fps)
            if frame is None or frame.sequence != number:
                which = number % len(jpegs)
                picture = pictures[which] if self.is_raw else picture_of(jpegs[which])
                frame = Frame(picture, self.name, number, started + (number - 1) / self.fps)
            analyst.offer(frame)
            self.analyses += analyst.collect()
            wake.wait(max(0.0, started + number / self.fps - time.monotonic()))
            wake.clear()
        analyst.close()


def measure(cameras: list[PacedCamera], seconds: float) -> None:
    """Let all cameras run at once for that long."""
    stop = threading.Event()
    threads = [threading.Thread(target=camera.run, args=(stop,), name=camera.name) for camera in cameras]
    for thread in threads:
        thread.start()
    stop.wait(seconds)
    stop.set()
    for thread in threads:
        thread.join()


def jain(rates: list[float]) -> float:
    """Return Jain's index: 1 for equal rates, 1/n when one has all."""
    return sum(rates) ** 2 / (len(rates) * sum(rate * rate for rate in rates))


def show(
    what: str, cameras: list[PacedCamera], seconds: float, fps: float, plain: float, inference_ms: float
) -> None:
    """Print what was measured, for people and for programs."""
    rates = [len(camera.analyses) / seconds for camera in cameras]
    ages_ms = [
        [1000 * analysis.latency_s - inference_ms for analysis in camera.analyses] for camera in cameras
    ]
    table = Table(title=f"{what}, {len(cameras)} cameras of {fps:.1f} fps at {plain:.1f} images/s")
    for heading in ("camera", "analysed/s", "skipped/s", "age at start, median ms", "95 %"):
        table.add_column(heading, justify="right")
    for camera, rate, ages in zip(cameras, rates, ages_ms, strict=True):
        skipped = f"{camera.counters.skipped / seconds:.1f}"
        table.add_row(
            camera.name, f"{rate:.2f}", skipped, *(f"{np.percentile(ages, part):.1f}" for part in (50, 95))
        )
    all_ages = [age for ages in ages_ms for age in ages]
    figures = {
        "benchmark": "scheduler",
        "machine": machine(),
        "model": what,
        "rates_per_s": rates,
        "jain": jain(rates),
        "age_at_start_ms": {str(part): float(np.percentile(all_ages, part)) for part in (50, 95)},
        "inference_ms": inference_ms,
        "cameras_per_s": sum(rates),
        "plain_per_s": plain,
        "share_of_plain": sum(rates) / plain,
        "passed": jain(rates) >= TARGET_JAIN,
    }
    Console().print(table)
    print(
        f"Jain's index {figures['jain']:.4f} (target >= {TARGET_JAIN}); together {sum(rates):.1f}/s, "
        f"{figures['share_of_plain']:.2f} of the pool's plain throughput; inference {inference_ms:.1f} ms"
    )
    print(json.dumps(figures))
