"""How old a picture is when its last byte reaches a viewer.

A virtual webcam looks at frames that carry their number. The time is taken when its driver has a frame whole,
and again when a viewer has all of its JPEG; the number is read from the JPEG's pixels: nothing counts that a
server says. The JPEGs of a camera pass through; raw pixels are encoded, with `overlay=exact` analysed before.
Beside it ustreamer, on the same webcam.

The server has one core; the viewers and what the webcam looks at share another. What encoding and detection
take by themselves is measured on the server's core, in one thread, in the same run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from bisect import bisect
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks._load import Load
from benchmarks._machine import cpu_seconds, machine, machine_cpu_seconds
from benchmarks._peers import OURS, USTREAMER, Peer, Running, Scene, ours
from benchmarks._sensor import FPS, NUMBERS, PIPE, SIZE_WH, TIME, number_in
from benchmarks._webcam import Webcam, virtual_webcam
from detector import BGRImage, load_detector
from stream_server.media.encode import encode_jpeg
from stream_server.media.jpeg import EOI
from stream_server.sources.demo import DemoScene

WARM_UP_S = 2.0
LOAD_CORE, SERVER_CORE = 1, 0
QUIET_SHARE = 0.1
START_BYTES = 4096
"""Of each JPEG: the blocks of the number are in its first rows, and nothing is before them but tables."""
QUALITY = 80
CALLS = 60


@dataclass(frozen=True)
class Case:
    """A server and what it reads; allowed_ms: how old 99 of 100 pictures may be."""

    what: str
    pixel_format: str
    peer: Peer
    allowed_ms: float | None = None


@dataclass(frozen=True)
class Row:
    """Milliseconds from capture to the last byte.

    reading_ms: of their core that all viewers need to read a picture once each: whoever comes last waits so
    long, however it was sent. foreign_share: of the machine that others took.
    """

    server: str
    what: str
    viewers: int
    frames: int
    p50_ms: float
    p99_ms: float
    allowed_ms: float | None
    reading_ms: float
    foreign_share: float


def main(argv: list[str]) -> None:
    """Measure and print a table and, last, one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks latency", description=__doc__)
    parser.add_argument("--viewers", type=int, nargs="+", default=[1, 200], help="(default: 1 200)")
    parser.add_argument("--seconds", type=float, default=8, help="of a try (default: %(default)s)")
    parser.add_argument(
        "--tries", type=int, default=2, help="until the machine is quiet (default: %(default)s)"
    )
    options = parser.parse_args(argv)
    encode_ms, detect_ms = alone_ms()
    os.sched_setaffinity(0, {LOAD_CORE})
    rows = [
        quietest(case, viewers, options)
        for viewers in options.viewers
        for case in cases(encode_ms, detect_ms)
        if not case.peer.why_not()
    ]
    show(rows, encode_ms, detect_ms)


def cases(encode_ms: float, detect_ms: float) -> Iterator[Case]:
    exact = ("detector.workers=1", f"cameras.camera.detect.fps={FPS}")
    yield Case("JPEG, passed through", "MJPG", our_peer("none"), 5)
    yield Case("JPEG, passed through", "MJPG", USTREAMER)
    yield Case("raw, encoded", "YUYV", our_peer("none"), encode_ms + 5)
    yield Case("raw, encoded", "YUYV", USTREAMER)
    yield Case("raw, detected, encoded", "YUYV", our_peer("exact", *exact), detect_ms + encode_ms + 10)


def our_peer(overlay: str, *settings: str) -> Peer:
    path = f"/cameras/camera/stream.mjpg?fps=60&caption=false&labels=false&overlay={overlay}"
    return Peer(OURS.name, path, lambda scene, port: ours(scene, port, *settings))


def alone_ms() -> tuple[float, float]:
    """Return the milliseconds of encoding and of detection on the server's core, nothing around them."""
    os.sched_setaffinity(0, {SERVER_CORE})
    image = DemoScene(SIZE_WH, FPS).frame(0)
    with load_detector("centernet-mobilenetv3") as detector:
        return median_ms(lambda: encode_jpeg(image, QUALITY)), median_ms(lambda: detector.detect(image))


def median_ms(call: Callable[[], object]) -> float:
    times_s = []
    for _ in range(CALLS):
        began = time.perf_counter()
        call()
        times_s.append(time.perf_counter() - began)
    return 1000 * median(times_s)


def quietest(case: Case, viewers: int, options: argparse.Namespace) -> Row:
    """Return of a few tries the first that is quiet, else the quietest."""
    rows: list[Row] = []
    while len(rows) < options.tries and all(row.foreign_share > QUIET_SHARE for row in rows):
        rows.append(measure(case, viewers, options.seconds))
    return min(rows, key=lambda row: row.foreign_share)


