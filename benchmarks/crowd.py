"""Whether a crowd disturbs the rest and the rest the crowd: viewers at 30 fps, cameras that detect, pages.

Many watch a webcam's JPEGs (1280x720, about 73 kB) while other cameras of that size (H.264, 25 a second) are
decoded and analysed, five frames of each a second, and somebody asks for pages and states all the time. The
server has one core; its detector workers share the other with the viewers. Printed are the worst viewer's
rate, how long the slowest of the pages takes, and the analysed frames of each camera.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass

import av
import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from benchmarks._load import Load
from benchmarks._machine import cpu_seconds, machine
from benchmarks._peers import Command, Peer, Running, Scene, ours
from benchmarks.fanout import FPS, LEAST_FPS, LOAD_CORE, SIZE_WH, scene
from stream_server.sources.demo import DemoScene

PATHS = ("/", "/cameras/camera", "/api/v1/cameras", "/healthz", "/readyz", "/metrics")
CAMERA_FPS = 25
ASK_EVERY_S = 0.05
WARM_UP_S = 5.0
MOST_P99_MS = 200.0
Address = tuple[str, int]


@dataclass(frozen=True)
class Row:
    """One scene. cpu_share: of its core that the server needed. p50_ms, p99_ms: of the slowest page.

    analysed_fps: frames of each camera that detects.
    """

    cameras: int
    viewers: int
    worst_fps: float
    mean_fps: float
    cpu_share: float
    page: str
    p50_ms: float
    p99_ms: float
    analysed_fps: float


def main(argv: list[str]) -> None:
    """Measure and print a table and, last, one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks crowd", description=__doc__)
    parser.add_argument("--viewers", type=int, default=600)
    parser.add_argument("--cameras", type=int, nargs="+", default=[0, 4], help="that detect")
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args(argv)
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with scene() as shown:
        write_recording(shown)
        os.sched_setaffinity(0, {LOAD_CORE})
        rows = [measure(shown, cameras, options.viewers, options.seconds) for cameras in options.cameras]
    show(rows)


def measure(shown: Scene, cameras: int, viewers: int, seconds: float) -> Row:
    """Return what a crowd gets while so many cameras detect."""
    peer = Peer("stream-server", f"/cameras/camera/stream.mjpg?overlay=none&fps={FPS}", command(cameras))
    with (
        Running(peer, shown) as server,
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as asker,
        Load(server.address, peer.path, viewers) as load,
    ):
        web, *detectors = sorted(server.pids)[1:]  # after the arbiter
        for pid in detectors:
            os.sched_setaffinity(pid, {LOAD_CORE})
        load.run(WARM_UP_S)
        frames, analysed, used_s = load.frames, count_analysed(server.address), cpu_seconds([web])
        asked = asker.submit(ask, server.address, seconds)
        began = time.monotonic()
        load.run(seconds)
        elapsed = time.monotonic() - began
        taken = [now - then for now, then in zip(load.frames, frames, strict=True)]
        used_s = cpu_seconds([web]) - used_s
        analysed = count_analysed(server.address) - analysed
        page, times_ms = max(asked.result().items(), key=lambda item: float(np.percentile(item[1], 99)))
    return Row(
        cameras,
        viewers,
        worst_fps=min(taken) / elapsed,
        mean_fps=sum(taken) / viewers / elapsed,
        cpu_share=used_s / elapsed,
        page=page,
        p50_ms=float(np.percentile(times_ms, 50)),
        p99_ms=float(np.percentile(times_ms, 99)),
        analysed_fps=analysed / elapsed / max(1, cameras),
    )


def write_recording(shown: Scene) -> None:
    """Write what the cameras that detect show."""
    demo = DemoScene(SIZE_WH, CAMERA_FPS)
    with av.open(recording(shown), "w") as file:
        video = file.add_stream("libx264", CAMERA_FPS, options={"preset": "veryfast", "g": str(CAMERA_FPS)})
        video.width, video.height = SIZE_WH
        video.pix_fmt = "yuv420p"
        for number in range(10 * CAMERA_FPS):
            picture = av.VideoFrame.from_ndarray(demo.frame(number), "bgr24")
            file.mux(video.encode(picture))
        file.mux(video.encode(None))


def recording(shown: Scene) -> str:
    return str(shown.frames.parent / "camera.mp4")


def command(cameras: int) -> Command:
    """Return what starts our server with so many cameras that detect, beside the one that is watched."""
    settings = (f"detector.workers={min(1, cameras)}", "cameras.camera.detect.enabled=false")

    def start(shown: Scene, port: int) -> list[str]:
        sources = (f"cameras.busy-{number}.source={recording(shown)}" for number in range(cameras))
        return ours(shown, port, *settings, *sources)

    return start


def ask(address: Address, seconds: float) -> dict[str, list[float]]:
    """Return how many milliseconds each page took, whenever it was asked for."""
    times_ms: dict[str, list[float]] = {path: [] for path in PATHS}
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for path, times in times_ms.items():
            began = time.perf_counter()
            fetch(address, path)
            times.append(1000 * (time.perf_counter() - began))
            time.sleep(ASK_EVERY_S)
    return times_ms


def fetch(address: Address, path: str) -> str:
    connection = http.client.HTTPConnection(*address, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def count_analysed(address: Address) -> float:
    """Return how many images the detector workers have answered so far."""
    families = text_string_to_metric_families(fetch(address, "/metrics"))
    images = (family for family in families if family.name == "stream_server_detector_images")
    return sum(sample.value for family in images for sample in family.samples)


def show(rows: list[Row]) -> None:
    """Print what was measured, for people and for programs."""
    print(machine("flask", "gunicorn"))
    print(
        "viewers cameras  worst fps  mean fps  server's core  p50 ms  p99 ms  slowest page      analysed fps"
    )
    for row in rows:
        print(
            f"{row.viewers:7} {row.cameras:7} {row.worst_fps:10.1f} {row.mean_fps:9.1f} {row.cpu_share:14.0%}"
            f" {row.p50_ms:7.1f} {row.p99_ms:7.1f}  {row.page:16} {row.analysed_fps:13.1f}"
        )
    missed = [f"{row.cameras} cameras: {row.worst_fps:.1f} fps" for row in rows if row.worst_fps < LEAST_FPS]
    missed += [f"{row.cameras} cameras: {row.p99_ms:.0f} ms" for row in rows if row.p99_ms > MOST_P99_MS]
    for line in missed:
        print(f"missed: {line}")
    print(json.dumps({"benchmark": "crowd", "rows": [asdict(row) for row in rows], "missed": missed}))
