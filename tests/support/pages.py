"""Every page a person may open, and a server that has something to show on each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import yaml

import stream_server
from detector.detections import BGRImage
from tests.support.server import Server

PAGES = {
    "wall": "/",
    "camera": "/cameras/front-door",
    "camera-lost": "/cameras/garage",
    "regions": "/cameras/front-door/regions",
    "try": "/try",
    "videos": "/videos",
    "status": "/status",
    "settings": "/settings",
    "api": "/docs",
}
"""Path by name."""
FIRST_RUN = "first-run"
"""The wall of a server without cameras."""

PHOTOS = Path(stream_server.__file__).parent / "assets" / "demo"
SCENES = {"living-room": "cat.jpg", "kitchen": "coffee.jpg", "office": "astronaut.jpg"}
SECONDS, FPS = 8, 10


@contextmanager
def household(
    folder: Path, *, size_wh: tuple[int, int] = (1280, 720), detect_fps: float = 5
) -> Iterator[Server]:
    """Run a server with four cameras that see something and one that is lost; `folder` is its own."""
    cameras: dict[str, dict[str, object]] = {
        "front-door": {"source": "demo:", "width": size_wh[0], "height": size_wh[1], "fps": FPS}
    }
    for name, photo in SCENES.items():
        video = folder / f"{name}.avi"
        write_pan(video, PHOTOS / photo, size_wh)
        cameras[name] = {"source": str(video)}
    cameras["garage"] = {"source": "rtsp://viewer:secret@127.0.0.1:9/stream1"}
    for camera in cameras.values():
        camera["detect"] = {"fps": detect_fps}
    with server_of(folder, cameras) as server:
        for name in ("front-door", *SCENES):
            server.wait_for_camera(lambda info: bool(info["objects"]), 60, name)
        yield server


@contextmanager
def server_of(folder: Path, cameras: dict[str, dict[str, object]]) -> Iterator[Server]:
    """Run a server whose cameras stand in a file in `folder`."""
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump({"cameras": cameras}, sort_keys=False))
    with Server("--config", str(config)) as server:
        yield server


def write_pan(path: Path, photo: Path, size_wh: tuple[int, int]) -> None:
    """Write a video in which a window moves over a photograph, there and back."""
    image = cv2.imread(str(photo))
    assert image is not None
    scale = 1.15 * max(size_wh[0] / image.shape[1], size_wh[1] / image.shape[0])
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, size_wh)
    for turn in np.linspace(0, 2 * np.pi, SECONDS * FPS, endpoint=False):
        video.write(_window(image, size_wh, (0.5 + 0.5 * np.cos(turn), 0.5 + 0.5 * np.sin(turn))))
    video.release()


def _window(
    image: BGRImage | cv2.typing.MatLike, size_wh: tuple[int, int], at: tuple[float, float]
) -> BGRImage:
    (width, height), (rows, columns) = size_wh, image.shape[:2]
    left, top = round(at[0] * (columns - width)), round(at[1] * (rows - height))
    return np.asarray(image[top : top + height, left : left + width], np.uint8)
