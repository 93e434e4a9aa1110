"""The variants of a camera's picture that people watch, each encoded once for all of its viewers."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType

from stream_server.accounts.grants import Lease
from stream_server.base.latest import LatestSlot
from stream_server.base.rates import RateMeter, Throttle
from stream_server.config import Overlay
from stream_server.errors import LimitError
from stream_server.media.frames import EncodedFrame, Frame
from stream_server.streaming.multipart import CANONICAL, Framing

WIDTHS = (160, 240, 320, 480, 640, 800, 960, 1280, 1600, 1920, 2560, 3840, 7680)
QUALITIES = (10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 95, 100)
MAX_STREAMS = 16
"""Different variants of one camera at a time: each is drawn and encoded for itself."""


@dataclass(frozen=True, slots=True)
class Variant:
    """What a viewer asked for; viewers who ask for the same share one `Stream`.

    width: pixels, never more than the camera's; None for the camera's own.
    quality: JPEG quality 1..100; None for the configured one, and then a camera's own JPEG passes untouched.
    """

    overlay: Overlay = "live"
    width: int | None = None
    quality: int | None = None
    labels: bool = True
    caption: bool = True
    boxes: bool = True

    @property
    def is_drawn_on(self) -> bool:
        """Whether anything is drawn into the pictures."""
        return self.overlay != "none" and (self.boxes or self.caption)

    def snapped(self) -> Variant:
        """Return the nearest of the variants that are made: few steps, so that viewers share them."""
        return replace(self, width=_nearest(self.width, WIDTHS), quality=_nearest(self.quality, QUALITIES))


def _nearest(asked: int | None, steps: tuple[int, ...]) -> int | None:
    return None if asked is None else min(steps, key=lambda step: abs(step - asked))


class Stream:
    """One variant while someone watches it. The pipeline publishes, viewers wait; any thread may read."""

    def __init__(
        self,
        variant: Variant,
        on_publish: Callable[[Stream], None],
        on_delivered: Callable[[float], None],
    ) -> None:
        """Prepare the stream; both callbacks must be quick.

        on_publish: called after each frame and at the end.
        on_delivered: called with the seconds from encoding a frame until all who were ready have it.
        """
        self.variant = variant
        self._on_delivered = on_delivered
        self._on_publish = on_publish
        self.frames: LatestSlot[EncodedFrame] = LatestSlot()
        self.rate = RateMeter()
        self._throttle = Throttle(1.0)
        self._fps = 0.0

    def is_due(self, frame: Frame, now: float) -> bool:
        """Return whether `frame` is to be shown now: newer than what is shown, and not too soon after it."""
        shown = self.frames.item
        if shown is None or shown.is_message:
            return True
        return frame.sequence > shown.sequence and (
            self._throttle.is_due(frame.captured_at) or self._throttle.seconds_left(now) == 0
        )

    def publish(self, frame: EncodedFrame) -> None:
        """Give `frame` to all who wait."""
        self.rate.tick()
        self._throttle.take(frame.captured_at)
        self.frames.put(frame)
        self._on_publish(self)

    def delivered(self) -> None:
        """Note that all viewers who were ready have the newest frame; called by who writes to them."""
        if frame := self.frames.item:
            self._on_delivered(time.monotonic() - frame.encoded_at)

    def end(self) -> None:
        """Let viewers leave after the newest frame."""
        self.frames.close()
        self._on_publish(self)

    def set_fps(self, fps: float) -> None:
        """Encode at most so many frames per second."""
        if fps != self._fps:
            self._fps, self._throttle = fps, Throttle(fps)


_numbers = itertools.count(1)


class Viewer:
    """One who watches a stream, from `with streams.watch(...)` until the block ends; used by one thread.

    number: another one for every viewer there ever was.
    framing, key: how it wants its parts, and what it calls itself; set before the first part, if at all.
    lease: what lets it watch; once that is over it is to be let go, whatever comes.
    since: when it came, in monotonic seconds.
    """

    __slots__ = (
        "_newest",
        "_parts",
        "_parts_before",
        "_second",
        "_seen",
        "_streams",
        "_throttle",
        "address",
        "fps",
        "framing",
        "key",
        "lease",
        "number",
        "sent_bytes",
        "since",
        "stream",
    )

    def __init__(self, streams: Streams, stream: Stream, fps: float, address: str, lease: Lease) -> None:
        self.number = next(_numbers)
        self.since = time.monotonic()
        self.stream = stream
        self.address = address
        self.lease = lease
        self.fps = fps
        self.framing: Framing = CANONICAL
        self.key = ""
        self._streams = streams
        self._throttle = Throttle(fps)
        self._seen = 0
        self.sent_bytes = 0  # counted by who writes to the viewer
        self._second = 0  # of the monotonic clock, in which
        self._parts = 0  # so many parts were begun, after
        self._parts_before = 0  # so many in the second before
        self._newest: EncodedFrame | None = None  # too soon to be shown, kept in case nothing newer comes

    def __enter__(self) -> Viewer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop watching; may be called twice and from any thread."""
        self._streams.leave(self)

    @property
    def has_ended(self) -> bool:
        """Whether nothing will come any more."""
        return self.stream.frames.is_closed

    def count_part(self, now: float) -> None:
        """Count a part begun `now`, in monotonic seconds; called by who writes to the viewer."""
        second = int(now)
        if second != self._second:
            self._parts_before = self._parts if second == self._second + 1 else 0
            self._parts, self._second = 0, second
        self._parts += 1

    def sent_fps(self, now: float) -> int:
        """Return how many parts were begun in the full second before `now`; any thread may ask."""
        ago = int(now) - self._second
        return (self._parts_before, self._parts)[ago] if ago < 2 else 0

    def next_frame(self, timeout_s: float) -> EncodedFrame | None:
        """Wait for a frame newer than the last one and due at this viewer's rate; None when time is up."""
        until = time.monotonic() + timeout_s
        while (left_s := until - time.monotonic()) > 0:
            due_in_s = self._throttle.seconds_left(time.monotonic()) if self._newest else left_s
            self._seen, frame = self.stream.frames.wait_newer(self._seen, min(left_s, due_in_s))
            newest = self._newest = frame or self._newest
            if newest is None:
                return None
            if self._throttle.is_due(newest.captured_at) or (
                frame is None and (due_in_s <= left_s or self.has_ended)
            ):
                self._throttle.take(newest.captured_at)
                self._newest = None
                return newest
        return None


