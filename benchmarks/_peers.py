"""The servers that are compared: how each is started on the same frames, and where its stream is."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from benchmarks._load import Load
from benchmarks._machine import descendants
from benchmarks._webcam import Webcam

HERE = Path(__file__).parent
CACHE = HERE.parent / ".cache" / "fanout"
GENERATOR_PACKAGES = ("flask==3.1.3", "gunicorn[gevent]==27.0.1")
READY_TIMEOUT_S = 30.0
SERVER_CORE = "0"
MOST_THREADS = 700
LEAST_JPEG_BYTES = 50_000
"""What is smaller is not one of the frames but says that there are none."""


@dataclass(frozen=True)
class Scene:
    """What all servers show: JPEGs in `frames`, and the same ones as a webcam."""

    frames: Path
    webcam: Webcam
    fps: int
    size_wh: tuple[int, int]


Command = Callable[[Scene, int], list[str]]


@dataclass(frozen=True)
class Peer:
    """One server. command: what starts it on a port. why_not: why it cannot be started here, or ""."""

    name: str
    path: str
    command: Command
    why_not: Callable[[], str] = lambda: ""


class Running:
    """A server in processes of its own, pinned to one core, from entering until leaving the block."""

    def __init__(self, peer: Peer, scene: Scene) -> None:
        self.peer = peer
        self.address = ("127.0.0.1", free_port())
        self._command = ["taskset", "--cpu-list", SERVER_CORE, *peer.command(scene, self.address[1])]
        self._environment = {**os.environ, **scene.webcam.environment}

    def __enter__(self) -> Running:
        """Start it; returns once a viewer has seen a frame."""
        self.process = subprocess.Popen(
            self._command,
            env=self._environment,
            cwd=HERE.parent,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + READY_TIMEOUT_S
        while not self._shows_frames(until):
            if time.monotonic() > until or self.process.poll() is not None:
                self.__exit__(None, None, None)
                raise SystemExit(f"{self.peer.name} shows nothing: {' '.join(self._command)}")
            time.sleep(0.1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    @property
    def pids(self) -> list[int]:
        """All its processes."""
        return descendants(self.process.pid)

    def _shows_frames(self, until: float) -> bool:
        try:
            with Load(self.address, self.peer.path, 1) as viewer:
                while (
                    viewer.jpeg_bytes < 2 * LEAST_JPEG_BYTES and not viewer.lost and time.monotonic() < until
                ):
                    viewer.run(0.2)
                return viewer.jpeg_bytes >= 2 * LEAST_JPEG_BYTES
        except OSError:
            return False


def free_port() -> int:
    """Return a port of this machine that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _is_missing(program: str) -> Callable[[], str]:
    return lambda: "" if shutil.which(program) else f"{program} is not installed"


def ours(scene: Scene, port: int, *settings: str) -> list[str]:
    """Return our server without detection, unless `settings` (as for --set) say otherwise."""
    settings = ("detector.workers=0", f"cameras.camera.fps={scene.fps}", *settings)
    options = [option for setting in settings for option in ("--set", setting)]
    source = ("--source", str(scene.webcam.device), "--port", str(port))
    return [sys.executable, "-m", "stream_server", "run", *source, *options]


def _raw_loop(scene: Scene, port: int) -> list[str]:
    return [sys.executable, str(HERE / "_raw_loop.py"), str(port), str(scene.fps), str(scene.frames)]


def ustreamer(scene: Scene, port: int) -> list[str]:
    """Return ustreamer, passing the webcam's JPEGs through or encoding at the quality that is our default."""
    size = "x".join(map(str, scene.size_wh))
    how = {"MJPG": ["MJPEG", "--encoder", "HW"], "YUYV": ["YUYV", "--quality", "80"]}[
        scene.webcam.pixel_format
    ]
    camera = ["--device", str(scene.webcam.device), "--format", *how, "--desired-fps", str(scene.fps)]
    return ["ustreamer", *camera, "--resolution", size, "--port", str(port)]


def _mjpg_streamer(scene: Scene, port: int) -> list[str]:
    size = "x".join(map(str, scene.size_wh))
    camera = f"input_uvc.so -d {scene.webcam.device} -r {size} -f {scene.fps}"
    return ["mjpg_streamer", "-i", camera, "-o", f"output_http.so -l 127.0.0.1 -p {port}"]


def _motion(scene: Scene, port: int) -> list[str]:
    """Return motion with nothing on but the stream; it decodes and encodes every frame, as it always does."""
    settings = {
        "daemon": "off",
        "log_level": 4,
        "video_device": scene.webcam.device,
        "video_params": "palette=8",
        "width": scene.size_wh[0],
        "height": scene.size_wh[1],
        "framerate": scene.fps,
        "stream_port": port,
        "stream_maxrate": scene.fps,
        "stream_quality": 60,
        "stream_localhost": "on",
        "webcontrol_port": 0,
        "movie_output": "off",
        "picture_output": "off",
        "text_left": "",
        "text_right": "",
    }
    path = scene.frames.parent / "motion.conf"
    path.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    return ["motion", "-n", "-c", str(path)]


def _generator(scene: Scene) -> str:
    return f"_generator:create_app({str(scene.frames)!r}, {scene.fps})"


def _gunicorn(scene: Scene, port: int, *options: str) -> list[str]:
    server = [str(_generator_python()), "-m", "gunicorn", "--chdir", str(HERE), "--log-level", "error"]
    return [*server, "--bind", f"127.0.0.1:{port}", *options, _generator(scene)]


def _gunicorn_threads(scene: Scene, port: int) -> list[str]:
    return _gunicorn(scene, port, "--threads", str(MOST_THREADS))


def _gunicorn_gevent(scene: Scene, port: int) -> list[str]:
    return _gunicorn(scene, port, "--worker-class", "gevent", "--worker-connections", str(MOST_THREADS))


def _werkzeug(scene: Scene, port: int) -> list[str]:
    python, script = str(_generator_python()), str(HERE / "_generator.py")
    return [python, script, str(port), str(scene.fps), str(scene.frames)]


def _generator_python() -> Path:
    """Return the Python of an environment with Flask, gunicorn and gevent; made at the first call."""
    home = CACHE / "venv"
    python = home / "bin" / "python"
    if not (home / "complete").exists():
        venv.create(home, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *GENERATOR_PACKAGES], check=True)
        (home / "complete").touch()
    return python


FLOOR = Peer("raw loop", "/", _raw_loop)
OURS = Peer("stream-server", "/cameras/camera/stream.mjpg?overlay=none&fps=30", ours)
USTREAMER = Peer("ustreamer", "/stream", ustreamer, _is_missing("ustreamer"))
PEERS = (
    FLOOR,
    OURS,
    USTREAMER,
    Peer("mjpg-streamer", "/?action=stream", _mjpg_streamer, _is_missing("mjpg_streamer")),
    Peer("motion", "/", _motion, _is_missing("motion")),
    Peer("flask-gunicorn", "/video_feed", _gunicorn_threads),
    Peer("flask-gevent", "/video_feed", _gunicorn_gevent),
    Peer("flask-werkzeug", "/video_feed", _werkzeug),
)
