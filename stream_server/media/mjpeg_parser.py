"""Finds the JPEGs in what HTTP cameras send as a stream."""

from __future__ import annotations

import re
from collections.abc import Callable

from stream_server.errors import ImageError
from stream_server.media.jpeg import EOI, EOI_MARKER, SOI, SOS_MARKER, segment_at

MAX_HEADER_BYTES = 8 * 1024
"""What stands between two pictures and is longer is thrown away unread."""
MAX_PART_BYTES = 10 * 1024 * 1024
"""A picture that is longer is thrown away."""

_START = SOI + b"\xff"
_CONTENT_LENGTH = re.compile(rb"^content-length[ \t]*:[ \t]*(\d{1,9})\s*$", re.IGNORECASE | re.MULTILINE)
_LINE_END = re.compile(rb"\r?\n\Z")
# Within entropy-coded data 0xFF is followed by 0 or a restart marker only (T.81, B.1.1.5). An expression,
# because it takes 43 µs for 124 kB where bytes.find takes 98.
_END_OR_START = re.compile(rb"\xff(?:\xd9|\xd8\xff)")
_BLANK = b"- \t\r\n"


class MjpegParser:
    """Takes the body of a multipart answer in pieces of any size and gives the JPEGs in it, untouched.

    Cameras break RFC 2046 in every way: no or wrong lengths, bare line feeds, boundaries other than announced
    or none at all, noise between parts. So a JPEG's own structure (ITU-T T.81, annex B) decides where it
    begins and ends. A part's length saves that search once it proved right. Where the end marker is missing,
    the boundary ends the JPEG, and the marker is put back.

    Holds `MAX_PART_BYTES` and one piece at most; loops over no bytes.
    """

    def __init__(self, boundary: str | None = None) -> None:
        """boundary: as the Content-Type names it, with or without dashes and quotes."""
        #: Parts that were no whole JPEG of a bearable size.
        self.rejected = 0
        token = (boundary or "").strip("\"'").strip("-").encode("latin-1", "replace")
        self._boundary = re.compile(rb"(?:^|\n)(-*" + re.escape(token) + rb")(?=[-\s])") if token else None
        self._delimiter = b""  # the boundary as it was seen on the wire
        self._tail_bytes = len(token) + 128  # at the buffer's end: may be the beginning of a boundary
        self._buffer = bytearray()
        self._at = 0  # what lies before was searched already
        self._step: Callable[[list[bytes]], bool] = self._find_start
        self._in_part = False
        self._length = 0  # that the part's header claims, 0 for none
        self._have_ended = False  # whether a JPEG had its end marker
        self._are_endless = False  # whether JPEGs without, parted by nothing, are this camera's way
        self._lengths_are_right: bool | None = None  # not known before the first picture

    def feed(self, data: bytes) -> list[bytes]:
        """Return the JPEGs that `data` completes, in order; never raises."""
        self._buffer += data
        jpegs: list[bytes] = []
        while self._step(jpegs):
            pass
        return jpegs

    # The steps: each returns whether it came further, False when it needs more data.

    def _find_start(self, _: list[bytes]) -> bool:
        start = self._buffer.find(_START, self._at)
        if self._pass_boundary(start if start >= 0 else len(self._buffer)):
            return True
        if start < 0:
            self._at = max(self._at, len(self._buffer) - len(_START) + 1)
            if len(self._buffer) > MAX_HEADER_BYTES:
                self._discard(len(self._buffer) - self._tail_bytes)
                self._at = self._tail_bytes - len(_START) + 1
            return False
        self._length = self._claimed_length(bytes(self._buffer[:start]))
        self._discard(start)
        self._at = len(SOI)
        self._step = self._take_length if self._length and self._lengths_are_right else self._find_scan
        return True

    def _take_length(self, jpegs: list[bytes]) -> bool:
        if len(self._buffer) < self._length:
            return False
        if self._buffer.endswith(EOI, 0, self._length):
            self._take(self._length, jpegs)
        else:
            self._step = self._find_scan
        return True

    def _find_scan(self, _: list[bytes]) -> bool:
        try:
            while segment := segment_at(self._buffer, self._at):
                marker, _payload, self._at = segment
                if marker == EOI_MARKER:
                    return self._reject(self._at)
                if marker == SOS_MARKER:
                    self._step = self._find_end
                    return True
        except ImageError:
            return self._reject(len(SOI))
        return self._reject_if_too_long()

    def _find_end(self, jpegs: list[bytes]) -> bool:
        marker = _END_OR_START.search(self._buffer, self._at)
        if marker is None:
            self._at = max(self._at, len(self._buffer) - len(_START) + 1)
            return self._reject_if_too_long()
        if self._buffer.startswith(EOI, marker.start()):
            self._have_ended = True
            self._take(marker.end(), jpegs)
        else:
            self._end_before(marker.start(), jpegs)
        return True

    def _end_before(self, start: int, jpegs: list[bytes]) -> None:
        """End a JPEG that has no end marker, now that the next one is seen to start."""
        cut = self._boundary_before(start)
        if cut < 0 and not self._are_endless:
            self._are_endless = not self._have_ended  # the first may have broken off
            self._reject(start)
            return
        cut = start if cut < 0 else cut
        line_end = _LINE_END.search(self._buffer, cut - 2, cut)
        self._take(line_end.start() if line_end else cut, jpegs)
        jpegs[-1] += EOI  # clients that look for it, and OpenCV, take no JPEG without

    def _boundary_before(self, start: int) -> int:
        """Return where the boundary is, or a line like one where none was announced; -1: nowhere."""
        if self._delimiter:
            cut = self._buffer.find(self._delimiter, 0, start)
            return cut + self._delimiter.startswith(b"\n") if cut >= 0 else -1
        cut = self._buffer.rfind(b"\n--", max(0, start - MAX_HEADER_BYTES), start)
        return cut + 1 if cut >= 0 else -1

    def _pass_boundary(self, before: int) -> bool:
        """Drop all up to a boundary ahead of `before`; a part that had no JPEG counts as rejected."""
        if self._boundary is None:
            return False
        match = self._boundary.search(self._buffer, max(0, self._at - self._tail_bytes), before)
        if match is None:
            return False
        self._learn_delimiter(match[1])
        begin, end = match.span(1)
        self.rejected += self._in_part and bool(self._buffer[:begin].strip(_BLANK))
        self._in_part = True
        self._discard(end)
        return True

    def _learn_delimiter(self, seen: bytes) -> None:
        # A short one might occur within a picture; behind a line feed that is unlikely enough.
        is_distinct = seen.startswith(b"--") and len(seen) >= 6
        self._delimiter = seen if is_distinct else b"\n" + seen

    def _claimed_length(self, header: bytes) -> int:
        match = _CONTENT_LENGTH.search(header) if self._lengths_are_right is not False else None
        length = int(match[1]) if match else 0
        return length if length <= MAX_PART_BYTES else 0

    def _take(self, size: int, jpegs: list[bytes]) -> None:
        if self._length:
            self._lengths_are_right = size == self._length
        with memoryview(self._buffer) as view:
            jpegs.append(view[:size].tobytes())
        self._discard(size)
        self._in_part = False
        self._step = self._find_start

    def _reject(self, size: int) -> bool:
        self.rejected += 1
        self._discard(size)
        self._in_part = False
        self._step = self._find_start
        return True

    def _reject_if_too_long(self) -> bool:
        too_long = len(self._buffer) > MAX_PART_BYTES
        return too_long and self._reject(len(self._buffer) - self._tail_bytes)

    def _discard(self, size: int) -> None:
        del self._buffer[:size]
        self._at = 0
