"""What the pipeline costs over the bare calls it cannot do without.

Drawing: `annotate` of 8 boxes and `encode_jpeg`, against converting (I420 to BGR) and encoding the same frame
with OpenCV alone. CPU time of one thread, calls interleaved.

Serving: the server plays a 1280x720 H.264 file at 25 fps without detection to one viewer; the floor
is a process that decodes, converts and encodes the same file at the same pace in one thread. CPU time per
frame shown, rounds interleaved, both on core 0, the viewer on the last core.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import av
import cv2
import numpy as np

from benchmarks._machine import cpu_seconds, descendants, machine
from detector.detections import Detections
from stream_server.drawing.annotate import annotate
from stream_server.media.encode import encode_jpeg
from stream_server.sources.demo import DemoScene

SIZE_WH = (1280, 720)
FPS = 25
QUALITY = 80
LABELS = {0: "person", 1: "bicycle", 2: "car", 15: "cat"}
TARGET = 1.15


@dataclass(frozen=True)
class Ratio:
    """One comparison: milliseconds of the floor and of the product, and how many times the floor that is."""

    what: str
    floor_ms: float
    ours_ms: float

    @property
    def ratio(self) -> float:
        return self.ours_ms / self.floor_ms


def main(argv: list[str]) -> None:
    """Print both comparisons, and one JSON line."""
    parser = argparse.ArgumentParser(prog="benchmarks pipeline", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of serving, each way (default 5)")
    parser.add_argument("--seconds", type=float, default=6, help="for a round of serving (default 6)")
    options = parser.parse_args(argv)

    rows = [drawing()]
    with tempfile.TemporaryDirectory() as folder:
        film = write_film(Path(folder) / "film.mp4")
        for overlay in ("none", "live"):
            rows.append(serving(film, overlay, options.rounds, options.seconds))

    print(machine("opencv-python-headless", "av", "gunicorn"))
    print(f"{'':44} {'floor ms':>9} {'ours ms':>9} {'ratio':>7}")
    for row in rows:
        print(f"{row.what:44} {row.floor_ms:9.2f} {row.ours_ms:9.2f} {row.ratio:7.3f}")
    figures = {
        row.what: {"floor_ms": row.floor_ms, "ours_ms": row.ours_ms, "ratio": row.ratio} for row in rows
    }
    print(
        json.dumps({"benchmark": "pipeline", **figures, "ok": all(row.ratio <= TARGET for row in rows[:2])})
    )


def drawing(calls: int = 300) -> Ratio:
    """Compare drawing and encoding with converting and encoding alone, medians of interleaved calls."""
    image = DemoScene(SIZE_WH, FPS).frame(0)
    planes = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)
    corners = np.random.default_rng(1).uniform((0, 0), (1000, 500), (8, 2))
    boxes = np.hstack((corners, corners + np.array([240, 200]))).astype(np.float32)
    found = Detections(
        boxes, np.linspace(0.9, 0.5, 8, dtype=np.float32), np.array([0, 1, 2, 15] * 2), np.arange(1, 9)
    )
    floor, ours = [], []
    cv2.setNumThreads(1)
    for number in range(calls):
        started = time.process_time()
        cv2.imencode(
            ".jpg", cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420), (cv2.IMWRITE_JPEG_QUALITY, QUALITY)
        )
        between = time.process_time()
        encode_jpeg(annotate(image, found, LABELS, caption=(f"front  12:00:{number % 60:02}",)), QUALITY)
        floor.append(between - started)
        ours.append(time.process_time() - between)
    return Ratio("draw 8 boxes + encode", 1000 * median(floor), 1000 * median(ours))


def write_film(path: Path, seconds: int = 8) -> Path:
    """Write the demo scene as an H.264 file like those that cameras send: 2 Mbit/s, a key frame every 2 s."""
    scene = DemoScene(SIZE_WH, FPS)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"tune": "zerolatency", "g": str(2 * FPS)})
        stream.width, stream.height, stream.bit_rate, stream.pix_fmt = *SIZE_WH, 2_000_000, "yuv420p"
        for number in range(seconds * FPS):
            frame = av.VideoFrame.from_ndarray(scene.frame(number), format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def serving(film: Path, overlay: str, rounds: int, seconds: float) -> Ratio:
    """Compare the server's CPU per frame shown with the bare calls', medians of interleaved rounds."""
    floor, ours = [], []
    with Server(film) as server:
        for _ in range(rounds):
            floor.append(bare(film, seconds))
            ours.append(server.watch(overlay, seconds))
    return Ratio(f"decode + convert + encode + serve, {overlay}", 1000 * median(floor), 1000 * median(ours))


def bare(film: Path, seconds: float) -> float:
    """Return the CPU seconds a frame costs in a process that only decodes, converts and encodes."""
    command = [sys.executable, "-m", "benchmarks.pipeline", str(film), str(seconds)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, preexec_fn=on_first_core)
    return float(answer.stdout)


def bare_calls(film: str, seconds: float) -> float:
    """Decode, convert and encode at the film's pace in one thread; return the CPU seconds a frame."""
    reformatter = av.video.reformatter.VideoReformatter()
    count, began, cpu = 0, time.monotonic(), time.process_time()
    while time.monotonic() - began < seconds:
        with av.open(film) as container:
            container.streams.video[0].thread_count = 1
            for frame in container.decode(video=0):
                image = reformatter.reformat(frame, format="bgr24", threads=1).to_ndarray()
                cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, QUALITY))
                count += 1
                time.sleep(max(0.0, began + count / FPS - time.monotonic()))
                if time.monotonic() - began >= seconds:
                    break
    return (time.process_time() - cpu) / count


class Server:
    """The server in processes of its own, on the first core, playing the film without detection."""

    def __init__(self, film: Path) -> None:
        settings = ("server.port=0", "detector.workers=0", f"cameras.camera.stream.fps={2 * FPS}")
        options = [option for setting in settings for option in ("--set", setting)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "stream_server", "run", "--source", str(film), *options],
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=on_first_core,  # noqa: PLW1509 - no other thread runs here
        )
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if found := re.search(r"http://([\d.]+):(\d+)/", line):
                self.address = (found[1], int(found[2]))
                return
        raise SystemExit("the server did not start")

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(10)

    def watch(self, overlay: str, seconds: float) -> float:
        """Return the CPU seconds of the server's processes for each frame that one viewer got."""
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        with socket.create_connection(self.address) as viewer:
            request = f"GET /cameras/camera/stream.mjpg?overlay={overlay} HTTP/1.1\r\nHost: localhost\r\n\r\n"
            viewer.sendall(request.encode())
            self._frames(viewer, 1)
            pids, began = descendants(self.process.pid), time.monotonic()
            cpu = cpu_seconds(pids)
            count = self._frames(viewer, seconds)
            assert count > 0.9 * FPS * (time.monotonic() - began), f"only {count} frames came"
            return (cpu_seconds(pids) - cpu) / count

    @staticmethod
    def _frames(viewer: socket.socket, seconds: float) -> int:
        count, tail, until = 0, b"", time.monotonic() + seconds
        while time.monotonic() < until:
            data = tail + viewer.recv(1 << 20)
            count += data.count(b"Content-Length:")
            tail = data[-14:]
        return count


def on_first_core() -> None:
    """Keep a child on one core, so that it does not share one with who watches it."""
    os.sched_setaffinity(0, {0})


if __name__ == "__main__":
    print(bare_calls(sys.argv[1], float(sys.argv[2])))
