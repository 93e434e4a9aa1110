"""Tries a camera once, before anyone relies on it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TookTooLong
from dataclasses import dataclass

from stream_server.base.redaction import redact
from stream_server.config import SourceConfig
from stream_server.detection.checks import measure
from stream_server.errors import LimitError, SourceError, reason_of
from stream_server.sources import open_source
from stream_server.sources.base import Source

AT_ONCE = 2
"""A camera that hangs in native code keeps its place until it lets go: threads cannot be ended."""
OPEN_WITHIN_S = 10.0
ANSWER_WITHIN_S = 25.0
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
            key: min(getattr(config, key), OPEN_WITHIN_S) for key in ("connect_timeout_s", "read_timeout_s")
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
            return self._found.result(ANSWER_WITHIN_S)
        except TookTooLong:
            if self._source:
                self._source.interrupt()
            raise SourceError(f"no answer within {ANSWER_WITHIN_S:.0f} s") from None
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
