"""A source that a test drives picture by picture."""

from __future__ import annotations

import queue
import threading

import cv2
import numpy as np

from detector.detections import BGRImage
from stream_server.errors import SourceError
from stream_server.media.encode import encode_jpeg
from stream_server.media.frames import Picture
from stream_server.sources.base import Source


class ScriptedSource(Source):
    """Hands over what `emit` is given; an error given is raised. `wanted` holds what each `read` was told.

    poll_s: after so long without a picture it shows that it lives; None: it waits for ever.
    """

    description = "scripted"

    def __init__(self, poll_s: float | None = 0.2) -> None:
        self.opened = 0
        self.broken = 0
        self._poll_s = poll_s
        self.wanted: list[bool] = []
        self._script: queue.Queue[Picture | SourceError | None] = queue.Queue()

    def emit(self, *script: Picture | SourceError | None) -> None:
        """Let the next reads return or raise these."""
        for item in script:
            self._script.put(item)

    @property
    def decode_errors(self) -> int:
        return self.broken

    def open(self) -> None:
        self.opened += 1

    def read(self, wanted: bool = True) -> Picture | None:
        self.wanted.append(wanted)
        try:
            item = self._script.get(timeout=self._poll_s)
        except queue.Empty:
            return None
        if isinstance(item, SourceError):
            raise item
        return item

    def interrupt(self) -> None:
        self._script.put(None)

    def close(self) -> None:
        pass


class StuckSource(Source):
    """Hangs in `open`, `read` or `close` until `free` is set, as native code does."""

    def __init__(self, where: str, *, heeds_interrupts: bool = False) -> None:
        self.free, self.stuck, self.closed = threading.Event(), threading.Event(), threading.Event()
        self._where = where
        self._heeds_interrupts = heeds_interrupts

    def _pass(self, place: str) -> None:
        if place == self._where:
            self.stuck.set()
            self.free.wait()

    def open(self) -> None:
        self._pass("open")

    def read(self, wanted: bool = True) -> Picture | None:
        self._pass("read")
        return raw_picture(plain(0))

    def close(self) -> None:
        self._pass("close")
        self.closed.set()

    def interrupt(self) -> None:
        if self._heeds_interrupts:
            self.free.set()


def plain(colour: int | tuple[int, int, int], size_wh: tuple[int, int] = (320, 240)) -> BGRImage:
    """Return an image of one BGR colour."""
    return np.full((size_wh[1], size_wh[0], 3), colour, np.uint8)


def raw_picture(image: BGRImage) -> Picture:
    """Return a picture as a camera of raw video hands it over."""
    return Picture.of_image(image)


def jpeg_picture(image: BGRImage) -> Picture:
    """Return a picture as a JPEG camera hands it over."""
    jpeg = encode_jpeg(image, 80)

    def decode() -> BGRImage:
        return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)

    return Picture((image.shape[1], image.shape[0]), decode, jpeg)
