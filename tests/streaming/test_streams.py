"""Viewers share streams, each at its own pace."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from stream_server.media.frames import EncodedFrame
from stream_server.streaming.streams import Stream, Streams, Variant

WITHIN_S = 20.0
LIVE, SMALL = Variant(), Variant(width=320)


def encoded(sequence: int, captured_at: float | None = None) -> EncodedFrame:
    at = float(sequence) if captured_at is None else captured_at
    return EncodedFrame(b"jpeg", b"part", (640, 480), sequence, at, at)


def publish(stream: Stream, *sequences: int) -> None:
    for sequence in sequences:
        stream.publish(encoded(sequence))


@pytest.mark.parametrize(
    ("watched", "streams"),
    [([], 0), ([LIVE], 1), ([LIVE, LIVE], 1), ([LIVE, SMALL], 2), ([LIVE, SMALL, LIVE], 2)],
)
def test_viewers_of_a_variant_share_one_stream(watched: list[Variant], streams: int) -> None:
    all_streams = Streams()
    viewers = [all_streams.watch(variant, 10) for variant in watched]
    assert len(all_streams.watched) == streams
    assert all_streams.viewers == len(watched)
    for viewer in viewers:
        viewer.close()
    assert (all_streams.watched, all_streams.viewers) == ([], 0)


def test_the_last_viewers_stream_goes_with_it() -> None:
    streams = Streams()
    with streams.watch(LIVE, 10) as stays:
        with streams.watch(LIVE, 10) as leaves:
            publish(leaves.stream, 1)
        assert streams.watched == [stays.stream]
    with streams.watch(LIVE, 10) as comes_later:
        assert comes_later.stream is not stays.stream
        assert comes_later.next_frame(0.01) is None


def test_leaving_twice_changes_nothing() -> None:
    streams = Streams()
    with streams.watch(LIVE, 10) as stays:
        leaves = streams.watch(LIVE, 10)
        leaves.close()
        leaves.close()
        assert (streams.viewers, streams.watched) == (1, [stays.stream])


def test_a_viewer_that_broke_off_is_forgotten() -> None:
    streams = Streams()
    with pytest.raises(BrokenPipeError), streams.watch(LIVE, 10):
        raise BrokenPipeError
    assert streams.viewers == 0


def test_coming_and_leaving_is_told() -> None:
    told: list[int] = []
    streams = Streams(on_change=lambda: told.append(streams.viewers))
    with streams.watch(LIVE, 10), streams.watch(SMALL, 10):
        pass
    assert told == [1, 2, 1, 0]


def test_a_slow_viewer_skips_to_the_newest_frame() -> None:
    with Streams().watch(LIVE, 100) as viewer:
        publish(viewer.stream, 1)
        first = viewer.next_frame(WITHIN_S)
        publish(viewer.stream, 2, 3, 4)
        second = viewer.next_frame(WITHIN_S)
        assert first
        assert second
        assert (first.sequence, second.sequence) == (1, 4)
        assert viewer.next_frame(0.01) is None


def test_the_fastest_viewer_sets_the_pace_of_the_stream() -> None:
    streams = Streams()
    fast, slow = streams.watch(LIVE, 10), streams.watch(LIVE, 1)
    stream = fast.stream
    for number in range(30):
        stream.publish(encoded(number, captured_at=number / 10))
    with slow:
        fast.close()
        stream.publish(encoded(30, captured_at=3.0))
        assert not stream._throttle.is_due(3.5)
        assert stream._throttle.is_due(4.0)


def test_a_slow_viewers_pace_is_its_own() -> None:
    streams = Streams()
    with streams.watch(LIVE, 10) as fast, streams.watch(LIVE, 2) as slow:
        seen: dict[str, list[int]] = {"fast": [], "slow": []}
        start = time.monotonic() + 1000  # far ahead: nothing is shown for having waited long enough
        for number in range(20):
            fast.stream.publish(encoded(number, captured_at=start + number / 10))
            for name, viewer in (("fast", fast), ("slow", slow)):
                if frame := viewer.next_frame(0.001):
                    seen[name].append(frame.sequence)
    assert seen["fast"] == list(range(20))
    assert seen["slow"] == [0, 5, 10, 15]


def test_the_last_frame_of_a_burst_is_shown_when_its_time_has_come() -> None:
    with Streams().watch(LIVE, 20) as viewer:
        now = time.monotonic()
        viewer.stream.publish(encoded(1, captured_at=now))
        assert viewer.next_frame(WITHIN_S)
        viewer.stream.publish(encoded(2, captured_at=now + 0.001))
        frame = viewer.next_frame(WITHIN_S)
        assert frame is not None
        assert frame.sequence == 2
        assert time.monotonic() - now >= 0.04


@pytest.mark.parametrize(
    ("parts_at", "now", "fps"),
    [
        ([], 100.0, 0),
        ([100.0, 100.5], 100.9, 0),  # the second is not over
        ([100.0, 100.5], 101.9, 2),
        ([100.0, 100.5, 101.1], 101.9, 2),
        ([100.0, 100.5, 101.1], 102.0, 1),
        ([100.0, 102.1], 102.9, 0),  # nothing in second 101
        ([100.0], 102.0, 0),
    ],
)
def test_parts_of_the_last_full_second_are_a_viewers_rate(
    parts_at: list[float], now: float, fps: int
) -> None:
    with Streams().watch(LIVE, 10) as viewer:
        for at in parts_at:
            viewer.count_part(at)
        assert viewer.sent_fps(now) == fps


def test_the_end_wakes_viewers_at_once() -> None:
    streams = Streams()
    with streams.watch(LIVE, 10) as viewer, ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(viewer.next_frame, 3600)
        streams.end()
        assert waiting.result(WITHIN_S) is None
        assert viewer.has_ended


def test_the_last_frame_comes_before_the_end_even_if_too_soon() -> None:
    streams = Streams()
    with streams.watch(LIVE, 0.1) as viewer:
        now = time.monotonic()
        viewer.stream.publish(encoded(1, captured_at=now))
        assert viewer.next_frame(WITHIN_S)
        viewer.stream.publish(encoded(2, captured_at=now + 0.1))
        streams.end()
        last = viewer.next_frame(WITHIN_S)
        assert last is not None
        assert last.sequence == 2
        assert viewer.next_frame(WITHIN_S) is None
        assert time.monotonic() - now < WITHIN_S


def test_who_comes_after_the_end_gets_a_new_stream() -> None:
    streams = Streams()
    with streams.watch(LIVE, 10) as before:
        streams.end()
        with streams.watch(LIVE, 10) as after:
            assert before.has_ended
            assert not after.has_ended
            before.close()
            assert streams.watched == [after.stream]


def test_who_comes_after_the_close_is_sent_away() -> None:
    streams = Streams()
    streams.close()
    with streams.watch(LIVE, 10) as viewer:
        assert viewer.has_ended
        assert viewer.next_frame(3600) is None


def test_viewers_may_come_and_leave_from_many_threads() -> None:
    streams = Streams()
    start = threading.Barrier(8)

    def come_and_leave(number: int) -> None:
        start.wait(WITHIN_S)
        for width in range(50):
            with streams.watch(Variant(width=16 + (number + width) % 3), fps=10 + number) as viewer:
                assert viewer.stream in streams.watched

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(come_and_leave, range(8)))
    assert (streams.viewers, streams.watched) == (0, [])
