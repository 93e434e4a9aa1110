"""MJPEG over HTTP: how JPEGs follow one another in an answer that never ends.

The format is RFC 2046 multipart with the type `multipart/x-mixed-replace` that Netscape gave it; what clients
rely on beyond that is noted where it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stream_server.base.clock import wall_clock
from stream_server.media.frames import EncodedFrame

MAX_HEADER_LINE_BYTES = 127
"""FFmpeg's mpjpeg demuxer reads header lines, line break included, into 128 bytes."""

_NO_HEADERS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Framing:
    """How the parts of one connection look; those whose framings are equal share the bytes of each part.

    boundary: without the dashes it has on the wire.
    more_headers: makes further part headers of a frame.
    headers_in_advance: a part's headers go out with the part before, so that Chrome, which paints a part
        when the next one's headers arrive (crbug.com/527446), paints it at once. They cannot tell the length
        then, nor anything else about a picture that is not there yet.
    omit_data: parts come without their pictures, to watch the pace without the load.
    repeat_last: a picture after which nothing new comes is soon sent again: WebKit, too, paints late.
    """

    boundary: str = "frame"
    more_headers: Callable[[EncodedFrame], Mapping[str, str]] | None = None
    headers_in_advance: bool = False
    omit_data: bool = False
    repeat_last: bool = False

    @property
    def content_type(self) -> str:
        """The answer's Content-Type: the boundary bare and without its dashes (RFC 2046, 5.1.1)."""
        return f"multipart/x-mixed-replace;boundary={self.boundary}"

    def opening(self, timestamp: float) -> bytes:
        """Return what comes before the first part: FFmpeg, OpenCV, VLC and GStreamer give up without it."""
        return self._delimiter + (self._headers_ahead(timestamp) if self.headers_in_advance else b"")

    def part(self, jpeg: bytes, timestamp: float, headers: Mapping[str, str] = _NO_HEADERS) -> bytes:
        """Return `jpeg` as one part, with the boundary that ends it, to be sent in one write.

        Browsers paint a part when they see the boundary after it, so it must not wait for the next picture.

        timestamp: wall-clock seconds since 1970 when the picture was taken, sent as X-Timestamp.
        headers: more of them, in the capitalisation to send; e.g. {"X-Sequence": "7"}.

        Raises ValueError for a header that would break the framing or that FFmpeg could not read.
        """
        body = b"" if self.omit_data else jpeg
        if self.headers_in_advance:
            return b"".join((body, b"\r\n", self._delimiter, self._headers_ahead(timestamp)))
        own = {
            "Content-Type": "image/jpeg",
            "Content-Length": str(len(body)),
            "X-Timestamp": f"{timestamp:.6f}",
        }
        return b"".join((_block({**own, **headers}), body, b"\r\n", self._delimiter))

    @property
    def _delimiter(self) -> bytes:
        return b"--%s\r\n" % self.boundary.encode("ascii")

    @staticmethod
    def _headers_ahead(timestamp: float) -> bytes:
        return _block({"Content-Type": "image/jpeg", "X-Timestamp": f"{timestamp:.6f}"})


CANONICAL = Framing()
"""Our own, which every frame comes in; see `EncodedFrame.part`."""


def part_of(frame: EncodedFrame, framing: Framing) -> bytes:
    """Return the frame's part as `framing` wants it, made when first asked for; any thread may ask.

    Two threads at once make it twice, which is cheaper than a lock: both are right.
    """
    if framing is CANONICAL:
        return frame.part
    part = frame.parts.get(framing)
    if part is None:
        headers = framing.more_headers(frame) if framing.more_headers else {}
        notes = overload_note(frame.overload)
        part = framing.part(frame.jpeg, wall_clock(frame.captured_at), {**notes, **headers})
        frame.parts[framing] = part
    return part


def overload_note(level: int) -> dict[str, str]:
    """Return the part header that says how far down the server has stepped; none when it has not."""
    return {"X-Overload": str(level)} if level else {}


def _block(headers: Mapping[str, str]) -> bytes:
    return b"".join((*(_line(name, value) for name, value in headers.items()), b"\r\n"))


def _line(name: str, value: str) -> bytes:
    text = f"{name}: {value}"
    if not (text.isascii() and text.isprintable() and name and ":" not in name):
        raise ValueError(f"part header {text!r}: expected a name and a value of printable ASCII")
    line = text.encode("ascii") + b"\r\n"
    if len(line) > MAX_HEADER_LINE_BYTES:
        raise ValueError(
            f"part header {name}: got {len(line)} bytes, expected at most {MAX_HEADER_LINE_BYTES}"
        )
    return line
