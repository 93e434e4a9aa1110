"""A camera on HTTP: finds out what it sends, MJPEG or single JPEGs, and reads that."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

from stream_server.config import SourceConfig
from stream_server.errors import ImageError, SourceError
from stream_server.media.frames import Picture
from stream_server.media.jpeg import SOI, picture_of
from stream_server.media.mjpeg_parser import MjpegParser
from stream_server.net.http_client import Answer, CameraClient
from stream_server.sources.base import Source, credentials_of
from stream_server.sources.playlist import is_playlist
from stream_server.sources.snapshot import BLANKS, Pace, Patience, SnapshotPoller

if TYPE_CHECKING:
    from stream_server.sources.hls import HLSSource

_JPEG_TYPES = frozenset({"image/jpeg", "image/jpg", "image/pjpeg"})
_BARE_MJPEG_TYPES = frozenset({"video/mjpeg", "video/x-mjpeg", "video/x-motion-jpeg", "image/mjpeg"})
_UNTOLD_TYPES = frozenset({"", "application/octet-stream", "binary/octet-stream"})
_PICTURES = (SOI, b"\x89PNG\r\n", b"RIFF")
_PNG = b"\x89PNG\r\n\x1a\n"
_MAGIC_BYTES = 64


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
        self._is_interrupted = False
        self._playlist: HLSSource | None = None

    @property
    def decode_errors(self) -> int:
        """Parts since opening that were no usable JPEG, or polls that failed."""
        if self._playlist:
            return self._playlist.decode_errors
        return self._pictures.rejected if self._pictures else 0

    def open(self) -> None:
        """Ask the camera and wait for its first picture."""
        within, began = f"within {self._config.connect_timeout_s:g} s", time.monotonic()
        self._client.allow(self._config.connect_timeout_s)
        try:
            answer = self._client.get()
        except TimeoutError:
            raise SourceError(f"the camera does not answer {within}") from None
        try:
            if is_playlist(answer.peek(_MAGIC_BYTES)):
                self._open_playlist(time.monotonic() - began)
                return
            self._pictures = _read_as(answer, self._client, self._config)
            self._first = self._pictures.read()
        except TimeoutError:
            raise SourceError(f"the camera answers but sends no picture {within}") from None
        self.size_wh = self._first.size_wh if self._first else (0, 0)
        self.description = (
            f"{self._pictures.description} over {self._config.source.partition(':')[0].upper()}"
        )

    def _open_playlist(self, spent_s: float) -> None:
        """Read HLS at an address that does not say so, in what is left of the time to connect."""
        from stream_server.sources.hls import HLSSource  # noqa: PLC0415 - which loads FFmpeg

        self._client.close()
        self._playlist = playlist = HLSSource(self._config, spent_s)
        if self._is_interrupted:
            playlist.interrupt()
        playlist.open()
        self.size_wh, self.description = playlist.size_wh, playlist.description

    def read(self, wanted: bool = True) -> Picture | None:
        """Return the next picture, None when it is still the same; who comes to look takes that for new."""
        if self._playlist:
            return self._playlist.read(wanted)
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
        except _OnlyOne:
            self._pictures = _OneByOne(self._client, self._config)
            return None
        except TimeoutError:
            raise SourceError(f"no picture for {self._config.read_timeout_s:g} s") from None

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
        if self._playlist:
            self._playlist.close()

    def interrupt(self) -> None:
        """End `open` and `read`, also later ones."""
        self._is_interrupted = True
        self._client.interrupt()
        if self._playlist:
            self._playlist.interrupt()


class _OnlyOne(SourceError):
    """A stream ended after its first picture: it is a snapshot in the dress of one."""

    def __init__(self) -> None:
        super().__init__("the camera ended the stream after one picture")


class _MjpegStream:
    """The pictures of one endless answer."""

    description = "MJPEG"

    def __init__(self, answer: Answer, boundary: str | None) -> None:
        self._answer = answer
        self._parser = MjpegParser(boundary)
        self._jpegs: deque[bytes] = deque()
        self._without_size = 0
        self.pictures = 0

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
                    raise _OnlyOne if self.pictures == 1 else SourceError("the camera ended the stream")
                if not self.pictures and _PNG in data:
                    raise SourceError("the camera sends PNG parts, not JPEG")
                self._jpegs.extend(self._parser.feed(data))
            try:
                picture = picture_of(self._jpegs.popleft())
                self.pictures += 1
                return picture
            except ImageError:
                self._without_size += 1


class _OneByOne:
    """The pictures of a camera that ends its stream after each, asked for again and again.

    It may be a stream all the same, of which the first was cut: then it goes on as one.
    """

    def __init__(self, client: CameraClient, config: SourceConfig) -> None:
        self._client = client
        self._pace = Pace(config.fps)
        self._patience = Patience(client, config.read_timeout_s, has_shown=True)
        self._stream: _MjpegStream | None = None
        self._rejected = 0
        self.description = f"MJPEG of one picture ({self._pace.fps:g}/s)"

    @property
    def rejected(self) -> int:
        return self._patience.failures + self._rejected + (self._stream.rejected if self._stream else 0)

    def wait(self) -> bool:
        """Wait until it is time to ask again."""
        return self._stream is not None or self._pace.wait(self._client)

    def read(self) -> Picture | None:
        if self._stream and self._stream.pictures > 1:
            return self._stream.read()  # which is one: its end is the camera's
        return self._patience.poll(self._poll)

    def _poll(self) -> Picture | None:
        stream, self._stream = self._stream or _stream_of(self._client.get()), None
        try:
            picture = stream.read()
            self._stream = stream
            return picture
        except _OnlyOne:
            self._rejected += stream.rejected
            return None


def _read_as(answer: Answer, client: CameraClient, config: SourceConfig) -> _Pictures:
    """Return what reads the kind of pictures that `answer` holds. Raises SourceError for others.

    Its bytes tell what it is. Labels are wrong on many cameras; they only say whether more than one picture
    is to come where that cannot be seen.
    """
    start = answer.peek(_MAGIC_BYTES).lstrip(BLANKS)
    content_type = answer.headers.get_content_type() if "Content-Type" in answer.headers else ""
    may_go_on = content_type.startswith("multipart/") or content_type in (*_BARE_MJPEG_TYPES, *_UNTOLD_TYPES)
    if start.startswith(_PICTURES) and (answer.length is not None or not may_go_on):
        return SnapshotPoller(client, answer, config.fps, config.read_timeout_s)
    if may_go_on or start.startswith((SOI, b"--")):
        return _stream_of(answer)
    if content_type in _JPEG_TYPES:
        return SnapshotPoller(client, answer, config.fps, config.read_timeout_s)
    what = "a web page" if content_type == "text/html" else content_type[:60]
    raise SourceError(
        f"the camera sends {what}; expected MJPEG (multipart/x-mixed-replace) or a JPEG (image/jpeg)"
    )


def _stream_of(answer: Answer) -> _MjpegStream:
    boundary = answer.headers.get_param("boundary")
    return _MjpegStream(answer, boundary if isinstance(boundary, str) else None)
