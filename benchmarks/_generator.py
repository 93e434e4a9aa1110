"""The server of the tutorials: a Flask generator for each viewer, waiting for one thread's newest frame.

`gunicorn '_generator:create_app(FOLDER, FPS)'`, or `python _generator.py PORT FPS FOLDER` for Werkzeug.
Better than most: no viewer costs an encoding, and each part says its length.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

from flask import Flask, Response


class Camera:
    """Shows the JPEGs of a folder in turn."""

    def __init__(self, folder: Path, fps: float) -> None:
        self._jpegs = [path.read_bytes() for path in sorted(folder.glob("*.jpg"))]
        self._fps = fps
        self._changed = threading.Condition()
        self._newest = b""
        self._number = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        due = time.monotonic()
        for jpeg in cycle(self._jpegs):
            due += 1 / self._fps
            time.sleep(max(0.0, due - time.monotonic()))
            with self._changed:
                self._newest, self._number = jpeg, self._number + 1
                self._changed.notify_all()

    def parts(self) -> Iterator[bytes]:
        seen = 0
        while True:
            with self._changed:
                while self._number == seen:
                    self._changed.wait()
                jpeg, seen = self._newest, self._number
            yield b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (
                len(jpeg),
                jpeg,
            )


def create_app(folder: str, fps: float) -> Flask:
    app, camera = Flask(__name__), Camera(Path(folder), fps)

    @app.get("/video_feed")
    def video_feed() -> Response:
        return Response(camera.parts(), mimetype="multipart/x-mixed-replace; boundary=frame")

    return app


if __name__ == "__main__":
    create_app(sys.argv[3], float(sys.argv[2])).run("127.0.0.1", int(sys.argv[1]), threaded=True)
