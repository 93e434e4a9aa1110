"""The parts of a form (RFC 7578), read as they come: its files, and its fields of text.

Werkzeug splits the body. Its own limit of memory counts whatever waits in its buffer, the rest of a file too,
and what has no file name it makes into text; so the parts are put together here.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from flask import request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from stream_server.errors import ImageTooLarge

READ_BYTES = 64 * 1024
MAX_BETWEEN_BYTES = 2 * READ_BYTES
"""What waits for its end and belongs to no part: headers of a part, and what stands before the first."""
MAX_FIELD_BYTES = 64 * 1024
"""Of a field that is text."""


@dataclass(frozen=True, slots=True)
class Part:
    """name: of the field. filename: None where none was sent, as curl does for `-F 'image=<photo.jpg'`."""

    name: str
    filename: str | None
    data: bytes

    @property
    def text(self) -> str | None:
        """What it says; None for a file, and for bytes that are no text."""
        if self.filename is not None or b"\0" in self.data:
            return None
        try:
            return self.data.decode()
        except UnicodeDecodeError:
            return None


class _Decoder(MultipartDecoder):
    """Werkzeug's, which gives up at the first file name that is not UTF-8."""

    def _parse_headers(self, data: bytes | bytearray) -> Headers:
        return super()._parse_headers(data.decode(errors="replace").encode())


def read_parts(most: int, texts: Collection[str]) -> list[Part]:
    """Return the parts of the current request, a form; a file that nobody chose in a browser is left out.

    most: parts that are taken. texts: fields that are text, and short.

    Raises ImageTooLarge naming what is too long, BadRequest for a form that is broken or cut off, and what
    reading the request raises.
    """
    decoder = _Decoder(_boundary(), MAX_BETWEEN_BYTES)
    parts: list[Part] = []
    name, filename, data = "", None, bytearray()
    while not isinstance(event := _next_event(decoder), Epilogue):
        if isinstance(event, NeedData):
            _feed(decoder, request.stream.read(READ_BYTES))
        elif isinstance(event, (Field, File)):
            name, filename, data = event.name or "", getattr(event, "filename", None), bytearray()
            if len(parts) >= most:
                raise _too_long("body", f"the form has more than {most} parts", most)
        elif isinstance(event, Data):
            data += event.data
            if name in texts and len(data) > MAX_FIELD_BYTES:
                raise _too_long(name, f"this field has at most {MAX_FIELD_BYTES} bytes", MAX_FIELD_BYTES)
            if not event.more_data and (data or filename != ""):
                parts.append(Part(name, filename, bytes(data)))
    return parts


def _boundary() -> bytes:
    boundary = request.mimetype_params.get("boundary", "")
    if not (boundary and boundary.isascii()):
        raise BadRequest("the form's Content-Type does not say the boundary between its parts")
    return boundary.encode()


def _feed(decoder: MultipartDecoder, data: bytes) -> None:
    try:
        decoder.receive_data(data or None)
    except RequestEntityTooLarge:
        reason = f"a part's headers, or what stands between two, have at most {READ_BYTES} bytes"
        raise _too_long("form", reason, READ_BYTES) from None


def _next_event(decoder: MultipartDecoder) -> object:
    try:
        return decoder.next_event()
    except ValueError:
        what = "is cut off" if decoder.complete else "has a part without a Content-Disposition"
        raise BadRequest(f"the form {what}") from None


def _too_long(field: str, reason: str, limit: int) -> ImageTooLarge:
    error = ImageTooLarge(reason, limit)
    error.field = field
    return error
