"""MJPEG over HTTP: how JPEGs follow one another in an answer that never ends.

The format is RFC 2046 multipart with the type `multipart/x-mixed-replace` that Netscape gave it; what clients
rely on beyond that is noted where it is kept.
"""

from __future__ import annotations

from collections.abc import Mapping

CONTENT_TYPE = "multipart/x-mixed-replace;boundary=frame"
"""The answer's Content-Type: the boundary without its dashes (RFC 2046, 5.1.1) and, for old readers, bare."""

OPENING = b"--frame\r\n"
"""What comes before the first part: FFmpeg, OpenCV, VLC and GStreamer give up on a stream without it."""

MAX_HEADER_LINE_BYTES = 127
"""FFmpeg's mpjpeg demuxer reads header lines, line break included, into 128 bytes."""

_NO_HEADERS: Mapping[str, str] = {}


def part(jpeg: bytes, timestamp: float, headers: Mapping[str, str] = _NO_HEADERS) -> bytes:
    """Return `jpeg` as one part, with the boundary that ends it, to be sent in one write.

    Browsers paint a part when they see the boundary after it, so it must not wait for the next picture.

    timestamp: wall-clock seconds since 1970 when the picture was taken, sent as X-Timestamp.
    headers: more of them, in the capitalisation to send; e.g. {"X-Sequence": "7"}.

    Raises ValueError for a header that would break the framing or that FFmpeg could not read.
    """
    own = {
        "Content-Type": "image/jpeg",
        "Content-Length": str(len(jpeg)),
        "X-Timestamp": f"{timestamp:.6f}",
    }
    lines = (_line(name, value) for name, value in (*own.items(), *headers.items()))
    return b"".join((*lines, b"\r\n", jpeg, b"\r\n--frame\r\n"))


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
