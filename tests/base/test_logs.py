"""What is logged, and how often."""

from __future__ import annotations

import logging

import pytest

from stream_server.base.logs import RepeatFilter


def test_lines_that_begin_alike_are_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("stream_server.base.logs.time.monotonic", lambda: now[0])
    fold = RepeatFilter()
    lines = [
        logging.LogRecord("a", logging.WARNING, "", 0, "Invalid request from ip=%s", (n,), None)
        for n in range(102)
    ]
    assert [fold.filter(line) for line in lines[:100]] == [True, *[False] * 99]
    assert fold.filter(logging.LogRecord("a", logging.WARNING, "", 0, "Something else", (), None))
    now[0] += 61
    assert fold.filter(lines[100])
    assert lines[100].getMessage() == "Invalid request from ip=100 (99 more like it before)"
    assert not fold.filter(lines[101])
