"""The loop that writes streams to their viewers' sockets: one thread for all, each at its own pace."""

from __future__ import annotations

import logging
import os
import select
import socket
import threading
import time
from collections import defaultdict, deque
from types import TracebackType

from stream_server.base.rates import Throttle
from stream_server.media.frames import EncodedFrame
from stream_server.streaming.multipart import Framing, part_of
from stream_server.streaming.streams import Stream, Viewer

log = logging.getLogger(__name__)

POLL_INTERVAL_S = 0.25
"""How often deadlines and repeats are looked at."""
REPEAT_S = 5.0
"""A part is sent at least this often, so that clients and proxies see a living stream."""
REPEAT_FIRST_S = 0.25
"""Chrome paints a part when the next one begins (crbug.com/527446), so the first is soon sent again, and
every last one where the viewer's framing says so."""
SEND_TIMEOUT_S = 10.0
"""A viewer that has not taken a part after this long is dropped."""
SEND_BUFFER_BYTES = 256 * 1024
"""What the kernel holds for a viewer: one or two frames; more would be late by the time it is seen."""
UNSENT_BYTES = 16 * 1024
"""Of that, what may wait to be on its way before the kernel takes more: behind a slow line it gets old. At
20 kB/s and 35 kB a frame: 4 s old; without this 23 s after 25 s, and dropped for taking nothing."""
RUBBISH_BYTES = 64 * 1024
"""What is read at a time of what a viewer sends after its request; it means nothing."""
DRAIN_TIMEOUT_S = 1.0

_NOTHING = memoryview(b"")
_CLOSED = select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP
_LISTEN = select.EPOLLIN | select.EPOLLRDHUP


class _Connection:
    """One viewer's socket and what is on its way through it.

    group: who get the same frames as this one. seen: the group's frame that this one needs no more.
    rest: of the part being sent, empty between two parts. is_waiting: for the socket to take more of it.
    shown: the frame sent last; repeated: the one sent twice last. is_ending: closed once it has taken `rest`.
    """

    __slots__ = (
        "began_at",
        "group",
        "is_ending",
        "is_waiting",
        "repeated",
        "rest",
        "seen",
        "shown",
        "sock",
        "viewer",
    )

    def __init__(self, sock: socket.socket, viewer: Viewer, head: bytes) -> None:
        self.sock = sock
        self.viewer = viewer
        self.group: _Group | None = None
        self.seen: EncodedFrame | None = None
        self.rest = memoryview(head)
        self.is_waiting = False
        self.is_ending = False
        self.shown: EncodedFrame | None = None
        self.repeated: EncodedFrame | None = None
        self.began_at = time.monotonic()

    @property
    def repeat_after_s(self) -> float:
        """How long nothing may come until the frame shown is sent again."""
        is_last = self.viewer.framing.repeat_last and self.repeated is not self.shown
        return REPEAT_FIRST_S if is_last or self.repeated is None else REPEAT_S


class _Group:
    """Those who watch one stream at one rate in one framing: a frame is due for all of them or for none.

    newest: of the frames that were due.
    """

    __slots__ = ("_throttle", "connections", "framing", "newest", "stream")

    def __init__(self, viewer: Viewer) -> None:
        """Make the group that `viewer` belongs to, without it."""
        self.stream = viewer.stream
        self.framing = viewer.framing
        self.connections: set[_Connection] = set()
        self.newest: EncodedFrame | None = None
        self._throttle = Throttle(viewer.fps)

    def advance(self, at: float | None = None) -> bool:
        """Take the stream's newest frame if it is new and due; return whether it was.

        at: by which time it is to be due; default: the time it was captured.
        """
        has_ended = self.stream.frames.is_closed  # asked first: what comes before the end is due
        frame = self.stream.frames.item
        if frame is None or frame is self.newest:
            return False
        if not has_ended and not self._throttle.is_due(frame.captured_at if at is None else at):
            return False
        self._throttle.take(frame.captured_at)
        self.newest = frame
        return True


