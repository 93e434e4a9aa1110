"""The loop that writes to viewers: everybody gets the newest part whole, and nobody waits for another."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from stream_server.media.frames import EncodedFrame
from stream_server.streaming import fanout as fanout_module
from stream_server.streaming.fanout import Fanout
from stream_server.streaming.multipart import CANONICAL, Framing
from stream_server.streaming.streams import Stream, Streams, Variant
from tests.support.leaks import wait_until
from tests.support.patience import PATIENCE_S, soon

WITHIN_S = 20.0
HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
VARIANT = Variant()


def frame(sequence: int, size: int = 100, captured_at: float | None = None) -> EncodedFrame:
    jpeg = sequence.to_bytes(4, "big") + bytes([sequence % 256]) * (size - 4)
    now = time.monotonic() if captured_at is None else captured_at
    return EncodedFrame(jpeg, CANONICAL.part(jpeg, float(sequence)), (8, 8), sequence, now, now)


class Watcher:
    """A viewer's end of a connection that the fan-out writes to."""

    def __init__(
        self, fanout: Fanout, streams: Streams, fps: float = 1000.0, framing: Framing = CANONICAL
    ) -> None:
        ours, self.sock = socket.socketpair()
        self.sock.settimeout(WITHIN_S)
        self.viewer = streams.watch(VARIANT, fps)
        self.viewer.framing = framing
        fanout.add(ours, self.viewer, HEAD)
        self._got = b""

    def read_part(self) -> int:
        """Return the sequence of the next whole part, which is what its picture begins with."""
        header = self.read_to(b"\r\n\r\n")
        length = int(header.rpartition(b"Content-Length: ")[2].split()[0])
        while len(self._got) < length + len(b"\r\n--frame\r\n"):
            self._more()
        body, self._got = self._got[:length], self._got[length + len(b"\r\n--frame\r\n") :]
        sequence = int.from_bytes(body[:4], "big")
        assert body[4:] == bytes([sequence % 256]) * (length - 4)
        return sequence

    def skip_head(self) -> None:
        assert self.read_to(b"--frame\r\n") == HEAD + b"--frame\r\n"

    def read_to_end(self) -> bytes:
        with contextlib.suppress(EOFError):
            while True:
                self._more()
        return self._got

    def read_to(self, mark: bytes) -> bytes:
        while mark not in self._got:
            self._more()
        found, _, self._got = self._got.partition(mark)
        return found + mark

    def _more(self) -> None:
        data = self.sock.recv(1 << 16)
        if not data:
            raise EOFError
        self._got += data


@pytest.fixture
def fanout() -> Iterator[Fanout]:
    with Fanout() as running:
        yield running


@pytest.fixture
def streams(fanout: Fanout) -> Streams:
    return Streams(on_publish=fanout.notify)


def only(streams: Streams) -> Stream:
    (stream,) = streams.watched
    return stream


def test_a_viewer_gets_the_head_the_opening_and_then_each_part(fanout: Fanout, streams: Streams) -> None:
    watcher = Watcher(fanout, streams)
    with watcher.sock:
        watcher.skip_head()
        for sequence in (1, 2, 3):
            only(streams).publish(frame(sequence))
            while watcher.read_part() != sequence:
                pass


def test_a_newcomer_gets_the_current_part_at_once(fanout: Fanout, streams: Streams) -> None:
    first = Watcher(fanout, streams)
    only(streams).publish(frame(7))
    second = Watcher(fanout, streams)
    with first.sock, second.sock:
        second.skip_head()
        assert second.read_part() == 7


def test_the_first_part_is_soon_sent_again(fanout: Fanout, streams: Streams) -> None:
    watcher = Watcher(fanout, streams)
    with watcher.sock:
        only(streams).publish(frame(1))
        watcher.skip_head()
        with soon():
            assert [watcher.read_part(), watcher.read_part()] == [1, 1]


def test_the_last_picture_is_soon_sent_again_to_who_wants_that(fanout: Fanout, streams: Streams) -> None:
    asks, asks_not = Watcher(fanout, streams, framing=Framing(repeat_last=True)), Watcher(fanout, streams)
    with asks.sock, asks_not.sock:
        only(streams).publish(frame(1))
        for watcher in (asks, asks_not):
            watcher.skip_head()
            assert [watcher.read_part(), watcher.read_part()] == [1, 1]
        with soon():
            only(streams).publish(frame(2))
            assert [asks.read_part(), asks.read_part()] == [2, 2]
        assert asks_not.read_part() == 2
        asks_not.sock.settimeout(0.5)
        with pytest.raises(TimeoutError):
            asks_not.read_part()


