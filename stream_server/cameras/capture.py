"""The thread that opens a source, reads it until it fails, and tries again with patience."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from stream_server.base.backoff import Backoff
from stream_server.base.clock import Clock
from stream_server.cameras import crashes
from stream_server.config import SourceConfig
from stream_server.config.source_url import SourceKind
from stream_server.errors import AuthenticationFailed, SourceEnded, SourceError
from stream_server.media.frames import Picture
from stream_server.sources.base import Source

log = logging.getLogger(__name__)

RETRY_S = (1.0, 60.0)
WEBCAM_RETRY_S = (1.0, 4.0)
"""Looking for a webcam costs nothing, and it is back within 5 s of being plugged in."""
PUSH_RETRY_S = (0.5, 0.5)
"""To listen costs nothing either, and who begins to send waits for his picture."""
AUTH_RETRY_S = (375.0, 3000.0)
"""5 min to 1 h, spread included: cameras lock accounts after a few wrong passwords."""
STABLE_S = 10.0
"""A source that delivered this long is tried again after the shortest pause when it is lost."""
_RETRY_S_OF: dict[SourceKind, tuple[float, float]] = {"webcam": WEBCAM_RETRY_S, "push": PUSH_RETRY_S}
GRACE_S = 1.5
"""A source this much later than its own timeout hangs in native code. As long its successor waits for it."""


class CaptureOwner(Protocol):
    """Who is told what the thread sees; called on that thread, with the thread's own capture."""

    def should_open(self, capture: Capture) -> bool:
        """Return whether the source is to be open now."""
        ...

    def wants_pictures(self) -> bool:
        """Return whether anyone will look at the next picture."""
        ...

    def connecting(self, capture: Capture) -> None:
        """The source is about to be opened."""
        ...

    def idle(self, capture: Capture) -> bool:
        """The source is closed because nobody wants it; return whether that is still so.

        True promises to call `wake` once it is wanted again.
        """
        ...

    def opened(self, capture: Capture, source: Source) -> None:
        """The source is open."""
        ...

    def arrived(self, capture: Capture, picture: Picture | None) -> None:
        """A picture came, or (None) a sign of life without one."""
        ...

    def lost(self, capture: Capture, error: SourceError, retry_s: float | None) -> None:
        """The source failed or ended; the next try comes in `retry_s` seconds, None for never."""
        ...


class Capture:
    """One thread around one source. Everything but `abandon` and `wake` happens on that thread."""

    def __init__(
        self,
        name: str,
        config: SourceConfig,
        open_source: Callable[[SourceConfig], Source],
        owner: CaptureOwner,
        clock: Clock,
        *,
        predecessor: Capture | None = None,
    ) -> None:
        """predecessor: whose device this one opens, once it is closed; it has been abandoned."""
        self.is_abandoned = False
        self._name = name
        self._config = config
        self._open_source = open_source
        self._owner = owner
        self._clock = clock
        self._predecessor = predecessor
        self._wake = threading.Event()
        self._source: Source | None = None
        self._retry = Backoff(*_RETRY_S_OF.get(config.url.kind, RETRY_S))
        self._auth_retry = Backoff(*AUTH_RETRY_S)
        self._was_stable = False
        self._broke_by = ""
        self._busy_since = 0.0
        self._busy_limit_s: float | None = None
        self._thread = threading.Thread(target=self._run, name=f"capture-{name}", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """End the rest of an idle thread: its source is wanted."""
        self._wake.set()

    def abandon(self) -> None:
        """Tell the thread to close its source and end, as soon as its source lets it."""
        self.is_abandoned = True
        self._wake.set()
        if source := self._source:
            source.interrupt()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread; return whether it has ended."""
        if self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def hangs(self) -> bool:
        """Whether a call into the source is later than the source's own deadline allows."""
        limit_s = self._busy_limit_s
        return limit_s is not None and self._clock.now() - self._busy_since > limit_s + GRACE_S

    def _run(self) -> None:
        with crashes.working_on(self._name, self._config):
            try:
                self._run_until_abandoned()
            except Exception:
                log.exception("camera %s: the capture thread ended", self._name)

    def _run_until_abandoned(self) -> None:
        while not self.is_abandoned:
            self._wake.clear()
            if self._owner.should_open(self):
                self._pause(self._use_source())
            elif self._owner.idle(self):
                self._pause(None)

    def _pause(self, pause_s: float | None) -> None:
        """Wait that long, None for ever; `wake` and `abandon` end it."""
        if self.is_abandoned:  # the owner may have cleared the event that said so
            return
        if pause_s is None:
            while not self._wake.wait(3600):
                pass
        elif pause_s > 0:
            self._clock.wait(self._wake, pause_s)

    def _use_source(self) -> float | None:
        """Open, read and close the source once; return the seconds until the next try, None for never."""
        started = self._clock.now()
        error: SourceError
        try:
            self._read_all()
            return 0.0
        except SourceError as exc:
            error = exc
        except Exception as exc:
            error = SourceError(f"internal error: {type(exc).__name__}")
            self._tell_broken(exc)
        finally:
            self._close_source()
        retry_s = None if isinstance(error, SourceEnded) else self._pause_after(error, started)
        self._wake.clear()  # whoever woke it before has had this try
        self._owner.lost(self, error, retry_s)
        return retry_s

    def _tell_broken(self, error: Exception) -> None:
        """Log where a source broke, once as long as it breaks in the same way."""
        if (what := repr(error)) != self._broke_by:
            self._broke_by = what
            log.error("camera %s: its source broke", self._name, exc_info=error)

    def _pause_after(self, error: SourceError, started: float) -> float:
        """Return the seconds from now to the next try; tries are spaced from start to start."""
        if isinstance(error, AuthenticationFailed):
            return self._auth_retry.next_s()
        pause_s = self._retry.next_s()
        return pause_s if self._was_stable else max(0.0, pause_s - (self._clock.now() - started))

    def _read_all(self) -> None:
        """Read until nobody wants the source any more. Raises what the source does."""
        self._was_stable = False
        if self._predecessor:
            self._predecessor.join(GRACE_S)
            self._predecessor = None
        self._owner.connecting(self)
        source = self._open()
        self._owner.opened(self, source)
        first_at: float | None = None
        while self._owner.should_open(self):
            with self._deadline(self._config.read_timeout_s):
                picture = source.read(self._owner.wants_pictures())
            self._owner.arrived(self, picture)
            if picture is not None and first_at is None:
                first_at = self._clock.now()
            if first_at is not None and self._clock.now() - first_at > STABLE_S:
                self._settle()

    def _open(self) -> Source:
        with self._deadline(self._config.connect_timeout_s):
            self._source = source = self._open_source(self._config)
            if self.is_abandoned:  # just now, when there was nothing to interrupt yet
                raise SourceError("interrupted")
            source.open()
        return source

    def _settle(self) -> None:
        """Be as patient as at first when the source, which works, is lost."""
        if not self._was_stable:
            self._was_stable = True
            self._retry.reset()
            self._auth_retry.reset()

    @contextmanager
    def _deadline(self, limit_s: float) -> Iterator[None]:
        """Let `hangs` see a call that takes longer than `limit_s`."""
        self._busy_since, self._busy_limit_s = self._clock.now(), limit_s
        try:
            yield
        finally:
            self._busy_limit_s = None

    def _close_source(self) -> None:
        source, self._source = self._source, None
        if source is None:
            return
        try:
            with self._deadline(self._config.read_timeout_s):
                source.close()
        except Exception:
            log.exception("camera %s: its source did not close cleanly", self._name)
