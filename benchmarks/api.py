"""`POST /api/v1/detect` beside bare decoding and inference, and beside the tutorial way.

The floor has as many detector workers, and threads that only decode and wait for detections: what HTTP,
limits and JSON cost is what is missing to it. All run by turns on the same machine, the clients too.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import TypeVar

import cv2
from rich.console import Console
from rich.table import Table

from benchmarks._http_clients import Clients
from benchmarks._machine import machine
from detector import load_detector
from detector.pool import DetectorPool
from stream_server.media.image_decoding import decode_image

PHOTO = Path(__file__).parents[1] / "tests" / "data" / "coffee.jpg"
MODEL = "centernet-mobilenetv3"
SIZE_WH = (1280, 720)
QUALITY = 80
CLIENTS = 8
READY_TIMEOUT_S = 60.0
TARGET_RATIO = 0.9
TARGET_ADDED_MS = 5.0

T = TypeVar("T")


def main(argv: list[str]) -> None:
    """Measure and print a table and, last, one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks api", description=__doc__)
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="detectors (default: one a core)")
    parser.add_argument("--rounds", type=int, default=10, help="of each by turns (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of a round (default: %(default)s)")
    arguments = parser.parse_args(argv)
    image = cv2.resize(cv2.imread(str(PHOTO)), SIZE_WH, interpolation=cv2.INTER_CUBIC)
    jpeg = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, QUALITY))[1].tobytes()
    with ExitStack() as stack:
        server = stack.enter_context(_stream_server(arguments.workers))
        rates = _rates(stack, server, jpeg, arguments)
        added = _latencies(server, jpeg, arguments.rounds * 20)
    _show(rates, added, arguments.workers, len(jpeg))


def _rates(
    stack: ExitStack, server: tuple[str, int], jpeg: bytes, arguments: argparse.Namespace
) -> dict[str, list[float]]:
    tutorial = stack.enter_context(_tutorial())
    pool = stack.enter_context(DetectorPool(MODEL, workers=arguments.workers, max_waiting=64))
    pool.wait_ready(READY_TIMEOUT_S)
    ways: dict[str, Callable[[], float]] = {
        "decode + inference alone": lambda: _bare(pool, jpeg, arguments.seconds),
        "stream-server": lambda: _asked(server, "/api/v1/detect", jpeg, arguments.seconds),
        "Flask view, gunicorn with 2 sync workers": lambda: _asked(
            tutorial, "/detect", jpeg, arguments.seconds
        ),
    }
    for way in ways.values():
        way()  # warms up
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.rounds):
        for name, way in ways.items():
            rates[name].append(way())
    return rates


def _bare(pool: DetectorPool, jpeg: bytes, seconds: float) -> float:
    """Return pictures a second of `CLIENTS` threads that decode and wait for detections."""
    counts = [0] * CLIENTS
    began = time.perf_counter()

    def work(index: int) -> None:
        while time.perf_counter() - began < seconds:
            pool.submit(decode_image(jpeg)).result()
            counts[index] += 1

    threads = [threading.Thread(target=work, args=(index,)) for index in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - began)


def _asked(address: tuple[str, int], path: str, jpeg: bytes, seconds: float) -> float:
    with Clients(address, path, jpeg, CLIENTS) as clients:
        began = time.perf_counter()
        return len(clients.run(seconds)) / (time.perf_counter() - began)


def _latencies(server: tuple[str, int], jpeg: bytes, count: int) -> dict[str, float]:
    """Return medians in ms: of a request alone, of decoding in it, of `Detector.detect` on the image."""
    posts, decodes, detects = [], [], []
    connection = HTTPConnection(*server)
    image = decode_image(jpeg)
    with load_detector(MODEL) as detector:
        for _ in range(count):
            post, answer = _timed(lambda: _ask(connection, jpeg))
            detect, _ = _timed(lambda: detector.detect(image))
            posts.append(post)
            decodes.append(json.loads(answer)["images"][0]["timings"]["decode_ms"] / 1000)
            detects.append(detect)
    connection.close()
    return {
        name: 1000 * median(times[5:])
        for name, times in (("request", posts), ("decode", decodes), ("detect", detects))
    }