def test_each_viewer_gets_its_framing_and_shares_its_parts(fanout: Fanout, streams: Streams) -> None:
    built: list[int] = []

    def count(frame: EncodedFrame) -> dict[str, str]:
        built.append(frame.sequence)
        return {"X-Sequence": str(frame.sequence)}

    watchers = [Watcher(fanout, streams, framing=Framing("other", more_headers=count)) for _ in range(3)]
    own = Watcher(fanout, streams)
    only(streams).publish(frame(9))
    for watcher in watchers:
        with watcher.sock:
            text = watcher.read_to(b"--other\r\n") + watcher.read_to(b"--other\r\n")
            assert text.startswith(HEAD + b"--other\r\nContent-Type: image/jpeg\r\nContent-Length: 100\r\n")
            assert b"\r\nX-Sequence: 9\r\n\r\n" in text
    with own.sock:
        own.skip_head()
        assert own.read_part() == 9
    assert built == [9]


def test_a_viewer_of_few_frames_sees_repeats_that_put_nothing_off(
    fanout: Fanout, streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout_module, "REPEAT_S", 0.2)
    watcher = Watcher(fanout, streams, fps=0.5)
    with watcher.sock:
        watcher.skip_head()
        began = time.monotonic()
        only(streams).publish(frame(1))
        shown = [watcher.read_part()]
        only(streams).publish(frame(2))
        while len(set(shown)) < 2 and time.monotonic() - began < PATIENCE_S:
            shown.append(watcher.read_part())
    assert set(shown) == {1, 2}
    assert len(shown) > 4


def test_a_slow_viewer_skips_to_the_newest_and_holds_up_nobody(fanout: Fanout, streams: Streams) -> None:
    slow, quick = Watcher(fanout, streams), Watcher(fanout, streams)
    with slow.sock, quick.sock:
        slow.skip_head()
        quick.skip_head()
        for sequence in range(1, 21):
            only(streams).publish(frame(sequence, size=500_000))
            while quick.read_part() != sequence:
                pass
        seen = [slow.read_part()]
        while seen[-1] != 20:
            seen.append(slow.read_part())
    assert len(seen) < 5
    assert seen == sorted(seen)


def test_a_viewer_that_takes_nothing_is_dropped(
    fanout: Fanout, streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout_module, "SEND_TIMEOUT_S", 0.5)
    stopped = Watcher(fanout, streams)
    with stopped.sock:
        only(streams).publish(frame(1, size=5_000_000))
        assert wait_until(lambda: streams.viewers == 0, WITHIN_S)


def test_a_viewer_that_leaves_is_forgotten_at_once(fanout: Fanout, streams: Streams) -> None:
    watcher = Watcher(fanout, streams)
    assert streams.viewers == 1
    watcher.sock.close()
    assert wait_until(lambda: streams.viewers == 0)


def test_what_a_viewer_sends_after_its_request_means_nothing(fanout: Fanout, streams: Streams) -> None:
    watcher = Watcher(fanout, streams)
    with watcher.sock:
        watcher.sock.sendall(b"GET / HTTP/1.1\r\n\r\n" * 10_000)
        watcher.skip_head()
        only(streams).publish(frame(1))
        assert watcher.read_part() == 1


def test_an_ended_stream_closes_after_a_whole_part(fanout: Fanout, streams: Streams) -> None:
    watcher = Watcher(fanout, streams)
    with watcher.sock:
        watcher.skip_head()
        only(streams).publish(frame(1, size=3_000_000))
        streams.close()
        assert watcher.read_part() == 1
        assert watcher.read_to_end() == b""
    assert wait_until(lambda: streams.viewers == 0, WITHIN_S)


def test_closing_finishes_the_part_on_its_way(streams: Streams, fanout: Fanout) -> None:
    watcher = Watcher(fanout, streams)
    with watcher.sock:
        watcher.skip_head()
        only(streams).publish(frame(1, size=3_000_000))
        closing = threading.Thread(target=fanout.close)
        closing.start()
        assert watcher.read_part() == 1
        assert watcher.read_to_end() == b""
        closing.join(WITHIN_S)
    assert not fanout.is_alive


def test_a_viewers_rate_is_kept_by_skipping(fanout: Fanout, streams: Streams) -> None:
    all_of_them, every_second = Watcher(fanout, streams, 100), Watcher(fanout, streams, 50)
    with all_of_them.sock, every_second.sock:
        all_of_them.skip_head()
        every_second.skip_head()
        began = time.monotonic()
        for sequence in range(1, 21):  # 100 frames a second by their time stamps
            only(streams).publish(frame(sequence, captured_at=began + sequence / 100))
            while all_of_them.read_part() != sequence:
                pass
        only(streams).end()
        shown = []
        with contextlib.suppress(EOFError):
            while True:
                shown.append(every_second.read_part())
    assert 9 <= len(set(shown)) <= 12


def test_five_hundred_viewers_that_come_and_are_reset_leave_nothing(fanout: Fanout, streams: Streams) -> None:
    stay = Watcher(fanout, streams)
    with stay.sock:
        stay.skip_head()
        for sequence in range(1, 501):
            watcher = Watcher(fanout, streams)
            only(streams).publish(frame(sequence, size=50_000))
            watcher.sock.close()  # unread data: the peer sees a reset
        assert wait_until(lambda: streams.viewers == 1, WITHIN_S)
        while stay.read_part() != 500:
            pass
