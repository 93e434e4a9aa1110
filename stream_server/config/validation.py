"""What is wrong with data from outside, in one line each: the key, the value got, what would be right.

The data may be anything of any size: each value is cut before it is looked at.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from types import UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError

from stream_server.base import redaction

MAX_ERRORS = 20
MAX_KEY_CHARACTERS = 64
MAX_VALUE_CHARACTERS = 80
MAX_NUMBER_BITS = 128

_SECRET_KEYS = frozenset({"password", "username", "database"})
_RANGE_ERRORS = frozenset({"greater_than", "greater_than_equal", "less_than", "less_than_equal"})
_LENGTH_ERRORS = frozenset({"too_long", "too_short", "string_too_long", "string_too_short"})
_KINDS = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    "finite_number": "a finite number",
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "a section of its own"),
    **dict.fromkeys(("string_type", "string_unicode"), "text"),
    **dict.fromkeys(("tuple_type", "list_type"), "a list"),
}
"""What is right, in the words of those who write configurations, for pydantic's kinds of error."""


def explain_errors(exc: ValidationError, root: type[BaseModel]) -> list[str]:
    """Return one line for each of the errors found in data for the model `root`, free of secrets.

    There are at most `MAX_ERRORS`, and a line that says how many more.
    """
    errors = cast(list[dict[str, Any]], exc.errors(include_url=False))
    lines = [redaction.redact(_explain(error, root)) for error in errors[:MAX_ERRORS]]
    more = len(errors) - len(lines)
    return [*lines, f"and {more} more errors"] if more else lines


def _explain(error: dict[str, Any], root: type[BaseModel]) -> str:
    """Return one line for one of pydantic's errors."""
    location = [_shorten_key(str(part)) for part in error["loc"] if part != "[key]"]
    key = ".".join(location)
    start = f"{key}: " if key else ""
    if error["type"] == "extra_forbidden":
        return f"{start}unknown key{_suggest(location, root)}"
    if error["type"] == "missing":
        return f"{start}is missing"
    got = "" if _SECRET_KEYS & set(location) else f"got {_got(error)}, "
    return f"{start}{got}{_expectation(error, location, root)}"


def _got(error: dict[str, Any]) -> str:
    if error["type"] in _LENGTH_ERRORS and "actual_length" in error["ctx"]:
        return f"{error['ctx']['actual_length'] or 'more'} of them"
    return shorten(error["input"])


def _expectation(error: dict[str, Any], location: list[str], root: type[BaseModel]) -> str:
    """Return what would be right, as our words or pydantic's have it."""
    kind, bounds = _KINDS.get(error["type"]), ""
    if kind or error["type"] in _RANGE_ERRORS:
        model = _model_at(location[:-1], root)
        key = location[-1] if location else ""
        bounds = value_range(model, key) if model and key in model.model_fields else ""
    if kind or bounds:
        return "expected " + ", ".join(filter(None, (kind, bounds)))
    if error["type"] in _LENGTH_ERRORS:
        return f"expected {_length(error)}"
    message = str(error["msg"]).removeprefix("Value error, ")
    for start in ("Input should be ", "Input should "):
        if message.startswith(start):
            return f"expected {message.removeprefix(start)}"
    return message


def _length(error: dict[str, Any]) -> str:
    limits, unit = error["ctx"], " characters" if error["type"].startswith("string") else ""
    if "min_length" in limits:
        return f"at least {limits['min_length']}{unit}"
    return f"at most {limits['max_length']}{unit}" if limits["max_length"] else "none"


def value_range(model: type[BaseModel], name: str) -> str:
    """Return the bounds of a model's field in words, e.g. "0.1 to 120"; empty where it has none."""
    bounds = {
        bound: getattr(item, bound)
        for item in model.model_fields[name].metadata
        for bound in ("ge", "gt", "le", "lt")
        if hasattr(item, bound)
    }
    low = bounds.get("ge", f"more than {bounds['gt']}" if "gt" in bounds else None)
    high = bounds.get("le", bounds.get("lt"))
    if low is None or high is None:
        only_low = f"at least {low}" if "ge" in bounds else str(low or "")
        return only_low if high is None else f"at most {high}"
    return f"{low} to {high}" if "ge" in bounds else f"{low}, up to {high}"


def shorten(value: object) -> str:
    """Return `value` for a message, without what may hold a password: sections, and all before an @."""
    match value:
        case None:
            return "nothing"
        case dict():
            return "a section"
        case list() | tuple() | set():
            return "a list"
        case int() if value.bit_length() > MAX_NUMBER_BITS:
            return "a number of very many digits"  # to write it down takes the square of their number
        case str():
            _, at, after = value.rpartition("@")
            value = f"{redaction.MASK}@{after[:MAX_VALUE_CHARACTERS]}" if at else value[:MAX_VALUE_CHARACTERS]
    text = repr(value)
    return text if len(text) <= MAX_VALUE_CHARACTERS else text[: MAX_VALUE_CHARACTERS - 3] + "..."


def _shorten_key(key: str) -> str:
    short = key if len(key) <= MAX_KEY_CHARACTERS else key[: MAX_KEY_CHARACTERS - 3] + "..."
    return short if short.isprintable() else repr(short)


def _suggest(location: list[str], root: type[BaseModel]) -> str:
    model = _model_at(location[:-1], root)
    if model is None:
        return ""
    known = sorted(model.model_fields)
    near = difflib.get_close_matches(location[-1], known, 1)
    return f"; did you mean {near[0]}?" if near else f"; expected one of {', '.join(known)}"


def _model_at(location: Sequence[str], root: type[BaseModel]) -> type[BaseModel] | None:
    """Return the model that describes the section at `location`, None where there is none."""
    kinds: list[Any] = [root]
    for key in location:
        kinds = [inner for kind in kinds for inner in _inside(kind, key)]
    return next((kind for kind in kinds if _is_model(kind)), None)


def _inside(kind: Any, key: str) -> Iterator[Any]:
    """Yield the types that may stand under `key` of a section, or at a place of a list."""
    if _is_model(kind):
        if key in kind.model_fields:
            yield from _plain(kind.model_fields[key].annotation)
    elif arguments := get_args(kind):
        yield from _plain(arguments[-1] if get_origin(kind) is dict else arguments[0])


def _plain(annotation: Any) -> Iterator[Any]:
    """Yield the types of which a value may be that is annotated so."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _plain(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for member in get_args(annotation):
            yield from _plain(member)
    else:
        yield annotation


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
