"""A video file to an annotated one: how near that comes to its slowest stage alone, and to what else is done.

Stages alone: frames a second of the detector pool with images always waiting; of decoding and encoding, each
in a thread. The product runs all of it at once. "one in flight" puts a frame, waits for its detections, and
goes on, as most programs do. "threads" has decoder, detectors and encoder as threads of one process.

With as many workers as cores, stages take each other's cores: then the bound is what all of them cost in CPU
time, over the cores. With a core left for decoding and encoding it is the pool, with --every the encoder.
What other programs took of the machine meanwhile is counted (they slow what needs all cores more than what
needs one) and taken off the cores. Ways are interleaved, medians of rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from statistics import median

import av
import numpy as np

from benchmarks._machine import cpu_seconds, descendants, machine, machine_cpu_seconds
from detector import BGRImage, Detections, load_detector
from detector.machine import usable_cores
from detector.pool import DetectorPool
from detector.zoo.catalog import DEFAULT_MODEL
from stream_server.detection.tracking import Tracker
from stream_server.drawing.annotate import annotate as draw
from stream_server.sources.demo import DemoScene
from stream_server.video import Options, annotate

FPS = 25
X264 = {"preset": "veryfast", "crf": "21", "bf": "0", "rc-lookahead": "2", "threads": "1"}
TARGET = 0.9


@dataclass
class Way:
    """One way to do it. run: does it once, returns the frames."""

    name: str
    run: Callable[[], int]

    def __post_init__(self) -> None:
        self.rates: list[float] = []
        self.cpu_ms: list[float] = []
        self.others: list[float] = []

    def measure(self) -> None:
        pids = descendants(os.getpid())
        began, cpu, all_cpu = time.monotonic(), cpu_seconds(pids), machine_cpu_seconds()
        count = self.run()
        took, cpu, all_cpu = (
            time.monotonic() - began,
            cpu_seconds(pids) - cpu,
            machine_cpu_seconds() - all_cpu,
        )
        self.rates.append(count / took)
        self.cpu_ms.append(1000 * cpu / count)
        self.others.append(max(0.0, all_cpu - cpu) / took)

    @property
    def fps(self) -> float:
        return median(self.rates)

    @property
    def ms(self) -> float:
        """CPU milliseconds a frame, of all processes."""
        return median(self.cpu_ms)


def main(argv: list[str]) -> None:
    """Print a table and one JSON line."""
    parser = argparse.ArgumentParser(prog="benchmarks video", description=__doc__)
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(argv)
    width, height = map(int, options.size.split("x"))
    cores = usable_cores()
    figures: dict[str, object] = {}
    print(machine("av", "ai-edge-litert", "opencv-python-headless"))
    with tempfile.TemporaryDirectory() as folder:
        film = write_film(Path(folder) / "film.mp4", (width, height), options.frames)
        for workers in sorted({cores, max(1, cores - 1)}):
            with DetectorPool(DEFAULT_MODEL, workers=workers) as pool:
                pool.wait_ready(60)
                warm_up(pool, film, workers)
                ways = compare(film, pool, workers, options.rounds)
            figures[f"{workers} workers"] = report(ways, workers, cores)
    ratios = [figure["ratio"] for figure in figures.values() if isinstance(figure, dict)]
    print(json.dumps({"benchmark": "video", **figures, "ok": min(ratios) >= TARGET}))


def compare(film: Path, pool: DetectorPool, workers: int, rounds: int) -> dict[str, Way]:
    images = list(decoded(film))[:60]
    out = film.with_name("out.mp4")
    found = pool.submit(images[0]).result(30)
    ways = [
        Way("pool", lambda: pool_alone(pool, images, workers)),
        Way("decode", lambda: sum(1 for _ in decoded(film))),
        Way("draw, encode", lambda: encode_alone(images, found, out)),
        Way("decode + encode", lambda: transcode(film, found, out)),
        Way("product", lambda: annotate(film, out, pool=pool, overwrite=True).frames),
        Way(
            "product, --every 10",
            lambda: annotate(film, out, Options(every=10), pool=pool, overwrite=True).frames,
        ),
        Way("one in flight", lambda: one_in_flight(film, pool, out)),
        Way("threads", lambda: threads(film, workers, out)),
    ]
    for _ in range(rounds):
        for way in ways:
            way.measure()
    return {way.name: way for way in ways}


def report(ways: dict[str, Way], workers: int, cores: int) -> dict[str, float]:
    stages = [ways[name] for name in ("pool", "decode", "draw, encode")]
    slowest = min(way.fps for way in stages)
    left = cores - median(ways["product"].others)
    by_cpu = 1000 * left / sum(way.ms for way in stages)
    bound = min(slowest, by_cpu)
    left_of_every = cores - median(ways["product, --every 10"].others)
    every_by_cpu = 1000 * left_of_every / (ways["decode + encode"].ms + ways["pool"].ms / 10)
    product, every = ways["product"].fps, ways["product, --every 10"].fps
    print(f"\n{workers} workers on {cores} cores{'':12}{'fps':>8}{'CPU ms':>9}{'others':>9}")
    for way in ways.values():
        print(f"  {way.name:32}{way.fps:8.1f}{way.ms:9.1f}{median(way.others):9.2f}")
    print(f"  bound: slowest stage {slowest:.1f} fps, all stages on {left:.2f} cores {by_cpu:.1f} fps")
    print(f"  product / bound {product / bound:.2f}, / slowest stage {product / slowest:.2f},", end=" ")
    print(f"/ one in flight {product / ways['one in flight'].fps:.2f},", end=" ")
    print(f"/ threads {product / ways['threads'].fps:.2f};", end=" ")
    print(f"--every 10 / (decode + encode) {every / min(ways['decode + encode'].fps, every_by_cpu):.2f}")
    return {
        "fps": product,
        "slowest_stage_fps": slowest,
        "cpu_bound_fps": by_cpu,
        "ratio": product / bound,
        "slowest_stage_ratio": product / slowest,
        "one_in_flight_ratio": product / ways["one in flight"].fps,
        "threads_ratio": product / ways["threads"].fps,
        "every_ratio": every / min(ways["decode + encode"].fps, every_by_cpu),
    }


def write_film(path: Path, size_wh: tuple[int, int], frames: int) -> Path:
    scene = DemoScene(size_wh, FPS)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = *size_wh, "yuv420p"
        for number in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(scene.frame(number), format="bgr24")))
        container.mux(stream.encode())
    return path


def warm_up(pool: DetectorPool, film: Path, workers: int) -> None:
    while sum(worker.state in ("idle", "busy") for worker in pool.status().workers) < workers:
        time.sleep(0.05)
    image = next(iter(decoded(film)))
    for future in [pool.submit(image) for _ in range(4 * workers)]:
        future.result(30)


def decoded(film: Path) -> Iterator[BGRImage]:
    with av.open(str(film)) as container:
        container.streams.video[0].codec_context.thread_type = "NONE"
        for frame in container.decode(video=0):
            yield np.ascontiguousarray(frame.reformat(format="bgr24", threads=1).to_ndarray())


class Encoder:
    """Follows, draws and encodes, the bare calls."""

    def __init__(self, out: Path, image: BGRImage) -> None:
        self.container = av.open(str(out), "w")
        self.stream = self.container.add_stream("libx264", rate=FPS, options=X264)
        self.stream.height, self.stream.width = image.shape[:2]
        self.stream.pix_fmt = "yuv420p"
        self.count = 0
        self.tracker = Tracker()

    def add(self, image: BGRImage, found: Detections) -> None:
        followed = self.tracker.update(found, self.count / FPS)
        canvas = draw(image, followed, {})
        frame = av.VideoFrame.from_ndarray(canvas, format="bgr24").reformat(format="yuv420p", threads=1)
        frame.pts, frame.time_base = self.count, Fraction(1, FPS)
        self.container.mux(self.stream.encode(frame))
        self.count += 1

    def close(self) -> int:
        self.container.mux(self.stream.encode())
        self.container.close()
        return self.count


def pool_alone(pool: DetectorPool, images: list[BGRImage], workers: int) -> int:
    waiting: deque[object] = deque()
    for number in range(2 * len(images)):
        waiting.append(pool.submit(images[number % len(images)]))
        if len(waiting) > 2 * workers:
            waiting.popleft().result(30)  # type: ignore[attr-defined]
    for future in waiting:
        future.result(30)  # type: ignore[attr-defined]
    return 2 * len(images)


def encode_alone(images: list[BGRImage], found: Detections, out: Path) -> int:
    encoder = Encoder(out, images[0])
    for image in images:
        encoder.add(image, found)
    return encoder.close()


def transcode(film: Path, found: Detections, out: Path) -> int:
    """Decode in one thread, draw and encode in another."""
    frames: queue.Queue[BGRImage | None] = queue.Queue(4)

    def decode() -> None:
        for image in decoded(film):
            frames.put(image)
        frames.put(None)

    thread = threading.Thread(target=decode, daemon=True)
    thread.start()
    encoder: Encoder | None = None
    while (image := frames.get()) is not None:
        encoder = encoder or Encoder(out, image)
        encoder.add(image, found)
    thread.join()
    assert encoder is not None
    return encoder.close()


def one_in_flight(film: Path, pool: DetectorPool, out: Path) -> int:
    encoder: Encoder | None = None
    for image in decoded(film):
        encoder = encoder or Encoder(out, image)
        encoder.add(image, pool.submit(image).result(30))
    assert encoder is not None
    return encoder.close()


def threads(film: Path, workers: int, out: Path) -> int:
    """Run decoder, detectors and encoder as threads of this process."""
    local = threading.local()

    def detect(image: BGRImage) -> tuple[BGRImage, Detections]:
        if not hasattr(local, "detector"):
            local.detector = load_detector(DEFAULT_MODEL)
        return image, local.detector.detect(image)

    drawn: queue.Queue[tuple[BGRImage, Detections] | None] = queue.Queue(4)
    counts: list[int] = []

    def encode() -> None:
        encoder: Encoder | None = None
        while (item := drawn.get()) is not None:
            encoder = encoder or Encoder(out, item[0])
            encoder.add(*item)
        assert encoder is not None
        counts.append(encoder.close())

    encoding = threading.Thread(target=encode, daemon=True)
    encoding.start()
    with ThreadPoolExecutor(workers) as detectors:
        waiting: deque[object] = deque()
        for image in decoded(film):
            waiting.append(detectors.submit(detect, image))
            if len(waiting) > 2 * workers:
                drawn.put(waiting.popleft().result())  # type: ignore[attr-defined]
        for future in waiting:
            drawn.put(future.result())  # type: ignore[attr-defined]
    drawn.put(None)
    encoding.join()
    return counts[0]
