"""The body of a request: how much of it is read, and as what."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from flask import request
from pydantic import BaseModel
from werkzeug.exceptions import BadRequest, ClientDisconnected, RequestEntityTooLarge

from stream_server.errors import ImageError, ImageTooLarge
from stream_server.web.arguments import parse_json
from stream_server.web.context import engine

_BLANKS = b" \t\r\n\v\f"
_SAFE_TO_PLAIN = bytes.maketrans(b"-_", b"+/")

Body = TypeVar("Body", bound=BaseModel)


@contextmanager
def bounded_body(most: int, key: str | None = None) -> Iterator[None]:
    """Let the current request's body be read, of at most so many bytes.

    key: the setting that says how many, if one does.

    Raises ImageTooLarge naming both, BadRequest for a body that is cut off.
    """
    request.max_content_length = most
    if (request.content_length or 0) > most:
        raise _too_long(most, key)
    try:
        yield
    except RequestEntityTooLarge:
        raise _too_long(most, key) from None
    except ClientDisconnected as exc:
        raise BadRequest("the body ends before its Content-Length") from exc


def read_json(model: type[Body]) -> Body:
    """Return the current request's body, JSON whatever its Content-Type says.

    Raises OptionError naming the field that is wrong, BadRequest for what is no JSON, ImageTooLarge.
    """
    with bounded_body(engine().config.api.max_request_bytes, "api.max_request_bytes"):
        return parse_json(model, read_all())


def read_all() -> bytes:
    """Return the current request's whole body. Raises RequestEntityTooLarge beyond what may be read."""
    data = request.get_data(cache=False)
    check_end()
    return data


def check_end() -> None:
    """Raise RequestEntityTooLarge for a body of unknown length of which Werkzeug gave us the start alone."""
    if request.content_length is None:
        request.stream.read(1)


def _too_long(most: int, key: str | None) -> ImageTooLarge:
    limit = f"{most} bytes ({key})" if key else f"{most} bytes"
    error = ImageTooLarge(f"the request is too long, at most {limit} are taken", most)
    error.field = "body"
    return error


def decode_base64(text: str, field: str) -> bytes:
    """Return the bytes that base64, or a data URL (RFC 2397), stands for.

    Of base64 (RFC 4648) both alphabets are taken, with lines or without, and without the `=` at its end.

    Raises ImageTooLarge before it is decoded, ImageError for what is neither.
    """
    if text[:64].lstrip()[:5].lower() == "data:":
        head, comma, text = text.partition(",")
        if not comma or not head.lower().rstrip().endswith(";base64"):
            raise _at(field, ImageError("is a data URL without base64"))
    most = engine().config.server.max_image_bytes
    try:
        digits = text.encode("ascii").translate(_SAFE_TO_PLAIN, _BLANKS).rstrip(b"=")
        if len(digits) * 3 // 4 > most:
            raise _at(field, ImageTooLarge(f"is longer than {most} bytes (server.max_image_bytes)", most))
        return base64.b64decode(digits + b"=" * (-len(digits) % 4), validate=True)
    except ValueError:
        raise _at(field, ImageError("is neither base64 nor a data URL")) from None


def _at(field: str, error: ImageError) -> ImageError:
    error.field = field
    return error
