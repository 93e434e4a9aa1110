"""How smoothly the page of all cameras shows them: 16 cameras of 640x360, Chromium on the server's machine.

Each tile's pictures are counted inside the page, at most one for each frame that the browser draws. Printed
are the slowest and the median tile, and how many cores the server (with its detector workers) and the
browser need.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks._machine import cpu_seconds, descendants, machine
from benchmarks._peers import free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SIZE_WH = (640, 360)
CAMERA_FPS = 15
LEAST_FPS = 10.0
WINDOW_WH = (2560, 1440)
"""Sixteen tiles, in four columns, are then shown pixel for pixel."""
READY_TIMEOUT_S = 30.0
WARM_UP_S = 8.0
CHROMIUM_OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]

_COUNT = """
() => {
  const tiles = [...document.querySelectorAll("stream-camera")];
  window.drawn = tiles.map(() => 0);
  const isNew = tiles.map(() => false);
  tiles.forEach((tile, i) => tile.addEventListener("picture", () => { isNew[i] = true; }));
  const draw = () => {
    isNew.forEach((is, i) => { if (is) window.drawn[i]++; isNew[i] = false; });
    requestAnimationFrame(draw);
  };
  requestAnimationFrame(draw);
}
"""
"""Counts in `drawn`, for each tile, the frames drawn that had a new picture of it."""
_WIDTHS = """
() => [...document.querySelectorAll("stream-camera canvas")].map(({ width }) => width)
"""


@dataclass(frozen=True)
class Row:
    """One wall. min_fps, median_fps: of its tiles. server_cores, browser_cores: that they needed.

    load: of the machine when it began (the mean number of processes that ran or waited in the minute before).
    """

    detects: bool
    cameras: int
    width: int
    min_fps: float
    median_fps: float
    server_cores: float
    browser_cores: float
    load: float


def main(argv: list[str]) -> None:
    """Measure and print a table and, last, one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks wall", description=__doc__)
    parser.add_argument("--cameras", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args(argv)
    with chromium() as browser:
        rows = [
            measure(browser, options.cameras, options.seconds, detects=detects) for detects in (False, True)
        ]
        show(rows, browser.version)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run Debian's Chromium; who has none is told."""
    path = shutil.which("chromium")
    if path is None:
        raise SystemExit("chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


def measure(browser: Browser, cameras: int, seconds: float, *, detects: bool) -> Row:
    """Return how a wall of so many cameras is shown."""
    load = os.getloadavg()[0]
    width, height = WINDOW_WH
    with serving(cameras, detects=detects) as (url, server):
        page = browser.new_page(viewport={"width": width, "height": height})
        page.goto(url)
        page.evaluate(_COUNT)
        page.wait_for_timeout(1000 * WARM_UP_S)
        servers = descendants(server)
        browsers = [pid for pid in descendants(os.getpid())[1:] if pid not in servers]
        began, before = time.monotonic(), (count(page), cpu_seconds(servers), cpu_seconds(browsers))
        page.wait_for_timeout(1000 * seconds)
        elapsed, after = time.monotonic() - began, (count(page), cpu_seconds(servers), cpu_seconds(browsers))
        fps = [(now - then) / elapsed for now, then in zip(after[0], before[0], strict=True)]
        shown_width = min(page.evaluate(_WIDTHS))
        page.close()
    return Row(
        detects,
        cameras,
        shown_width,
        min_fps=min(fps),
        median_fps=statistics.median(fps),
        server_cores=(after[1] - before[1]) / elapsed,
        browser_cores=(after[2] - before[2]) / elapsed,
        load=load,
    )


def count(page: Page) -> list[int]:
    drawn: list[int] = page.evaluate("window.drawn")
    return drawn


@contextmanager
def serving(cameras: int, *, detects: bool) -> Iterator[tuple[str, int]]:
    """Run a server with so many cameras; yield its address and process id once it answers."""
    port = free_port()
    width, height = SIZE_WH
    camera = f"{{source: 'demo:', width: {width}, height: {height}, fps: {CAMERA_FPS}}}"
    settings = [f"cameras.camera-{number:02}={camera}" for number in range(1, cameras + 1)]
    settings += [f"detector.workers={int(detects)}", "auth.database=sqlite:////nonexistent/accounts.db"]
    options = [option for setting in settings for option in ("--set", setting)]
    command = [sys.executable, "-m", "stream_server", "run", "--port", str(port), *options]
    with TemporaryDirectory() as folder, Path(folder, "log").open("w+") as log:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
        try:
            wait_until_ready(process, Path(log.name))
            yield f"http://127.0.0.1:{port}/", process.pid
        finally:
            process.terminate()
            process.wait(10)


def wait_until_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    """Return once the server says where to look."""
    until = time.monotonic() + READY_TIMEOUT_S
    while "Watch at" not in log.read_text(encoding="utf-8"):
        if time.monotonic() > until or process.poll() is not None:
            raise SystemExit(f"the server does not start: {log.read_text(encoding='utf-8')}")
        time.sleep(0.1)


def show(rows: list[Row], browser: str) -> None:
    """Print what was measured, for people and for programs."""
    print(f"{machine('flask', 'gunicorn')}, Chromium {browser}")
    print("detection  cameras  width  min fps  median fps  server's cores  browser's cores  load before")
    missed = []
    for row in rows:
        detection = "on" if row.detects else "off"
        print(
            f"{detection:9} {row.cameras:8} {row.width:6} {row.min_fps:8.1f} {row.median_fps:11.1f}"
            f" {row.server_cores:15.2f} {row.browser_cores:16.2f} {row.load:12.2f}"
        )
        if row.min_fps < LEAST_FPS:
            missed.append(f"detection {detection}: {row.min_fps:.1f} fps")
    for line in missed:
        print(f"missed: {line}")
    print(json.dumps({"benchmark": "wall", "rows": [asdict(row) for row in rows], "missed": missed}))