class Streams:
    """The streams of one camera that have viewers. Any thread may call anything."""

    def __init__(
        self,
        on_change: Callable[[], None] = lambda: None,
        on_publish: Callable[[Stream], None] = lambda stream: None,
        on_delivered: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        """Prepare; `on_change` is called when a viewer came or left, the others as `Stream` says."""
        self._on_change = on_change
        self._on_publish = on_publish
        self._on_delivered = on_delivered
        self._lock = threading.Lock()  # guards both below
        self._viewers: dict[Variant, list[Viewer]] = {}
        self._streams: dict[Variant, Stream] = {}
        self._pace = 1.0
        self._sent_to_gone = 0
        self._is_closed = False

    def watch(self, variant: Variant, fps: float, address: str = "", lease: Lease | None = None) -> Viewer:
        """Return a viewer of `variant`, at most `fps` frames per second; use it in a `with` block.

        What is asked for is snapped to steps, so that viewers share streams. address: of the client.
        lease: what lets it watch; None: nothing has to.

        Raises LimitError when that would be one stream too many.
        """
        variant = variant.snapped()
        with self._lock:
            stream = self._streams.get(variant)
            if stream is None:
                if len(self._streams) >= MAX_STREAMS:
                    raise LimitError(f"{MAX_STREAMS} different sizes and qualities are watched already")
                stream = self._streams[variant] = Stream(variant, self._on_publish, self._on_delivered)
                self._viewers[variant] = []
            viewer = Viewer(self, stream, fps, address, lease or Lease())
            self._viewers[variant].append(viewer)
            self._set_fps(variant)
            if self._is_closed:
                stream.end()
        self._on_change()
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """Forget `viewer` if it is known; the last one's stream goes with it."""
        variant = viewer.stream.variant
        with self._lock:
            viewers = self._viewers.get(variant, [])
            if viewer not in viewers:
                return
            viewers.remove(viewer)
            self._sent_to_gone += viewer.sent_bytes
            if viewers:
                self._set_fps(variant)
            else:
                del self._viewers[variant], self._streams[variant]
        self._on_change()

    def _set_fps(self, variant: Variant) -> None:
        fastest = max(viewer.fps for viewer in self._viewers[variant])
        self._streams[variant].set_fps(fastest * self._pace)

    def set_pace(self, pace: float) -> None:
        """Encode at that share, 0..1, of the rates that viewers asked for."""
        with self._lock:
            self._pace = pace
            for variant in self._streams:
                self._set_fps(variant)

    @property
    def watched(self) -> list[Stream]:
        """The streams that have viewers now."""
        with self._lock:
            return list(self._streams.values())

    @property
    def viewers(self) -> int:
        """How many watch."""
        return sum(map(len, tuple(self._viewers.values())))

    @property
    def sent_bytes(self) -> int:
        """Bytes written to all viewers there ever were."""
        with self._lock:
            now = sum(viewer.sent_bytes for viewers in self._viewers.values() for viewer in viewers)
            return self._sent_to_gone + now

    @property
    def everyone(self) -> list[Viewer]:
        """All who watch now."""
        with self._lock:
            return [viewer for viewers in self._viewers.values() for viewer in viewers]

    def audience(self) -> dict[Stream, int]:
        """Return how many watch each stream."""
        with self._lock:
            return {stream: len(self._viewers[variant]) for variant, stream in self._streams.items()}

    def viewers_from(self, address: str) -> int:
        """Return how many of them have this client address."""
        with self._lock:
            return sum(viewer.address == address for viewers in self._viewers.values() for viewer in viewers)

    def viewers_by(self, key: str) -> int:
        """Return how many of them watch by the grant of this key."""
        return sum(viewer.lease.grant.key == key for viewer in self.everyone)

    def end(self) -> None:
        """End the streams there are now, after their newest frame; who comes later gets a new one."""
        with self._lock:
            streams = list(self._streams.values())
            self._streams.clear()
            self._viewers.clear()
        for stream in streams:
            stream.end()

    def close(self) -> None:
        """End all streams, those of later viewers too."""
        with self._lock:
            self._is_closed = True
        self.end()
