"""What `stream-server check` measures of a camera."""

from __future__ import annotations

import threading

from stream_server.cameras.probe import measure
from stream_server.media.frames import Picture
from stream_server.media.jpeg import picture_of
from tests.support.cameras.http import numbered_jpeg

PICTURE = picture_of(numbered_jpeg(0))


def test_burst_at_the_beginning_is_not_counted() -> None:
    stored, pace_s = iter(range(30)), threading.Event()

    def read() -> Picture | None:
        if next(stored, None) is None:
            pace_s.wait(0.1)
        return PICTURE

    picture, fps = measure(read, 5)
    assert picture is PICTURE
    assert 0 < fps <= 10.1, "no more than come"


def test_camera_of_one_picture_has_no_rate() -> None:
    shown, pause = iter([PICTURE]), threading.Event()

    def read() -> Picture | None:
        pause.wait(0.01)
        return next(shown, None)

    assert measure(read, 5) == (PICTURE, 0.0)
