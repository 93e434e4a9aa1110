"""A camera that sends by itself: a browser, a phone, an ESP32 or FFmpeg pushes its pictures here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

from stream_server.base.latest import LatestSlot
from stream_server.config import SourceConfig
from stream_server.errors import SenderThere, SourceError, SourceWaiting
from stream_server.media.frames import Picture
from stream_server.sources.base import Source
from stream_server.sources.pacing import SLICE_S

NOBODY_SENDS = "nobody sends pictures"
LISTEN_S = 1.0
"""A camera to which nobody sends is told to be so after this, and listened to again."""


class Inbox:
    """Where the newest picture pushed to a camera waits for its capture thread; one sender at a time.

    Any thread may call anything but `take`, which is the capture thread's.
    """

    def __init__(self) -> None:
        self._pictures: LatestSlot[Picture] = LatestSlot()
        self._taken = 0
        self._lock = threading.Lock()  # guards both below, and that a sender is told only while it is there
        self._sender: Sender | None = None
        self._has_ended = False

    def admit(self, takeover: bool = False, on_end: Callable[[], None] = lambda: None) -> Sender:
        """Return who may send from now on, until its `with` block ends.

        takeover: end another one that is there. on_end: called, on another thread, when that happens to this
        one; must be quick.

        Raises SenderThere when there is another one and it is not to be ended.
        """
        sender = Sender(self, on_end)
        with self._lock:
            if self._sender and not takeover:
                raise SenderThere("somebody sends to this camera already; ?takeover=true takes over")
            if self._sender:
                self._sender.end()
            self._sender = sender
            if self._has_ended:
                sender.end()
        return sender

    def end(self) -> None:
        """End the sender there is, and whoever comes later: the camera is gone."""
        with self._lock:
            self._has_ended = True
            if self._sender:
                self._sender.end()

    def leave(self, sender: Sender) -> None:
        """Forget `sender`, if another one did not take over."""
        with self._lock:
            if self._sender is sender:
                self._sender = None

    def put(self, sender: Sender, picture: Picture) -> None:
        """Keep `picture` if `sender` still is who sends."""
        with self._lock:
            if self._sender is sender and not sender.has_ended:
                self._pictures.put(picture)

    @property
    def has_sender(self) -> bool:
        """Whether somebody is there who may send."""
        return self._sender is not None

    def take(self, timeout_s: float) -> Picture | None:
        """Return the newest picture not taken yet, None when none comes within `timeout_s`."""
        self._taken, picture = self._pictures.wait_newer(self._taken, timeout_s)
        return picture


class Sender:
    """One who sends pictures to a camera, from `with inbox.admit(...)` until the block ends."""

    def __init__(self, inbox: Inbox, on_end: Callable[[], None]) -> None:
        self.has_ended = False
        self._inbox = inbox
        self._on_end = on_end

    def __enter__(self) -> Sender:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inbox.leave(self)

    def send(self, picture: Picture) -> None:
        """Make `picture` the camera's newest; in vain once `has_ended`."""
        self._inbox.put(self, picture)

    def end(self) -> None:
        """Let this one send no more; called by the inbox."""
        self.has_ended = True
        self._on_end()


class PushSource(Source):
    """The pictures in an inbox."""

    description = "JPEGs pushed over HTTP or a WebSocket"

    def __init__(self, config: SourceConfig, inbox: Inbox | None = None) -> None:
        """inbox: default: one that nobody knows of."""
        self._config = config
        self._inbox = inbox or Inbox()
        self._interrupted = threading.Event()
        self._first: Picture | None = None

    def open(self) -> None:
        """Wait a moment for the first picture."""
        self._first = self._wait(LISTEN_S)
        if self._first is None:
            raise SourceWaiting(NOBODY_SENDS)
        self.size_wh = self._first.size_wh

    def read(self, wanted: bool = True) -> Picture | None:
        """Return the next picture. Raises SourceWaiting where nobody is there who could send one."""
        picture, self._first = self._first or self._wait(self._config.read_timeout_s), None
        if picture is None and self._inbox.has_sender:
            raise SourceError(f"no picture for {self._config.read_timeout_s:g} s")
        if picture is None:
            raise SourceWaiting(NOBODY_SENDS)
        return picture

    def close(self) -> None:
        """Leave the inbox to the next source."""

    def interrupt(self) -> None:
        """End a wait within SLICE_S."""
        self._interrupted.set()

    def _wait(self, timeout_s: float) -> Picture | None:
        until = time.monotonic() + timeout_s
        while (left_s := until - time.monotonic()) > 0:
            if picture := self._inbox.take(min(left_s, SLICE_S)):
                return picture
            if self._interrupted.is_set():
                raise SourceError("interrupted")
        return None