def _ask(connection: HTTPConnection, jpeg: bytes) -> bytes:
    connection.request("POST", "/api/v1/detect", jpeg)
    return connection.getresponse().read()


def _timed(call: Callable[[], T]) -> tuple[float, T]:
    began = time.perf_counter()
    answer = call()
    return time.perf_counter() - began, answer


@contextmanager
def _stream_server(workers: int) -> Iterator[tuple[str, int]]:
    """Run the server with a camera that nobody watches."""
    settings = ("cameras.idle={source: 'demo:', on_demand: true}", f"detector.workers={workers}")
    options = [option for setting in settings for option in ("--set", setting)]
    command = [
        sys.executable,
        "-m",
        "stream_server",
        "run",
        "--port",
        "0",
        "--set",
        "auth.open=true",
        *options,
    ]
    with _running(command, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        found = next(filter(None, (re.search(r"http://([\d.]+):(\d+)/", line) for line in process.stderr)))
        address = (found[1], int(found[2]))
        threading.Thread(target=process.stderr.read, daemon=True).start()
        _wait_for(lambda: _asks(address, "/readyz"))
        yield address


@contextmanager
def _tutorial() -> Iterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = ("127.0.0.1", listener.getsockname()[1])
    command = [sys.executable, "-m", "gunicorn", "--workers", "2", "--bind", f"127.0.0.1:{address[1]}"]
    with _running([*command, "benchmarks._tutorial:app"], stderr=subprocess.DEVNULL):
        _wait_for(lambda: _asks(address, "/none"))
        yield address


@contextmanager
def _running(command: list[str], stderr: int) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr, text=True)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _asks(address: tuple[str, int], path: str) -> bool:
    try:
        with socket.create_connection(address, 5) as sock:
            sock.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            return sock.recv(64).split(b" ")[1:2] in ([b"200"], [b"404"])
    except OSError:
        return False


def _wait_for(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + READY_TIMEOUT_S
    while not is_so():
        if time.monotonic() > until:
            raise SystemExit("a server did not start")
        time.sleep(0.1)


def _show(rates: dict[str, list[float]], times: dict[str, float], workers: int, size: int) -> None:
    floor, ours, tutorial = rates.values()
    ratio = median(mine / bare for mine, bare in zip(ours, floor, strict=True))
    added = times["request"] - times["detect"]
    most = times["decode"] + TARGET_ADDED_MS
    table = Table(
        title=f"{SIZE_WH[0]}x{SIZE_WH[1]} JPEGs of {size // 1000} kB, {CLIENTS} clients, {workers} detectors"
    )
    table.add_column("")
    table.add_column("pictures/s", justify="right")
    for name, values in rates.items():
        table.add_row(name, f"{median(values):.1f}")
    console = Console(width=110)
    console.print(table)
    console.print(f"of decoding and inference alone: {ratio:.2f} (target: {TARGET_RATIO} or more)")
    console.print(
        f"one at a time: {times['request']:.1f} ms, Detector.detect {times['detect']:.1f}: "
        f"{added:.1f} ms more, of which decoding {times['decode']:.1f} (target: {most:.1f} or less)"
    )
    figures = {
        "machine": machine("flask", "gunicorn", "ai-edge-litert", "opencv-python-headless"),
        "pictures_per_s": {name: round(median(values), 1) for name, values in rates.items()},
        "ratio": round(ratio, 3),
        "ratio_to_tutorial": round(median(ours) / median(tutorial), 3),
        "latency_ms": {name: round(value, 2) for name, value in times.items()},
        "added_ms": round(added, 2),
        "is_met": ratio >= TARGET_RATIO and added <= most,
    }
    print(json.dumps(figures))
