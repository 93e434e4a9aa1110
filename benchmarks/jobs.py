"""What cameras keep while a video is annotated in the background, and what the video gets.

Two cameras of 1280x720 are analysed as often as there are cores for; then a video is annotated beside them:
not at all, by a job as the server runs it (a process at the lowest priority, with detectors of its own), the
same at the cameras' priority, and in the server's process as a client of the cameras' own detectors with a
hundredth of their weight. Frames and detections a second are counted; the delay is from a frame's arrival to
its detections.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import cv2
import numpy as np

from benchmarks._machine import machine
from stream_server.config import Config
from stream_server.engine import Engine
from stream_server.jobs.job import VideoOptions
from stream_server.video import Options, Progress, annotate

PICTURE = Path(__file__).parent.parent / "tests" / "data" / "astronaut.jpg"
CAMERA = {"source": "demo:", "width": 1280, "height": 720, "fps": 15, "detect": {"fps": 12}}
POLL_INTERVAL_S = 0.02
Begun = Callable[[], int]
"""Returns how many frames of the video are done."""


def _write_video(path: Path) -> None:
    picture = cv2.resize(cv2.imread(str(PICTURE)), (1280, 720))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for number in range(1500):
            moved = np.ascontiguousarray(np.roll(picture, 4 * number, axis=1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(moved, format="bgr24")))
        container.mux(stream.encode())


@contextmanager
def _none(engine: Engine, video: Path) -> Iterator[Begun]:
    yield lambda: 0


@contextmanager
def _job(engine: Engine, video: Path) -> Iterator[Begun]:
    job = engine.videos.add_path("benchmark", str(video), VideoOptions())

    def frames() -> int:
        pace = engine.videos.pace(job.id)
        return pace.frames if pace else 0

    yield frames
    engine.videos.remove(job.id)


@contextmanager
def _client(engine: Engine, video: Path) -> Iterator[Begun]:
    stop, done = threading.Event(), [0]

    def note(progress: Progress) -> None:
        done[0] = progress.frames

    def work() -> None:
        annotate(
            video,
            video.with_name("shared.mp4"),
            Options(),
            pool=engine.pool,
            weight=0.01,
            overwrite=True,
            on_progress=note,
            is_stopped=stop.is_set,
        )

    thread = threading.Thread(target=work, name="client", daemon=True)
    thread.start()
    yield lambda: done[0]
    stop.set()
    thread.join(30)


WAYS = {"no video": (_none, 19), "a job": (_job, 19), "a job, nice 0": (_job, 0), "a client": (_client, 19)}


def _measure(way: str, folder: Path, video: Path, seconds: float) -> dict[str, float]:
    begin, nice = WAYS[way]
    config = Config.load(
        None,
        cameras={"one": CAMERA, "two": CAMERA},
        videos={"folder": str(folder / "videos"), "media_root": str(folder), "nice": nice},
    )
    with Engine(config) as engine:
        assert engine.pool
        engine.pool.wait_ready(60)
        with begin(engine, video) as frames:
            until = time.monotonic() + 60
            while way != "no video" and not frames() and time.monotonic() < until:
                time.sleep(0.1)
            return _watch(engine, frames, seconds)


def _watch(engine: Engine, frames: Begun, seconds: float) -> dict[str, float]:
    pipelines = list(engine.pipelines.values())
    before, began, done = sum(p.counters.seen for p in pipelines), time.monotonic(), frames()
    delays: dict[tuple[str, int], float] = {}
    while time.monotonic() < began + seconds:
        for pipeline in pipelines:
            if analysis := pipeline.analysis:
                delays[pipeline.name, analysis.frame.sequence] = 1000 * analysis.latency_s
        time.sleep(POLL_INTERVAL_S)
    took_s = time.monotonic() - began
    sorted_ms = sorted(delays.values())
    return {
        "camera_fps": (sum(p.counters.seen for p in pipelines) - before) / took_s,
        "detections_per_s": len(delays) / took_s,
        "delay_ms": statistics.median(sorted_ms),
        "delay_p95_ms": sorted_ms[int(0.95 * len(sorted_ms))],
        "video_fps": (frames() - done) / took_s,
    }


def main(argv: list[str]) -> None:
    """Print a table, and last a line of JSON."""
    parser = argparse.ArgumentParser(prog="benchmarks jobs", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_video(folder / "video.mp4")
        found = {way: _measure(way, folder, folder / "video.mp4", options.seconds) for way in WAYS}
    columns = list(found["no video"])
    print("".join(f"{title:>18}" for title in ("", *columns)))
    for way, values in found.items():
        print(f"{way:>18}" + "".join(f"{values[column]:>18.1f}" for column in columns))
    print(json.dumps({"benchmark": "jobs", "machine": machine(), "ways": found}))
