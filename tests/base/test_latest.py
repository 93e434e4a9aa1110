"""The slot between two stages."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from stream_server.base.latest import LatestSlot

WITHIN_S = 20.0


@pytest.mark.parametrize("items", [[], ["a"], ["a", "b", "c"]])
def test_only_the_newest_item_is_held(items: list[str]) -> None:
    latest: LatestSlot[str] = LatestSlot()
    for item in items:
        latest.put(item)
    assert latest.item == (items[-1] if items else None)
    assert latest.wait_newer(0, 0) == (len(items), latest.item)


def test_what_was_seen_is_not_given_again() -> None:
    latest: LatestSlot[str] = LatestSlot()
    latest.put("a")
    seen, _ = latest.wait_newer(0, 0)
    assert latest.wait_newer(seen, 0.01) == (seen, None)
    latest.put("b")
    assert latest.wait_newer(seen, 0) == (seen + 1, "b")


def test_a_put_wakes_everyone_who_waits() -> None:
    latest: LatestSlot[str] = LatestSlot()
    with ThreadPoolExecutor(4) as threads:
        waiting = [threads.submit(latest.wait_newer, 0, WITHIN_S) for _ in range(4)]
        latest.put("a")
        assert [each.result() for each in waiting] == [(1, "a")] * 4


def test_a_cleared_item_is_gone_and_the_next_is_newer() -> None:
    latest: LatestSlot[str] = LatestSlot()
    latest.put("a")
    latest.clear()
    assert latest.item is None
    assert latest.wait_newer(0, 0.01) == (0, None)
    latest.put("b")
    assert latest.wait_newer(1, 0) == (2, "b")


def test_clearing_ends_nobodys_waiting() -> None:
    latest: LatestSlot[str] = LatestSlot()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(latest.wait_newer, 0, WITHIN_S)
        latest.clear()
        latest.put("a")
        assert waiting.result() == (1, "a")


def test_close_ends_all_waiting_at_once() -> None:
    latest: LatestSlot[str] = LatestSlot()
    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(latest.wait_newer, 0, 3600) for _ in range(2)]
        latest.close()
        assert [each.result(WITHIN_S) for each in waiting] == [(0, None)] * 2
    assert latest.is_closed


def test_the_last_item_is_still_given_after_the_close() -> None:
    latest: LatestSlot[str] = LatestSlot()
    latest.put("last")
    latest.close()
    assert latest.wait_newer(0, 3600) == (1, "last")
    assert latest.wait_newer(1, 3600) == (1, None)


def test_a_slow_reader_skips_and_a_fast_writer_never_waits() -> None:
    latest: LatestSlot[int] = LatestSlot()
    has_read, seen_all = threading.Event(), threading.Event()
    read: list[int] = []

    def read_all() -> None:
        seen = 0
        while not latest.is_closed:
            seen, item = latest.wait_newer(seen, WITHIN_S)
            if item is not None:
                read.append(item)
                has_read.set()
                seen_all.wait(WITHIN_S)

    reader = threading.Thread(target=read_all)
    reader.start()
    latest.put(0)
    assert has_read.wait(WITHIN_S)
    for number in range(1, 1001):
        latest.put(number)
    latest.close()
    seen_all.set()
    reader.join(WITHIN_S)
    assert read == [0] or read == [0, 1000]
    assert latest.item == 1000


def test_listeners_hear_of_each_item_and_the_end_until_they_listen_no_more() -> None:
    latest: LatestSlot[str] = LatestSlot()
    heard: list[str | None] = []

    def listener() -> None:
        heard.append("the end" if latest.is_closed else latest.item)

    latest.put("unheard")
    latest.listen(listener)
    latest.put("a")
    latest.close()
    latest.unlisten(listener)
    latest.put("b")
    assert heard == ["a", "the end"]
