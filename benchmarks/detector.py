"""The detector pool beside as many processes of bare LiteRT, and what handing over an image costs.

The floor runs the graph at the input size that the detector chooses for these images, on the very arrays the
workers would make of them: a floor at another size measures the size, not the pool. Both run by turns;
a pair of slices of a second counts when nothing else took more than a small share of the machine in either.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.accuracy import data_folder, read_photos
from detector import BGRImage, Detections, load_detector
from detector.backends import ImageInput
from detector.backends.resizing import with_resizes_for
from detector.inference.network import smallest_input
from detector.inference.preprocessing import Preprocessor
from detector.model_file import Preprocessing
from detector.pool import DetectorPool
from detector.zoo.catalog import find_model

HAND_OVER_WH = (1280, 720)
TARGET_RATIO = 0.95
QUIET_SHARE = 0.05
BATCH = 100
PACE_S = 0.005
TARGET_HAND_OVER_MS = 0.5


def main(argv: list[str]) -> None:
    """Measure and print a table and, last, one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks detector", description=__doc__)
    parser.add_argument(
        "--model", default="centernet-mobilenetv3", help="name or path (default: %(default)s)"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes (default: one a core)")
    parser.add_argument("--size", default="1280x720", help="of the images (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=20, help="of quiet slices wanted (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of a slice (default: %(default)s)")
    parser.add_argument(
        "--limit", type=float, default=120, help="seconds to look for them (default: %(default)s)"
    )
    arguments = parser.parse_args(argv)
    width, height = (int(side) for side in arguments.size.split("x"))
    images, what = make_images((width, height))
    floor = make_floor(arguments.model, images)
    pairs = measure_throughput(arguments, images, floor)
    quiet = [pair for pair in pairs if max(half.foreign_share for half in pair) <= QUIET_SHARE]
    if not quiet:
        raise SystemExit(
            f"none of {len(pairs)} pairs of slices was quiet: other programs keep the machine busy"
        )
    ratios = [pooled.per_s / bare.per_s for bare, pooled in quiet]
    cpu_ms = [statistics.median(half.cpu_ms for half in halves) for halves in zip(*quiet, strict=True)]
    hand_over_images, _ = make_images(HAND_OVER_WH)
    hand_over_ms = measure_hand_over(hand_over_images, arguments.limit, PACE_S)
    at_once_ms = measure_hand_over(hand_over_images, arguments.limit, 0)
    if not hand_over_ms or not at_once_ms:
        raise SystemExit("no quiet batch of hand-overs: other programs keep the machine busy")
    figures: dict[str, Any] = {
        "input_width": floor.input_wh[0],
        "input_height": floor.input_wh[1],
        "workers": arguments.workers,
        "pairs": len(pairs),
        "quiet_pairs": len(quiet),
        "bare_per_s": statistics.median(bare.per_s for bare, _ in quiet),
        "pool_per_s": statistics.median(pooled.per_s for _, pooled in quiet),
        "ratio": statistics.median(ratios),
        "ratio_quartiles": np.percentile(ratios, (25, 75)).tolist(),
        "bare_cpu_ms": cpu_ms[0],
        "pool_cpu_ms": cpu_ms[1],
        "hand_over_samples": len(hand_over_ms),
        "hand_over_ms": statistics.median(hand_over_ms),
        "hand_over_p99_ms": float(np.percentile(hand_over_ms, 99)),
        "copy_ms": statistics.median(measure_copy(hand_over_images, PACE_S)),
        "hand_over_at_once_ms": statistics.median(at_once_ms),
        "copy_at_once_ms": statistics.median(measure_copy(hand_over_images, 0)),
    }
    show(arguments.model, f"{what} at {arguments.size}", figures)


@dataclass(frozen=True)
class Slice:
    """What was measured: images per second, our CPU time per image, and the share others took, 0..1."""

    per_s: float
    cpu_ms: float
    foreign_share: float


@dataclass(frozen=True)
class Floor:
    """What a bare interpreter runs: the file's bytes, the input size, and images as arrays of that size."""

    content: bytes
    input_wh: tuple[int, int]
    inputs: list[NDArray[np.float32]]


def make_floor(model: str, images: list[BGRImage]) -> Floor:
    """Return the work that the detector cannot avoid for `images`."""
    file = find_model(model)
    content = file.path.read_bytes()
    if file.inputs_wh:
        height, width = images[0].shape[:2]
        input_wh = smallest_input((width, height), file.inputs_wh)
        content = with_resizes_for(content, input_wh)
    else:
        with load_detector(model) as detector:
            input_wh = detector.input_size_wh
    preprocessor = Preprocessor(ImageInput(input_wh, np.dtype(np.float32)), Preprocessing(), input_wh)
    inputs = [preprocessor.prepare([image])[0].copy() for image in images]
    return Floor(content, input_wh, inputs)


def make_images(size_wh: tuple[int, int]) -> tuple[list[BGRImage], str]:
    """Return images to look at and what they are."""
    photos = [photo.image for photo, _ in zip(read_photos(data_folder()), range(8), strict=False)]
    if photos:
        return [np.asarray(cv2.resize(photo, size_wh), np.uint8) for photo in photos], "photos of coco64"
    rng = np.random.default_rng(1)
    tiles = rng.integers(0, 256, (8, 9, 16, 3), np.uint8)
    return [np.asarray(cv2.resize(tile, size_wh), np.uint8) for tile in tiles], "blurs (no coco64 here)"


def measure_throughput(
    arguments: argparse.Namespace, images: list[BGRImage], floor: Floor
) -> list[tuple[Slice, Slice]]:
    """Return pairs of bare interpreters' and the pool's slices: enough quiet ones, if time allowed."""
    workers, seconds = arguments.workers, arguments.seconds
    pairs: list[tuple[Slice, Slice]] = []
    with bare_interpreters(floor, workers) as pipes, DetectorPool(arguments.model, workers=workers) as pool:
        pool.wait_ready(60)
        run_bare(pipes, 1.0)
        run_pool(pool, images, workers, 1.0)
        quiet, give_up_at = 0, time.monotonic() + arguments.limit
        while quiet < arguments.pairs and time.monotonic() < give_up_at:
            halves = [
                lambda: measure(lambda: run_bare(pipes, seconds)),
                lambda: measure(lambda: run_pool(pool, images, workers, seconds)),
            ]
            order = (0, 1) if len(pairs) % 2 else (1, 0)  # who goes first gains or loses by it
            done = {which: halves[which]() for which in order}
            pairs.append((done[0], done[1]))
            quiet += max(done[0].foreign_share, done[1].foreign_share) <= QUIET_SHARE
    return pairs


def measure(run: Callable[[], tuple[int, float]]) -> Slice:
    """Return what `run`, which returns images and seconds, achieved and what else went on meanwhile."""
    machine, ours = machine_cpu_s(), own_cpu_s()
    started = time.monotonic()
    count, elapsed = run()
    machine, ours = machine_cpu_s() - machine, own_cpu_s() - ours
    capacity = (time.monotonic() - started) * (os.cpu_count() or 1)
    return Slice(count / elapsed, ours * 1000 / count, max(0.0, machine - ours) / capacity)


def machine_cpu_s() -> float:
    """Return the CPU seconds all processes, and the host's other machines, took: proc(5), /proc/stat."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own_cpu_s() -> float:
    """Return the CPU seconds this process and its living children took: proc(5), /proc/pid/stat."""
    pids = [os.getpid()]
    for children in Path("/proc/self/task").glob("*/children"):
        pids += map(int, children.read_text().split())
    fields = (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids)
    return sum(int(field[11]) + int(field[12]) for field in fields) / os.sysconf("SC_CLK_TCK")


def run_pool(pool: DetectorPool, images: list[BGRImage], workers: int, seconds: float) -> tuple[int, float]:
    """Return images and seconds, with every worker busy and one image each in line."""
    room = threading.Semaphore(2 * workers)
    futures: list[Future[Detections]] = []
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        room.acquire()
        futures.append(pool.submit(images[len(futures) % len(images)]))
        futures[-1].add_done_callback(lambda _: room.release())
    for future in futures:
        future.result()  # the last ones, too: they belong to the count
    return len(futures), time.monotonic() - started


@contextmanager
def bare_interpreters(floor: Floor, workers: int) -> Iterator[list[Connection]]:
    """Start processes that run the model and nothing else when told to; yield their pipes."""
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(workers)]
    processes = [
        context.Process(target=run_interpreter, args=(theirs, floor), daemon=True) for _, theirs in pipes
    ]
    for process, (_, theirs) in zip(processes, pipes, strict=True):
        process.start()
        theirs.close()
    ours = [pipe for pipe, _ in pipes]
    try:
        for pipe in ours:
            pipe.recv()
        yield ours
    finally:
        for pipe in ours:
            pipe.close()
        for process in processes:
            process.join(5)


def run_bare(interpreters: list[Connection], seconds: float) -> tuple[int, float]:
    """Return images and seconds of all interpreters together."""
    for pipe in interpreters:
        pipe.send(seconds)
    results = [pipe.recv() for pipe in interpreters]
    return sum(count for count, _ in results), statistics.mean(elapsed for _, elapsed in results)


def run_interpreter(owner: Connection, floor: Floor) -> None:
    """The floor, in a process of its own: set the input, invoke, again."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=floor.content, num_threads=1)
    [details] = interpreter.get_input_details()
    interpreter.resize_tensor_input(details["index"], floor.inputs[0].shape)
    interpreter.allocate_tensors()
    owner.send("ready")
    while True:
        try:
            seconds = owner.recv()
        except EOFError:
            return
        count, started = 0, time.monotonic()
        while time.monotonic() - started < seconds:
            interpreter.set_tensor(details["index"], floor.inputs[count % len(floor.inputs)])
            interpreter.invoke()
            count += 1
        owner.send((count, time.monotonic() - started))


class Stopwatch:
    """A detector that answers with the time at which it got the image."""

    labels: Mapping[int, str] = {}

    def detect(
        self,
        image: BGRImage,
        *,
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
        classes: Collection[str] | None = None,
        max_detections: int | None = None,
    ) -> Detections:
        """Return the monotonic clock, which all processes share, in ns as a class id."""
        now = np.array([time.monotonic_ns()])
        return Detections(np.zeros((1, 4), np.float32), np.ones(1, np.float32), now)


def load_stopwatch(model: str) -> Stopwatch:
    """Return a Stopwatch, for any model."""
    return Stopwatch()


def measure_hand_over(images: list[BGRImage], limit: float, nap_s: float) -> list[float]:
    """Return the ms from calling `submit` to the worker's having the image, in up to ten quiet batches."""
    times_ms: list[float] = []
    with DetectorPool("", workers=1, loader="benchmarks.detector:load_stopwatch") as pool:
        pool.wait_ready(60)
        give_up_at = time.monotonic() + limit
        while len(times_ms) < 10 * BATCH and time.monotonic() < give_up_at:
            batch: list[float] = []
            if measure(partial(run_hand_over, pool, images, nap_s, batch)).foreign_share <= QUIET_SHARE:
                times_ms += batch
    return times_ms


def run_hand_over(
    pool: DetectorPool, images: list[BGRImage], nap_s: float, times_ms: list[float]
) -> tuple[int, float]:
    """Append a batch of times; return its length and the seconds it took."""
    began = time.monotonic()
    for number in range(BATCH):
        started = time.monotonic_ns()
        got = int(pool.submit(images[number % len(images)]).result().class_ids[0])
        times_ms.append((got - started) / 1e6)
        nap(nap_s)
    return BATCH, time.monotonic() - began


def nap(seconds: float) -> None:
    """Let caches cool and cores doze, as between a camera's images; 0 does not."""
    if seconds:
        time.sleep(seconds)


def measure_copy(images: list[BGRImage], nap_s: float) -> list[float]:
    """Return the milliseconds of the copy alone, which no hand-over between processes can do without."""
    target = np.empty_like(images[0])
    times_ms: list[float] = []
    for number in range(200):
        started = time.perf_counter()
        np.copyto(target, images[number % len(images)])
        times_ms.append((time.perf_counter() - started) * 1000)
        nap(nap_s)
    return times_ms


def show(model: str, what: str, figures: dict[str, Any]) -> None:
    """Print what was measured, for people and for programs."""
    machine = f"{os.cpu_count()} cores {platform.machine()}, {platform.system()} {platform.release()}"
    versions = {name: version(name) for name in ("ai-edge-litert", "opencv-python-headless", "numpy")}
    versions["Python"] = platform.python_version()
    table = Table(title=f"{model}, {what}", title_justify="left")
    for heading in ("", "pool", "floor", "target"):
        table.add_column(heading)
    low, high = figures["ratio_quartiles"]
    rows = [
        ("input", f"{figures['input_width']}x{figures['input_height']}", "the same", ""),
        ("images/s", f"{figures['pool_per_s']:.1f}", f"{figures['bare_per_s']:.1f}", ""),
        ("share of the floor", f"{figures['ratio']:.3f}", "1", f">= {TARGET_RATIO}"),
        ("  middle half of the pairs", f"{low:.3f} to {high:.3f}", "", ""),
        ("CPU ms/image, all processes", f"{figures['pool_cpu_ms']:.2f}", f"{figures['bare_cpu_ms']:.2f}", ""),
        ("quiet pairs of measured ones", f"{figures['quiet_pairs']} of {figures['pairs']}", "", ""),
        (
            "hand-over at 1280x720, 5 ms apart, median ms",
            f"{figures['hand_over_ms']:.3f}",
            f"{figures['copy_ms']:.3f} (copy)",
            f"<= {TARGET_HAND_OVER_MS}",
        ),
        ("  99 %", f"{figures['hand_over_p99_ms']:.3f}", "", ""),
        (
            "  back to back, median ms",
            f"{figures['hand_over_at_once_ms']:.3f}",
            f"{figures['copy_at_once_ms']:.3f} (copy)",
            "",
        ),
    ]
    for row in rows:
        table.add_row(*row)
    print(f"{machine}; {', '.join(f'{name} {number}' for name, number in versions.items())}")
    Console().print(table)
    passed = figures["ratio"] >= TARGET_RATIO and figures["hand_over_ms"] <= TARGET_HAND_OVER_MS
    head = {"benchmark": "detector", "model": model, "machine": machine, "versions": versions}
    print(json.dumps({**head, "passed": passed, **figures}))
