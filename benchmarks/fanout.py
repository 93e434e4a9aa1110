"""What a viewer costs: CPU for each delivered frame, the worst viewer's rate, memory; beside other servers.

All show the same JPEGs of 1280x720, about 73 kB, at 30 a second: ours, ustreamer, mjpg-streamer and motion
from one virtual webcam, the Flask generators and the raw loop (the floor: Python that only sends) from files.
The server has one core, its viewers another. Both ends are on this machine, so that part of the kernel's work
of receiving falls to who sends. CPU is all that the server's processes used, memory what they grew by.

What else runs disturbs these figures, by the caches above all. Each is the quieter of two tries; the table
says how much of the machine others took.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks._load import Load
from benchmarks._machine import cpu_seconds, machine, machine_cpu_seconds, resident_mib
from benchmarks._peers import FLOOR, OURS, PEERS, Peer, Running, Scene
from benchmarks._webcam import virtual_webcam
from stream_server.media.encode import encode_jpeg
from stream_server.sources.demo import DemoScene

SIZE_WH = (1280, 720)
FPS = 30
QUALITY = 57
FRAMES = 12
WARM_UP_S = 2.0
QUIET_SHARE = 0.05
LOAD_CORE = 1

MANY_VIEWERS = 200
MOST_CPU_US = 30.0
LEAST_TIMES_OURS = {FLOOR.name: 1 / 1.25, "ustreamer": 4.0, "mjpg-streamer": 2.0}
LEAST_FPS = 29.5
MOST_MIB = 1.0


@dataclass(frozen=True)
class Row:
    """One server with so many viewers.

    cpu_us: for each delivered frame. mib: the server grew by for each viewer. load_share: of their core that
    the viewers needed; near 1 they are measured. foreign_share: of the machine that others took.
    """

    server: str
    viewers: int
    cpu_us: float
    worst_fps: float
    mean_fps: float
    frame_kb: float
    mib: float
    load_share: float
    foreign_share: float


def main(argv: list[str]) -> None:
    """Measure and print a table and, last, one JSON line."""
    options = parse(argv)
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    peers = [peer for peer in PEERS if peer.name in options.servers]
    missing = {peer.name: reason for peer in peers if (reason := peer.why_not())}
    peers = [peer for peer in peers if peer.name not in missing]
    with scene() as shown:
        os.sched_setaffinity(0, {LOAD_CORE})
        rows = [row for viewers in options.viewers for row in compare(peers, shown, viewers, options)]
    show(rows, missing)


def parse(argv: list[str]) -> argparse.Namespace:
    names = [peer.name for peer in PEERS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks fanout", description=__doc__)
    parser.add_argument("--viewers", type=int, nargs="+", default=[50, 200, 600])
    parser.add_argument("--seconds", type=float, default=5, help="of a try (default: %(default)s)")
    parser.add_argument(
        "--tries", type=int, default=2, help="until the machine is quiet (default: %(default)s)"
    )
    parser.add_argument(
        "--servers", nargs="+", choices=names, default=names, metavar="SERVER", help="of: " + ", ".join(names)
    )
    return parser.parse_args(argv)


@contextmanager
def scene() -> Iterator[Scene]:
    """Write the frames, and make a webcam that shows them."""
    with (
        tempfile.TemporaryDirectory() as folder,
        virtual_webcam("MJPG", SIZE_WH, FPS) as webcam,
    ):
        frames = Path(folder) / "frames"
        frames.mkdir()
        demo = DemoScene(SIZE_WH, FPS)
        for number in range(FRAMES):
            jpeg = encode_jpeg(demo.frame(number), QUALITY)
            (frames / f"{number:04}.jpg").write_bytes(jpeg)
            (webcam.folder / f"{number:04}.frame").write_bytes(jpeg)
        yield Scene(frames, webcam, FPS, SIZE_WH)


def compare(peers: list[Peer], shown: Scene, viewers: int, options: argparse.Namespace) -> list[Row]:
    """Return a row for each server: of a few tries the first that is quiet, else the quietest."""
    rows: dict[str, Row] = {}
    noisy = peers
    for _ in range(options.tries):
        for row in (measure(peer, shown, viewers, options.seconds) for peer in noisy):
            rows[row.server] = min(row, rows.get(row.server, row), key=lambda row: row.foreign_share)
        noisy = [peer for peer in peers if rows[peer.name].foreign_share > QUIET_SHARE]
    return list(rows.values())


def measure(peer: Peer, shown: Scene, viewers: int, seconds: float) -> Row:
    """Return what so many viewers cost who stay so long."""
    with Running(peer, shown) as server:
        before_mib = resident_mib(server.pids)
        with Load(server.address, peer.path, viewers) as load:
            load.run(WARM_UP_S)
            return watch(server, load, before_mib, seconds)


def watch(server: Running, load: Load, before_mib: float, seconds: float) -> Row:
    frames, jpeg_bytes, pids = load.frames, load.jpeg_bytes, server.pids
    readings = read_clocks(pids)
    load.run(seconds)
    elapsed, cpu_s, load_s, machine_s = (
        now - then for now, then in zip(read_clocks(pids), readings, strict=True)
    )
    taken = [now - then for now, then in zip(load.frames, frames, strict=True)]
    return Row(
        server.peer.name,
        len(taken),
        cpu_us=1e6 * cpu_s / max(1, sum(taken)),
        worst_fps=min(taken) / elapsed,
        frame_kb=(load.jpeg_bytes - jpeg_bytes) / max(1, sum(taken)) / 1000,
        mean_fps=sum(taken) / len(taken) / elapsed,
        mib=max(0.0, resident_mib(pids) - before_mib) / len(taken),
        load_share=load_s / elapsed,
        foreign_share=max(0.0, machine_s - cpu_s - load_s) / elapsed / (os.cpu_count() or 1),
    )


def read_clocks(pids: list[int]) -> tuple[float, float, float, float]:
    """Return the time, and the CPU seconds of the server, of the viewers and of the machine."""
    return time.monotonic(), cpu_seconds(pids), time.process_time(), machine_cpu_seconds()


def show(rows: list[Row], missing: dict[str, str]) -> None:
    """Print what was measured, for people and for programs."""
    print(machine("flask", "gunicorn"))
    print(
        "viewers server          us/frame x floor  worst fps  mean fps  MiB/viewer  kB  viewers' core  others"
    )
    floors = {row.viewers: row.cpu_us for row in rows if row.server == FLOOR.name}
    for row in rows:
        ratio = f"{row.cpu_us / floors[row.viewers]:7.2f}" if row.viewers in floors else f"{'':7}"
        print(
            f"{row.viewers:7} {row.server:15} {row.cpu_us:8.1f} {ratio} {row.worst_fps:10.1f}"
            f" {row.mean_fps:9.1f} {row.mib:11.3f} {row.frame_kb:3.0f}"
            f" {row.load_share:14.0%} {row.foreign_share:7.0%}"
        )
    for server, reason in missing.items():
        print(f"left out: {server} ({reason})")
    missed = [line for row in rows if row.server == OURS.name for line in misses(row, rows)]
    for line in missed:
        print(f"missed: {line}")
    print(json.dumps({"benchmark": "fanout", "rows": [asdict(row) for row in rows], "missed": missed}))


def misses(ours: Row, rows: list[Row]) -> Iterator[str]:
    """Yield what is not as it must be; few viewers share the camera's costs, so only their rate counts."""
    if ours.worst_fps < LEAST_FPS:
        yield f"{ours.viewers} viewers: {ours.worst_fps:.1f} fps, must be at least {LEAST_FPS}"
    if ours.viewers < MANY_VIEWERS:
        return
    if ours.cpu_us > MOST_CPU_US:
        yield f"{ours.viewers} viewers: {ours.cpu_us:.1f} us a frame, must be at most {MOST_CPU_US:.0f}"
    if ours.mib > MOST_MIB:
        yield f"{ours.viewers} viewers: {ours.mib:.2f} MiB each, must be at most {MOST_MIB:.0f}"
    others = {row.server: row.cpu_us / ours.cpu_us for row in rows if row.viewers == ours.viewers}
    for server, times in LEAST_TIMES_OURS.items():
        if server in others and others[server] < times:
            yield f"{ours.viewers} viewers: {server} takes {others[server]:.2f} x ours, not {times:.2f}"
