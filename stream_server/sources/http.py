"""A camera on HTTP: finds out what it sends, MJPEG or single JPEGs, and reads that."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from stream_server.config import SourceConfig
from stream_server.errors import ImageError, SourceError
from stream_server.frames import Picture
from stream_server.jpeg import picture_of
from stream_server.sources.base import Source
from stream_server.sources.http_auth import Credentials
from stream_server.sources.http_client import Answer, CameraClient
from stream_server.sources.mjpeg import MjpegParser
from stream_server.sources.snapshot import SnapshotPoller

_JPEG_TYPES = frozenset({"image/jpeg", "image/jpg", "image/pjpeg"})
_BARE_MJPEG_TYPES = frozenset({"video/mjpeg", "video/x-mjpeg", "video/x-motion-jpeg", "image/mjpeg"})
_UNTOLD_TYPES = frozenset({"", "application/octet-stream"})
_HLS_TYPES = frozenset(
    {"application/vnd.apple.mpegurl", "application/x-mpegurl", "audio/mpegurl", "audio/x-mpegurl"}
)


class _Pictures(Protocol):
    """What an answer is read as."""

    description: str

    @property
    def rejected(self) -> int:
        """How many of its parts were no usable JPEG."""

    def wait(self) -> bool:
        """Wait, but not long, until the camera may be asked for the next picture; return whether it may."""

    def read(self) -> Picture | None:
        """Return the next picture, None when there is nothing new. Raises SourceError, TimeoutError."""


class HttpSource(Source):
    """Pictures of an HTTP camera, the JPEGs untouched and not decoded before someone wants pixels.

    Opening it waits for the first picture, so that a camera that only accepts the connection counts as lost.
    """

    def __init__(self, config: SourceConfig) -> None:
        self._config = config
        self._client = CameraClient(config.source, credentials_of(config), verify_tls=config.verify_tls)
        self._pictures: _Pictures | None = None
        self._first: Picture | None = None
        self._newest: Picture | None = None
        self._was_wanted = True

    @property
    def decode_errors(self) -> int:
        """Parts and pictures since opening that were no usable JPEG."""
        return self._pictures.rejected if self._pictures else 0

    def open(self) -> None:
        """Ask the camera and wait for its first picture."""
        within = f"within {self._config.connect_timeout_s:g} s"
        self._client.allow(self._config.connect_timeout_s)
        try:
            answer = self._client.get()
        except TimeoutError:
            raise SourceError(f"the camera does not answer {within}") from None
        self._pictures = _read_as(answer, self._client, self._config.fps)
        try:
            self._first = self._pictures.read()
        except TimeoutError:
            raise SourceError(f"the camera answers but sends no picture {within}") from None
        self.size_wh = self._first.size_wh if self._first else (0, 0)
        self.description = (
            f"{self._pictures.description} over {self._config.source.partition(':')[0].upper()}"
        )

    def read(self, wanted: bool = True) -> Picture | None:
        """Return the next picture, None when it is still the same; to who comes to look that one is new."""
        picture = self._next()
        self._newest = picture or self._newest
        is_new = picture is not None or (wanted and not self._was_wanted)
        self._was_wanted = wanted
        return self._newest if is_new else None

    def _next(self) -> Picture | None:
        assert self._pictures is not None
        if self._first is not None:
            picture, self._first = self._first, None
            return picture
        if not self._pictures.wait():
            return None
        self._client.allow(self._config.read_timeout_s)
        try:
            return self._pictures.read()
        except TimeoutError:
            raise SourceError(f"no picture for {self._config.read_timeout_s:g} s") from None

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def interrupt(self) -> None:
        """End `open` and `read`, also later ones."""
        self._client.interrupt()


class _MjpegStream:
    """The pictures of one endless answer."""

    description = "MJPEG"

    def __init__(self, answer: Answer, boundary: str | None) -> None:
        self._answer = answer
        self._parser = MjpegParser(boundary)
        self._jpegs: deque[bytes] = deque()
        self._without_size = 0

    @property
    def rejected(self) -> int:
        return self._parser.rejected + self._without_size

    def wait(self) -> bool:
        """The camera sets the pace."""
        return True

    def read(self) -> Picture:
        while True:
            while not self._jpegs:
                data = self._answer.read()
                if not data:
                    raise SourceError("the camera ended the stream")
                self._jpegs.extend(self._parser.feed(data))
            try:
                return picture_of(self._jpegs.popleft())
            except ImageError:
                self._without_size += 1


def credentials_of(config: SourceConfig) -> Credentials | None:
    """Return the user name and password of `config`, None where it has neither."""
    if config.username is None and config.password is None:
        return None
    return Credentials(config.username or "", config.password.get_secret_value() if config.password else "")


def _read_as(answer: Answer, client: CameraClient, fps: float | None) -> _Pictures:
    """Return what reads the kind of pictures that `answer` announces. Raises SourceError for others."""
    content_type = answer.headers.get_content_type() if "Content-Type" in answer.headers else ""
    is_untold = content_type in _UNTOLD_TYPES
    if content_type in _JPEG_TYPES or (is_untold and answer.length is not None):
        return SnapshotPoller(client, answer, fps)
    if content_type.startswith("multipart/") or content_type in _BARE_MJPEG_TYPES or is_untold:
        boundary = answer.headers.get_param("boundary")
        return _MjpegStream(answer, boundary if isinstance(boundary, str) else None)
    if content_type in _HLS_TYPES:
        raise SourceError(f"the camera sends HLS ({content_type}); its address has to end in .m3u8")
    what = "a web page" if content_type == "text/html" else content_type[:60]
    raise SourceError(
        f"the camera sends {what}; expected MJPEG (multipart/x-mixed-replace) or a JPEG (image/jpeg)"
    )
