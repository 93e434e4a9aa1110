"""Tries out a configuration before anyone relies on it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from detector.errors import ModelError
from detector.labels import find_class_ids
from detector.pool import DetectorPool
from stream_server.config import CameraConfig, Config
from stream_server.errors import ConfigError, SourceEnded, SourceError, reason_of
from stream_server.media.frames import Picture
from stream_server.sources import open_source

LOAD_WITHIN_S = 60.0
MEASURE_S = 1.0
BURST_S = 0.5
"""After a camera was opened, for what it had in store; H.264 cameras send up to half a second at once."""


@dataclass(frozen=True, slots=True)
class CameraReport:
    """What opening a camera showed: "1280x720 at 25 fps, H.264 over RTSP/TCP", or why it failed."""

    is_ok: bool
    finding: str


def check_detector(config: Config) -> dict[str, dict[int, str]]:
    """Return the labels of each model that a camera needs, by its name; the detector's own comes first.

    They are loaded in a process of their own. No camera detects: none is.

    Raises ModelError for a model that cannot be loaded, ConfigError for classes it does not know.
    """
    files = config.model_files()
    if not files:
        return {}
    with _told_once(), DetectorPool(files, workers=1) as pool:
        pool.wait_ready(LOAD_WITHIN_S)
        labels = {file.name: pool.labels_of(file.name) for file in files}
    _check_classes("detector.classes", config.detector.classes, labels[files[0].name])
    check_classes(config, labels)
    return labels


def check_classes(config: Config, labels: Mapping[str, Mapping[int, str]]) -> None:
    """Raise ConfigError for a camera that looks for classes its model does not know.

    labels: of each model, by its name; none of one that is still being loaded, which is not asked.
    """
    for name, camera in config.enabled_cameras.items():
        known = labels[config.detector.file(camera.detect.model).name] if camera.detect.enabled else {}
        if known:
            detect, key = camera.detect, f"cameras.{name}.detect"
            _check_classes(f"{key}.classes", detect.classes, known)
            _check_classes(f"{key}.score_thresholds", tuple(detect.score_thresholds), known)


@contextmanager
def _told_once() -> Iterator[None]:
    """Keep the pool from logging what it raises as well."""
    log = logging.getLogger(DetectorPool.__module__)
    log.disabled = True
    try:
        yield
    finally:
        log.disabled = False


def _check_classes(key: str, classes: tuple[str, ...] | None, labels: Mapping[int, str]) -> None:
    try:
        find_class_ids(labels, classes or ())
    except ModelError as exc:
        raise ConfigError(f"{key}: {exc}") from None


def check_camera(config: CameraConfig) -> CameraReport:
    """Open a camera, look at its pictures for a second, and report."""
    if not config.enabled:
        return CameraReport(True, "is not enabled")
    if config.url.kind == "push":
        return CameraReport(True, "waits for pictures to be sent")
    source = open_source(config)
    try:
        source.open()
        picture, fps = measure(source.read, config.read_timeout_s)
    except Exception as exc:  # whatever it is, the other cameras are looked at
        return CameraReport(False, reason_of(exc))
    finally:
        source.close()
    width, height = picture.size_wh
    rate = f" at {fps:.0f} fps" if fps else ""
    return CameraReport(True, f"{width}x{height}{rate}, {source.description}")


def measure(read: Callable[[], Picture | None], timeout_s: float) -> tuple[Picture, float]:
    """Return the first picture and the rate of those that follow, 0.0 when none does within a second.

    Cameras begin with what they have in store, as fast as they can: what follows that is counted, from one
    picture to another.
    """
    first = _first_picture(read, timeout_s)
    opened, came = time.monotonic(), []
    try:
        while time.monotonic() - opened < BURST_S + MEASURE_S:
            if read() is not None:
                came.append(time.monotonic())
    except SourceEnded:
        return first, 0.0
    came = [at for at in came if at - opened > BURST_S]
    return first, (len(came) - 1) / (came[-1] - came[0]) if len(came) > 1 else float(len(came))


def _first_picture(read: Callable[[], Picture | None], timeout_s: float) -> Picture:
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        if picture := read():
            return picture
    raise SourceError(f"no picture for {timeout_s:g} s")
