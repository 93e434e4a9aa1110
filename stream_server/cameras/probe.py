"""Tries a camera once, before anyone relies on it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TookTooLong
from dataclasses import dataclass

from stream_server.base.redaction import redact
from stream_server.config import CameraConfig, SourceConfig
from stream_server.errors import LimitError, SourceEnded, SourceError, reason_of
from stream_server.media.frames import Picture
from stream_server.sources import open_source
from stream_server.sources.base import Source

AT_ONCE = 2
"""A camera that hangs in native code keeps its place until it lets go: threads cannot be ended."""
OPEN_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 25.0
"""To open it, to wait for a picture, to look for a second, and some more."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a camera shows. fps: pictures per second, 0.0 when no second one came."""

    width: int
    height: int
    fps: float
    description: str
    took_ms: int


class Probe:
    """Opens cameras to look at them, few at once. Any thread may call it."""

    def __init__(self) -> None:
        self._places = threading.BoundedSemaphore(AT_ONCE)

    def look_at(self, config: SourceConfig) -> Finding:
        """Return what the camera shows; takes some 25 s at most.

        Raises SourceError with the reason why it shows nothing, LimitError while others are looked at.
        """
        if config.url.kind == "push":
            raise SourceError("pictures are sent to this camera; there is nothing to open")
        if not self._places.acquire(blocking=False):
            raise LimitError(f"{AT_ONCE} cameras are being tried already, more at once are not allowed")
        looking = _Looking(config)
        threading.Thread(target=self._look, args=(looking,), name="probe", daemon=True).start()
        return looking.wait()

    def _look(self, looking: _Looking) -> None:
        try:
            looking.run()
        finally:
            self._places.release()


class _Looking:
    """One look at one camera, on a thread of its own."""

    def __init__(self, config: SourceConfig) -> None:
        limits = {
            key: min(getattr(config, key), OPEN_TIMEOUT_S) for key in ("connect_timeout_s", "read_timeout_s")
        }
        self._config = config.model_copy(update=limits)
        self._found: Future[Finding] = Future()
        self._source: Source | None = None

    def run(self) -> None:
        try:
            self._found.set_result(self._look())
        except BaseException as exc:
            self._found.set_exception(exc)

    def wait(self) -> Finding:
        try:
            return self._found.result(ANSWER_TIMEOUT_S)
        except TookTooLong:
            if self._source:
                self._source.interrupt()
            raise SourceError(f"no answer within {ANSWER_TIMEOUT_S:.0f} s") from None
        except Exception as exc:
            raise SourceError(redact(reason_of(exc))) from None

    def _look(self) -> Finding:
        started = time.monotonic()
        self._source = source = open_source(self._config)
        try:
            source.open()
            picture, fps = measure(source.read, self._config.read_timeout_s)
            width, height = picture.size_wh
            took_ms = round(1000 * (time.monotonic() - started))
            return Finding(width, height, round(fps, 1), source.description, took_ms)
        finally:
            source.close()


MEASURE_S = 1.0
BURST_S = 0.5
"""After a camera was opened, for what it had in store; H.264 cameras send up to half a second at once."""


@dataclass(frozen=True, slots=True)
class CameraReport:
    """What opening a camera showed: "1280x720 at 25 fps, H.264 over RTSP/TCP", or why it failed."""

    is_ok: bool
    finding: str


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