def measure(case: Case, viewers: int, seconds: float) -> Row:
    """Return how old pictures are for so many viewers who stay so long."""
    with (
        tempfile.TemporaryDirectory() as folder,
        virtual_webcam(case.pixel_format, SIZE_WH, FPS) as webcam,
        sensor(webcam, Path(folder) / "times") as looking,
        Running(case.peer, Scene(Path(folder), webcam, FPS, SIZE_WH)) as server,
    ):
        arrivals = Arrivals()
        with Load(server.address, case.peer.path, viewers, arrivals.note, START_BYTES) as load:
            load.run(WARM_UP_S)
            arrivals.seen.clear()
            began, busy_s = time.monotonic(), foreign_cpu_s(server, looking)
            reading_s = -time.process_time()
            load.run(seconds)
            reading_s += time.process_time()
            busy_s = foreign_cpu_s(server, looking) - busy_s
            share = max(0.0, busy_s) / (time.monotonic() - began) / (os.cpu_count() or 1)
        captured = [time_s for (time_s,) in TIME.iter_unpack((Path(folder) / "times").read_bytes())]
    ages_ms = 1000 * arrivals.ages_s(captured)
    p50, p99 = np.percentile(ages_ms, (50, 99)).tolist()
    reading_ms = 1000 * reading_s / len(ages_ms) * viewers
    return Row(case.peer.name, case.what, viewers, len(ages_ms), p50, p99, case.allowed_ms, reading_ms, share)


def foreign_cpu_s(server: Running, looking: subprocess.Popen[bytes]) -> float:
    """Return what all other processes than those that are part of this have used so far."""
    return machine_cpu_seconds() - cpu_seconds([*server.pids, looking.pid, os.getpid()])


@contextlib.contextmanager
def sensor(webcam: Webcam, times: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Let the webcam look at numbered frames."""
    os.mkfifo(webcam.folder / PIPE)
    arguments = (str(webcam.folder), webcam.pixel_format, str(times))
    with subprocess.Popen([sys.executable, "-m", "benchmarks._sensor", *arguments]) as process:
        try:
            yield process
        finally:
            process.kill()


class Arrivals:
    """Frames that viewers got: how each begins, and when it was whole."""

    def __init__(self) -> None:
        self.seen: list[tuple[bytes, float]] = []
        self._starts: dict[bytes, bytes] = {}

    def note(self, start: bytes) -> None:
        """Note that a frame has come whole."""
        at = time.monotonic()
        self.seen.append((self._starts.setdefault(start, start), at))

    def ages_s(self, captured: list[float]) -> NDArray[np.float64]:
        """Return how long before each arrival its frame was captured.

        captured: when frame 0, 1, 2... was. A frame is the newest before the arrival that has its number.
        """
        with no_stderr():
            numbers = {start: number_in(decode(start)) for start in self._starts}
        ages = []
        for start, at in self.seen:
            newest = bisect(captured, at) - 1
            frame = newest - (newest - numbers[start]) % NUMBERS
            ages.append(at - captured[frame])
        return np.array(ages)


def decode(start: bytes) -> BGRImage:
    """Return the picture whose JPEG begins like that; only its first rows are right."""
    data = np.frombuffer(start + EOI, np.uint8)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


@contextlib.contextmanager
def no_stderr() -> Iterator[None]:
    """Keep libjpeg from complaining of each JPEG that is cut short."""
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def show(rows: list[Row], encode_ms: float, detect_ms: float) -> None:
    """Print what was measured, for people and for programs."""
    print(machine("opencv-python-headless", "ai-edge-litert", "gunicorn"))
    print(f"alone on the server's core: encoding {encode_ms:.1f} ms, detection {detect_ms:.1f} ms")
    print("viewers server         camera                   p50 ms  p99 ms  allowed  reading  frames  others")
    for row in rows:
        allowed = f"{row.allowed_ms:8.1f}" if row.allowed_ms else f"{'':8}"
        print(
            f"{row.viewers:7} {row.server:14} {row.what:24} {row.p50_ms:6.1f} {row.p99_ms:7.1f} {allowed}"
            f" {row.reading_ms:8.1f} {row.frames:7} {row.foreign_share:7.0%}"
        )
    missed = [row for row in rows if row.allowed_ms and row.p99_ms > row.allowed_ms]
    for row in missed:
        print(f"missed: {row.viewers} viewers, {row.what}: {row.p99_ms:.1f} ms, not {row.allowed_ms:.1f}")
    figures = {"encode_ms": encode_ms, "detect_ms": detect_ms, "rows": [asdict(row) for row in rows]}
    print(json.dumps({"benchmark": "latency", **figures, "passed": not missed}))
