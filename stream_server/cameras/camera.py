"""A camera: its newest frame, its state, and the watchdog over the thread that reads it."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Literal

from stream_server.base import redaction
from stream_server.base.clock import Clock, SystemClock
from stream_server.base.latest import LatestSlot
from stream_server.base.rates import RateMeter
from stream_server.cameras.capture import Capture
from stream_server.config import CameraConfig, SourceConfig
from stream_server.errors import AuthenticationFailed, SourceEnded, SourceError, SourceWaiting
from stream_server.media.frames import Frame, Picture
from stream_server.sources.base import Source

log = logging.getLogger(__name__)

CameraState = Literal["idle", "connecting", "online", "waiting", "stalled", "offline", "auth_failed", "ended"]

IDLE_AFTER_S = 10.0
"""After its last viewer left, a camera is decoded, or on demand kept open, this much longer."""
LATE = 0.9
"""Part of the read timeout after which viewers are told, so that they know before the source gives up."""
MAX_ABANDONED = 2
"""Threads of one camera that may hang in native code; no further one is started beside them."""
LOG_EVERY_S = 60.0
"""How often the same trouble is logged again."""


class Camera:
    """Keeps one source open and its newest frame at hand, and says how it is doing.

    Any thread may read `frames` and the properties; `check` is called about twice a second by the camera's
    owner; the methods of `CaptureOwner` are called by the capture thread.
    """

    def __init__(
        self,
        name: str,
        config: CameraConfig,
        open_source: Callable[[SourceConfig], Source],
        *,
        clock: Clock | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare the camera; `start` opens it.

        on_change: called from any thread after each new frame and each change of state; must not block.
        """
        self.name = name
        self.config = config
        self.frames: LatestSlot[Frame] = LatestSlot()
        self.state: CameraState = "idle"
        self.reason = ""
        self.description = ""
        self.size_wh = (0, 0)
        self._open_source = open_source
        self._clock = clock or SystemClock()
        self._on_change = on_change
        self._rate = RateMeter(clock=self._clock.now)
        self._lock = threading.RLock()  # guards all below but the clock, and what is public above
        self._leases = 0
        self._released_at = float("-inf")
        self._alive_at: float | None = None  # when this connection last showed life, None before it did
        self._picture_at: float | None = None
        self._is_stopped = False
        self._capture: Capture | None = None
        self._abandoned: list[Capture] = []
        self._source: Source | None = None  # the one opened last
        self._past_errors = 0  # of those before it
        self._log = _TroubleLog(self._clock)

    def start(self) -> None:
        """Start the capture thread; an on-demand camera opens its source only when it is wanted."""
        with self._lock:
            if self._capture is None and not self._is_stopped:
                self._start_capture()

    def stop(self) -> None:
        """End the capture thread soon, and the waiting of all who wait for frames; see `join`."""
        with self._lock:
            self._is_stopped = True
            if self._capture:
                self._capture.abandon()
        self.frames.close()

    def join(self, timeout_s: float) -> None:
        """Wait for the capture threads; one that hangs in native code is left behind and named in the log."""
        until = time.monotonic() + timeout_s
        captures = [capture for capture in (self._capture, *self._abandoned) if capture]
        ended = [capture.join(max(0.0, until - time.monotonic())) for capture in captures]
        if not all(ended):
            log.warning("camera %s: its source did not close within %.1f s", self.name, timeout_s)

    def close(self, timeout_s: float = 3.0) -> None:
        """End the capture threads and wait for them; may be called twice."""
        self.stop()
        self.join(timeout_s)

    def reconfigure(self, config: CameraConfig) -> None:
        """Use `config` from now on and try it at once, whatever the camera was waiting for."""
        with self._lock:
            self.config = config
            if self._capture and not self._is_stopped:
                self._replace_capture()
                self._change("connecting", "")

    def adjust(self, config: CameraConfig) -> None:
        """Use `config` from now on, which asks the same of the source: it is not opened anew."""
        with self._lock:
            self.config = config
            if self._capture and not config.on_demand:
                self._capture.wake()

    def check(self) -> None:
        """Notice that pictures stay away, and end a capture thread that hangs or has nothing more to do."""
        with self._lock:
            capture = self._capture
            if capture is None or self._is_stopped:
                return
            if self.state == "online" and self._is_late and self._is_polled:
                self._change("stalled", f"no picture for {self._clock.now() - (self._alive_at or 0):.0f} s")
            if capture.hangs and not capture.is_abandoned:
                self._change("offline", "the source does not answer")
                self._replace_capture()
            elif capture.is_abandoned or self._is_superfluous:
                self._replace_capture()

    @property
    def _is_late(self) -> bool:
        """Whether this connection showed life and does no longer."""
        if self._alive_at is None:
            return False
        return self._clock.now() - self._alive_at > LATE * self.config.read_timeout_s

    @property
    def _is_polled(self) -> bool:
        """Whether pictures are to come by themselves; a push source knows whether its sender has left."""
        return self.config.url.kind != "push"

    @property
    def _is_superfluous(self) -> bool:
        """Whether the capture thread still is at a source that nobody wants.

        Not while the password is wrong: each coming and going viewer would be another try.
        """
        wanted = self.is_wanted or not self.config.on_demand
        return not wanted and self.state not in ("idle", "auth_failed")

    def _replace_capture(self) -> None:
        """Leave the capture thread to its end and start another, unless too many hang already."""
        if self._capture and not self._capture.is_abandoned:
            self._capture.abandon()
            self._abandoned.append(self._capture)
        self._abandoned = [capture for capture in self._abandoned if capture.is_alive]
        if len(self._abandoned) < MAX_ABANDONED:
            self._start_capture()

    def _start_capture(self) -> None:
        self._capture = Capture(
            self.name, self.config, self._open_source, self, self._clock, predecessor=self._capture
        )
        self._capture.start()

    # For those who want frames.

    def acquire(self) -> None:
        """Want frames until `release`: they are decoded, and an on-demand camera is opened."""
        with self._lock:
            self._leases += 1
            if self._capture and self.state == "idle":
                self._capture.wake()

    def release(self) -> None:
        """Want frames no longer."""
        with self._lock:
            self._leases -= 1
            self._released_at = self._clock.now()

    @property
    def is_wanted(self) -> bool:
        """Whether anyone wants frames, or did a moment ago: who asks for a picture often asks again."""
        return self._leases > 0 or self._clock.now() - self._released_at < IDLE_AFTER_S

    @property
    def is_online(self) -> bool:
        """Whether pictures come."""
        return self.state == "online"

    @property
    def fps(self) -> float:
        """Pictures per second that arrive, 0.0 when none do."""
        return self._rate.per_second

    @property
    def captured(self) -> int:
        """Pictures that arrived since the start."""
        return self._rate.count

    @property
    def decode_errors(self) -> int:
        """Pictures since the start that its sources got broken, or withheld as predicted from such."""
        return self._past_errors + (self._source.decode_errors if self._source else 0)

    @property
    def age_s(self) -> float | None:
        """Seconds since the last picture, None before the first."""
        return None if self._picture_at is None else self._clock.now() - self._picture_at

    # CaptureOwner: called by the capture thread.

    def should_open(self, capture: Capture) -> bool:
        """Return whether the source is to be open now."""
        return self._is_current(capture) and (self.is_wanted or not self.config.on_demand)

    def wants_pictures(self) -> bool:
        """Return whether anyone will look at the next picture."""
        return self.is_wanted

    def connecting(self, capture: Capture) -> None:
        """The source is about to be opened; a lost camera keeps its state until that succeeds."""
        with self._lock:
            if not self._is_current(capture):
                return
            self._alive_at = None
            if self.state == "idle":
                self._change("connecting", "")

    def idle(self, capture: Capture) -> bool:
        """The source is closed because nobody wants it; return whether that is still so."""
        with self._lock:
            if not self._is_current(capture) or self.should_open(capture):
                return False
            self.frames.clear()
            self._change("idle", "")
            return True

    def opened(self, capture: Capture, source: Source) -> None:
        """The source is open."""
        with self._lock:
            if self._is_current(capture):
                self._past_errors = self.decode_errors
                self._source = source
                self.description = source.description
                self.size_wh = source.size_wh if all(source.size_wh) else self.size_wh

    def arrived(self, capture: Capture, picture: Picture | None) -> None:
        """Publish the picture; None is a sign of life without one."""
        with self._lock:
            if not self._is_current(capture):
                return
            if picture is not None:
                self._publish(picture)
            elif not self.is_wanted:
                self.frames.clear()  # too old by the time someone looks
            if self.state != "online" and (picture is not None or not self.is_wanted):
                self._change("online", "")
            if self.state == "online":
                self._alive_at = self._clock.now()
        if picture is not None:
            self._on_change()

    def _publish(self, picture: Picture) -> None:
        now = self._clock.now()
        self._rate.tick()
        self._picture_at = now
        self.size_wh = picture.size_wh
        self.frames.put(Frame(picture, self.name, self._rate.count, now))

    def lost(self, capture: Capture, error: SourceError, retry_s: float | None) -> None:
        """The source failed or ended; the next try comes in `retry_s` seconds, None for never."""
        with self._lock:
            if self._is_current(capture):
                self._change(self._state_after(error), redaction.redact(error.reason), retry_s)

    def _state_after(self, error: SourceError) -> CameraState:
        if isinstance(error, SourceEnded):
            return "ended"
        if isinstance(error, AuthenticationFailed):
            return "auth_failed"
        if isinstance(error, SourceWaiting):
            return "waiting"
        return "stalled" if self._is_late else "offline"

    @property
    def _label(self) -> str:
        """The camera for readers of the log: by its name, which is in the configuration, and its title."""
        return f"{self.name} ({self.config.title})" if self.config.title else self.name

    def _is_current(self, capture: Capture) -> bool:
        return capture is self._capture and not capture.is_abandoned

    def _change(self, state: CameraState, reason: str, retry_s: float | None = None) -> None:
        changed = (state, reason) != (self.state, self.reason)
        self.state, self.reason = state, reason
        if state != "waiting":
            self._log.state(self._label, state, reason, retry_s)
        elif changed:  # to wait on is no news
            self._log.state(self._label, state, reason, None)
        if changed:
            self._on_change()


class _TroubleLog:
    """Logs each state and reason, the same again at most once a minute, with how often it came."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._logged_at: dict[tuple[CameraState, str], float] = {}
        self._repeats: Counter[tuple[CameraState, str]] = Counter()

    def state(self, label: str, state: CameraState, reason: str, retry_s: float | None) -> None:
        """Log that the camera is in `state` because of `reason`. label: the camera, in words."""
        cause, now = (state, reason), self._clock.now()
        self._repeats[cause] += 1
        if now - self._logged_at.get(cause, float("-inf")) < LOG_EVERY_S:
            return
        text = f"{state}: {reason}" if reason else state
        if (repeats := self._repeats.pop(cause)) > 1:
            text += f" ({repeats} times)"
        if retry_s is not None:
            text += f"; next try in {retry_s:.0f} s" if retry_s >= 0.5 else "; next try at once"
        is_trouble = state in ("stalled", "offline", "auth_failed")
        log.log(logging.WARNING if is_trouble else logging.INFO, "camera %s: %s", label, text)
        self._logged_at = {c: at for c, at in self._logged_at.items() if now - at < LOG_EVERY_S}
        self._logged_at[cause] = now