class Fanout:
    """Writes the newest part of each stream to each of its viewers, whenever the viewer took the last one.

    Nothing is queued: a viewer that is slow skips to the newest. `add` and `notify` may be called from any
    thread, also after `close`; all else happens on the loop's own.
    """

    def __init__(self) -> None:
        """Prepare the loop; `start` runs it."""
        self._epoll = select.epoll()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake_fd, select.EPOLLIN)
        self._waking = threading.Lock()  # guards the descriptor: its number is another's once it is closed
        self._is_closed = False
        self._newcomers: deque[_Connection] = deque()
        self._changed: deque[Stream] = deque()
        self._connections: dict[int, _Connection] = {}
        self._groups: defaultdict[Stream, dict[tuple[float, Framing], _Group]] = defaultdict(dict)
        self._checked_at = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fanout", daemon=True)

    def __enter__(self) -> Fanout:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the loop's thread."""
        self._thread.start()

    def close(self) -> None:
        """End all connections, at the end of the part on its way or after a second; may be called twice."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._wake()
        if self._thread.is_alive():
            self._thread.join(DRAIN_TIMEOUT_S + 2 * POLL_INTERVAL_S)
        if self._thread.is_alive():
            log.warning("the fan-out loop did not end within %.1f s", DRAIN_TIMEOUT_S + 2 * POLL_INTERVAL_S)
            return
        with self._waking:
            self._is_closed = True
            self._epoll.close()
            os.close(self._wake_fd)

    @property
    def is_alive(self) -> bool:
        """Whether the loop runs."""
        return self._thread.is_alive()

    def add(self, sock: socket.socket, viewer: Viewer, head: bytes) -> None:
        """Take over `sock` and `viewer`: write `head`, then parts until either ends; both are closed then.

        The parts come in the viewer's framing, with its opening before them.

        head: the answer's status line and headers, with the empty line.
        """
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(SEND_TIMEOUT_S * 1000))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        opening = viewer.framing.opening(time.time())
        self._newcomers.append(_Connection(sock, viewer, head + opening))
        if not self._wake():
            sock.close()
            viewer.close()

    def notify(self, stream: Stream) -> None:
        """Note that `stream` has a new frame or has ended; may be called from any thread, and is quick."""
        self._changed.append(stream)
        self._wake()

    def _wake(self) -> bool:
        """Make the loop look around; False when it has ended."""
        with self._waking:
            if not self._is_closed:
                os.eventfd_write(self._wake_fd, 1)
            return not self._is_closed

    # From here on: the loop's thread.

    def _run(self) -> None:
        while not self._stop.is_set():
            self._turn()
        for connection in tuple(self._connections.values()):
            self._end(connection)
        until = time.monotonic() + DRAIN_TIMEOUT_S
        while self._connections and time.monotonic() < until:
            self._turn()
        for connection in (*self._connections.values(), *self._newcomers):
            self._drop(connection)

    def _turn(self) -> None:
        try:
            for fd, events in self._epoll.poll(POLL_INTERVAL_S):
                if fd == self._wake_fd:
                    os.eventfd_read(fd)
                elif connection := self._connections.get(fd):
                    self._handle(connection, events)
            while self._newcomers:
                self._welcome(self._newcomers.popleft())
            while self._changed:
                self._spread(self._changed.popleft())
            self._check_all(time.monotonic())
        except Exception:
            log.exception("the fan-out loop stumbled")

    def _welcome(self, connection: _Connection) -> None:
        fd = connection.sock.fileno()
        try:
            self._epoll.register(fd, _LISTEN)
        except OSError as exc:  # of a machine that has no memory left for it
            self._lose(connection, exc)
            return
        self._connections[fd] = connection
        self._join_group(connection)
        self._write(connection, connection.rest)
        self._offer(connection, time.monotonic())

    def _join_group(self, connection: _Connection) -> None:
        """Put the connection among those it shares frames with; it is to get the stream's newest at once."""
        viewer = connection.viewer
        groups = self._groups[viewer.stream]
        group = groups.get((viewer.fps, viewer.framing))
        if group is None:
            group = groups[viewer.fps, viewer.framing] = _Group(viewer)
            group.advance()
        group.connections.add(connection)
        connection.group = group

    def _handle(self, connection: _Connection, events: int) -> None:
        if events & select.EPOLLERR:
            number = connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self._lose(connection, OSError(number, os.strerror(number)))
        elif events & _CLOSED or (events & select.EPOLLIN and not self._swallow(connection)):
            self._drop(connection)
        elif events & select.EPOLLOUT:
            self._write(connection, connection.rest)
            self._offer(connection, time.monotonic())

    @staticmethod
    def _swallow(connection: _Connection) -> bool:
        """Read and forget what the viewer sends after its request; False when it has gone."""
        try:
            return bool(connection.sock.recv(RUBBISH_BYTES))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def _spread(self, stream: Stream) -> None:
        """Give all who watch `stream` its newest frame if it is due; let them go after the last."""
        groups = tuple(self._groups.get(stream, {}).values())
        for group in groups:
            if group.advance():
                self._send_to_all(group)
        if groups:
            stream.delivered()
        if stream.frames.is_closed:
            for group in groups:
                for connection in tuple(group.connections):
                    self._offer(connection, time.monotonic())

    def _send_to_all(self, group: _Group) -> None:
        """Send the group's newest frame to all who have taken the one before.

        What the others need is looked up when they have: nothing else here belongs to a single viewer, for by
        its turn that has left the caches.
        """
        frame, now = group.newest, time.monotonic()
        assert frame is not None
        part = part_of(frame, group.framing)
        for connection in tuple(group.connections):
            if not connection.rest and not connection.is_ending:
                connection.seen = frame
                self._send(connection, frame, part, now)

    def _offer(self, connection: _Connection, now: float) -> None:
        """Send one who has taken everything the stream's newest frame, if its group got one meanwhile."""
        group = connection.group
        if group is None or connection.rest or connection.is_ending:
            return
        has_ended = group.stream.frames.is_closed  # asked first: what comes before the end is sent
        frame = group.stream.frames.item
        is_behind = connection.shown is None or connection.seen is not group.newest
        if frame and is_behind:
            connection.seen = group.newest
            if frame is not connection.shown:
                self._send(connection, frame, part_of(frame, group.framing), now)
        if has_ended:
            self._end(connection)

    def _send(self, connection: _Connection, frame: EncodedFrame, part: bytes, now: float) -> None:
        connection.shown = frame
        connection.began_at = now
        connection.viewer.count_part(now)
        self._write(connection, part)

    def _write(self, connection: _Connection, data: bytes | memoryview) -> None:
        """Write what the socket takes of `data`; where that is not all, be told when it takes more."""
        try:
            sent = connection.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as exc:
            self._lose(connection, exc)
            return
        connection.viewer.sent_bytes += sent
        is_waiting = sent < len(data)
        connection.rest = memoryview(data)[sent:] if is_waiting else _NOTHING
        if is_waiting != connection.is_waiting:
            connection.is_waiting = is_waiting
            self._epoll.modify(connection.sock, _LISTEN | (select.EPOLLOUT if is_waiting else 0))
        if connection.is_ending and not is_waiting:
            self._drop(connection)

    def _check_all(self, now: float) -> None:
        """Drop who takes nothing, repeat for who has seen nothing for long, four times a second."""
        if now - self._checked_at < POLL_INTERVAL_S:
            return
        self._checked_at = now
        for group in [group for groups in self._groups.values() for group in groups.values()]:
            if group.advance(now):  # a frame that came too soon and had no successor
                self._send_to_all(group)
        for connection in tuple(self._connections.values()):
            self._check(connection, now)

    def _check(self, connection: _Connection, now: float) -> None:
        silent_s = now - connection.began_at
        if connection.viewer.lease.is_over:
            self._dismiss(connection)
        elif connection.rest:
            if silent_s > SEND_TIMEOUT_S:
                log.info("a viewer took nothing for %.0f s and was dropped", silent_s)
                self._drop(connection)
        elif connection.shown is None:
            self._offer(connection, now)
        elif silent_s > connection.repeat_after_s:
            connection.repeated = connection.shown
            part = part_of(connection.shown, connection.viewer.framing)
            self._send(connection, connection.shown, part, now)

    def _dismiss(self, connection: _Connection) -> None:
        """End the connection of one who may watch no more, who has a tick to take the part on its way."""
        if connection.is_ending:
            self._drop(connection)
        else:
            self._end(connection)

    def _end(self, connection: _Connection) -> None:
        """Close the connection once it has taken the part on its way."""
        connection.is_ending = True
        if not connection.rest:
            self._drop(connection)

    def _lose(self, connection: _Connection, error: OSError) -> None:
        """Drop a viewer whose socket failed; say so where the viewer did not close it."""
        if not isinstance(error, ConnectionError):
            log.info("a viewer could not be reached (%s) and was dropped", error.strerror)
        self._drop(connection)

    def _drop(self, connection: _Connection) -> None:
        """Close the connection now; may be called twice."""
        fd = connection.sock.fileno()
        if fd in self._connections:
            del self._connections[fd]
            self._epoll.unregister(fd)
        connection.sock.close()
        connection.rest = _NOTHING
        self._leave_group(connection)
        connection.viewer.close()

    def _leave_group(self, connection: _Connection) -> None:
        group, connection.group = connection.group, None
        if group is None:
            return
        group.connections.discard(connection)
        if not group.connections:
            groups = self._groups[group.stream]
            del groups[connection.viewer.fps, group.framing]
            if not groups:
                del self._groups[group.stream]
