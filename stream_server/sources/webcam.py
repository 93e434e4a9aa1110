"""Webcams, by OpenCV's V4L2: the camera's own JPEGs where it makes them, raw pictures else."""

from __future__ import annotations

import errno
import select
import threading
import time
from pathlib import Path

import cv2
import numpy as np

from stream_server.config import SourceConfig
from stream_server.errors import ImageError, SourceError
from stream_server.media.frames import Picture
from stream_server.media.jpeg import EOI, picture_of
from stream_server.sources.base import Source
from stream_server.sources.v4l2 import (
    Identity,
    WebcamInfo,
    Webcams,
    check_usable,
    descriptor_of,
    find_webcams,
    users_of,
)

__all__ = ["WebcamInfo", "WebcamSource", "find_webcams"]

_MJPG = cv2.VideoWriter.fourcc(*"MJPG")
_SLICE_S = 0.3

DEFAULT_SIZE_WH = (1280, 720)

_lock = threading.Lock()  # guards _remembered
_remembered: dict[str, Identity] = {}
"""The camera that each address stood for when it was first opened; for as long as the process runs."""


class WebcamSource(Source):
    """A webcam. Once opened, its address means that very camera, wherever it is after it was unplugged."""

    def __init__(self, config: SourceConfig, webcams: Webcams | None = None) -> None:
        """Prepare to open what `config` names."""
        self._config = config
        self._address = config.url.address
        self._webcams = webcams or Webcams()
        self._interrupted = threading.Event()
        self._capture: cv2.VideoCapture | None = None
        self._node = Path()
        self._poll: select.poll | None = None
        self._sends_jpegs = False
        self._has_grabbed = False
        self._broken = 0

    @property
    def decode_errors(self) -> int:
        """Pictures since opening that were no usable JPEG."""
        return self._broken

    def open(self) -> None:
        """Open it, asking for JPEGs and for the configured size and rate, which it may round."""
        # What OpenCV has to say goes past our log to stderr.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        self._node = self._find()
        self._capture = capture = cv2.VideoCapture(str(self._node), cv2.CAP_V4L2)
        if not capture.isOpened():
            raise self._lost("cannot be opened")
        self._remember()
        for what, value in self._wishes():
            capture.set(what, value)  # not when opening: there OpenCV insists on each
        self._sends_jpegs = int(capture.get(cv2.CAP_PROP_FOURCC)) == _MJPG
        capture.set(cv2.CAP_PROP_CONVERT_RGB, 0 if self._sends_jpegs else 1)
        width, height = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        self.size_wh = (int(width), int(height))
        self.description = f"{'MJPEG' if self._sends_jpegs else 'raw video'} from a webcam"
        self._grab("sends no pictures")  # starts the stream; OpenCV gives up after 10 s
        self._has_grabbed = True
        self._poll = _poll_for(self._node)

    def read(self, wanted: bool = True) -> Picture | None:
        """Return the next picture, a JPEG as it came if the camera makes them; None for a broken one."""
        if not self._has_grabbed:
            self._wait()
            self._grab("stopped sending pictures")
        self._has_grabbed = False
        return self._retrieve() if wanted else None

    def close(self) -> None:
        """Release the device."""
        capture, self._capture, self._poll = self._capture, None, None
        if capture:
            capture.release()

    def interrupt(self) -> None:
        """End a wait for the next picture."""
        self._interrupted.set()

    def _find(self) -> Path:
        """Return the device to open: the one of the camera that was there first."""
        with _lock:
            identity = _remembered.get(self._address)
        if identity is None:
            return self._webcams.node(self._address)
        if node := self._webcams.locate(identity):
            return node
        hint = "" if identity.serial else " (having no serial number, it is known by its USB port)"
        raise SourceError(f"{identity.name} is unplugged{hint}")

    def _remember(self) -> None:
        if identity := self._webcams.identify(self._node):
            with _lock:
                _remembered.setdefault(self._address, identity)

    def _wishes(self) -> list[tuple[int, float]]:
        width, height = DEFAULT_SIZE_WH
        if self._config.width or self._config.height:  # one side alone: the camera takes the next it has
            width = self._config.width or round((self._config.height or height) * width / height)
            height = self._config.height or round(width * 9 / 16)
        wishes: list[tuple[int, float]] = [
            (cv2.CAP_PROP_FOURCC, _MJPG),
            (cv2.CAP_PROP_FRAME_WIDTH, width),
            (cv2.CAP_PROP_FRAME_HEIGHT, height),
        ]
        return [*wishes, (cv2.CAP_PROP_FPS, self._config.fps)] if self._config.fps else wishes

    def _grab(self, failure: str) -> None:
        """Take the next picture from the driver."""
        assert self._capture is not None
        if not self._capture.grab():
            raise self._lost(failure)

    def _wait(self) -> None:
        """Wait for a picture in the driver, because OpenCV would for 10 s, whatever we want."""
        deadline = time.monotonic() + self._config.read_timeout_s
        while not self._interrupted.is_set():
            if time.monotonic() > deadline:
                raise SourceError(f"no picture for {self._config.read_timeout_s:g} s")
            if self._poll is None or self._poll.poll(_SLICE_S * 1000):
                return
        raise SourceError("interrupted")

    def _retrieve(self) -> Picture | None:
        """Return the picture that was grabbed, None for a broken one."""
        assert self._capture is not None
        is_whole, data = self._capture.retrieve()
        if is_whole and data is not None and not self._sends_jpegs:
            return Picture.of_image(np.ascontiguousarray(data, np.uint8))
        try:
            return _picture_of_webcam(data.tobytes() if is_whole and data is not None else b"")
        except ImageError:
            self._broken += 1
            return None

    def _lost(self, failure: str) -> SourceError:
        """Release the device and return why it does not work."""
        self.close()
        try:
            check_usable(self._node)
        except OSError as exc:
            return SourceError(self._reason(exc))
        return SourceError(f"the webcam {self._node} {failure}")

    def _reason(self, exc: OSError) -> str:
        match exc.errno:
            case errno.ENOENT | errno.ENODEV | errno.ENXIO:
                with _lock:
                    identity = _remembered.get(self._address)
                return f"{identity.name} is unplugged" if identity else self._no_such_webcam()
            case errno.EACCES | errno.EPERM:
                return f"no permission to open {self._node}: its user has to be in the group video"
            case errno.EBUSY:
                return f"{self._node} is in use{_by(users_of(self._node))}"
            case errno.ENOTTY | errno.EINVAL:
                return f"{self._node} is no camera"
            case _:
                return f"{self._node}: {(exc.strerror or 'error').lower()}"

    def _no_such_webcam(self) -> str:
        others = ", ".join(f"{webcam.path} ({webcam.name})" for webcam in self._webcams.find())
        return f"there is no webcam {self._address}; found: {others or 'none'}"


def _picture_of_webcam(jpeg: bytes) -> Picture:
    """Return the picture of a JPEG with what drivers append cut off."""
    return picture_of(jpeg[: jpeg.rfind(EOI) + len(EOI)])


def _poll_for(node: Path) -> select.poll | None:
    """Return what waits for a picture of the camera this process has open at `node`."""
    descriptor = descriptor_of(node)
    if descriptor is None:
        return None
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return poll


def _by(users: list[str]) -> str:
    return f" by {', '.join(users)}" if users else " by another program"
