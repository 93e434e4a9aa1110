"""What clients say, in a query or as JSON: checked, and what is wrong with it told in one line."""

from __future__ import annotations

import codecs
from typing import TypeVar

from flask import request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import BadRequest

from stream_server.config.validation import explain_errors
from stream_server.errors import OptionError

OUR_PARAMETERS = frozenset({"token", "signature"})
"""Of a query, that say who asks, not what."""
MAX_VALUES = 10_000
"""Of JSON; to explain what is wrong with each of two million takes ten seconds and 2 GB."""

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

Model = TypeVar("Model", bound=BaseModel)


def query() -> dict[str, str]:
    """Return what the current request's query asks, the first of each name."""
    return {name: text for name, text in request.args.items() if name not in OUR_PARAMETERS}


def read_query(model: type[Model]) -> Model:
    """Return what the current request's query asks; answers 400 naming all that is wrong with it."""
    try:
        return model.model_validate(query())
    except ValidationError as exc:
        raise BadRequest("; ".join(explain_errors(exc, model))) from None


def parse_json(model: type[Model], text: str | bytes) -> Model:
    """Return what JSON says; a byte-order mark before it is skipped, as RFC 8259, section 8.1, allows.

    Raises OptionError naming the field that is wrong, BadRequest for what is no JSON, or far too much of it.
    """
    text = _plain(text)
    if text.count("," if isinstance(text, str) else b",") > MAX_VALUES:  # type: ignore[arg-type]
        raise BadRequest(f"the JSON has too many values, expected at most {MAX_VALUES}")
    try:
        return model.model_validate_json(text)
    except ValidationError as exc:
        raise explained(exc, model) from None


def explained(error: ValidationError, model: type[BaseModel]) -> BadRequest | OptionError:
    """Return what to raise for data that is not what `model` describes."""
    first = error.errors(include_url=False)[0]
    if first["type"] == "json_invalid":
        return BadRequest(f"it is no JSON: {first['msg'].removeprefix('Invalid JSON: ')}")
    line = explain_errors(error, model)[0]
    if not first["loc"]:
        return OptionError("body", line)
    field, _, reason = line.partition(": ")
    return OptionError(field, reason)


def reason_of(error: Exception) -> str:
    """Return what an error says, for clients to whom it is not told by a status."""
    return (error.description or "") if isinstance(error, BadRequest) else str(error)


def _plain(text: str | bytes) -> str | bytes:
    if isinstance(text, str):
        return text.removeprefix("\ufeff")
    if text.startswith(_UTF16):
        return text.decode("utf-16", errors="replace")
    return text.removeprefix(codecs.BOM_UTF8)
