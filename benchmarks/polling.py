"""How often a camera of single pictures is asked while its small web server fails now and then.

Every fourth or fifteenth request, or that share of them by chance, is refused (503), reset, or answered with
nothing. Each server has a camera of its own, all run at once, and one that never fails is what they are
compared with: requests by the end, and pictures that came of them.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import random
import socket
import struct
import threading
import time
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np

from benchmarks._machine import machine
from benchmarks.tracking import print_table
from stream_server.cameras.camera import Camera
from stream_server.config import CameraConfig
from stream_server.sources import open_source

FAULTS = ("503", "reset", "empty")
KINDS = ("snapshot", "one-part stream")
FPS, SECONDS = 2.0, 90.0
_RESET = struct.pack("ii", 1, 0)  # linger for no time: close sends RST


@dataclass(frozen=True)
class Row:
    """What one camera was asked; percent: of the requests of the one of its kind that never fails."""

    requests: int
    pictures: int
    percent: float


class RudeServer(ThreadingHTTPServer):
    """A camera on a free port that fails one request in `one_in` in one way."""

    daemon_threads = True

    def __init__(self, kind: str, fault: str, one_in: int, by_chance: bool) -> None:
        self.kind, self.fault, self.one_in, self.by_chance = kind, fault, one_in, by_chance
        how = f"one in {one_in}{' by chance' * by_chance} {fault}" if fault else "never fails"
        self.name = f"{kind}, {how}"
        self.asked = 0
        self._chance = random.Random(one_in)  # the same each run
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, name="rude-server", daemon=True).start()

    def fails(self) -> bool:
        """Return whether to fail the request that came now; the first is the camera's opening."""
        self.asked += 1
        if self.by_chance:
            return self._chance.random() < 1 / self.one_in
        return bool(self.one_in) and self.asked % self.one_in == 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: RudeServer

    def do_GET(self) -> None:
        fault = self.server.fault if self.server.fails() else ""
        if fault == "reset":
            self.close_connection = True
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            os.close(self.connection.detach())
            return
        body, content_type = _jpeg(self.server.asked), "image/jpeg"
        if self.server.kind != "snapshot":
            content_type = "multipart/x-mixed-replace; boundary=frame"
            body = b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + body + b"\r\n--frame--\r\n"
        body = b"" if fault else body
        self.send_response(503 if fault == "503" else 200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def _jpeg(number: int) -> bytes:
    return cv2.imencode(".jpg", np.full((480, 640, 3), number % 256, np.uint8))[1].tobytes()


def main(argv: list[str]) -> None:
    """Measure and print a table and, last, one line of JSON."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks polling", description="Cameras that fail at times."
    )
    parser.add_argument("--seconds", type=float, default=SECONDS, help="default: %(default)s")
    options = parser.parse_args(argv)
    rows = measure(options.seconds)
    due = options.seconds * FPS
    print_table(f"{FPS:g} requests a second for {options.seconds:g} s: {due:g} are due", rows)
    print(json.dumps({"machine": machine(), "rows": {name: asdict(row) for name, row in rows.items()}}))


def measure(seconds: float) -> dict[str, Row]:
    """Return a row for each camera, those that never fail first."""
    cases = [("", 0, False), *itertools.product(FAULTS, (4, 15), (False, True))]
    servers = [RudeServer(kind, *case) for case in cases for kind in KINDS]
    with contextlib.ExitStack() as stack:
        cameras = [stack.enter_context(contextlib.closing(_camera(server))) for server in servers]
        time.sleep(seconds)
        asked = [server.asked for server in servers]
        frames = [camera.frames.item for camera in cameras]
    whole = dict(zip(KINDS, asked, strict=False))
    return {
        server.name: Row(count, frame.sequence if frame else 0, round(100 * count / whole[server.kind], 1))
        for server, count, frame in zip(servers, asked, frames, strict=True)
    }


def _camera(server: RudeServer) -> Camera:
    source = f"http://127.0.0.1:{server.server_port}/image"
    config = CameraConfig.model_validate({"source": source, "fps": FPS})
    camera = Camera(server.name, config, open_source)
    camera.acquire()
    camera.start()
    return camera
