"""What the addresses of several other servers share: their queries, taken as they come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from flask import Response, request
from pydantic import BaseModel, ValidationError

from stream_server.streaming.multipart import Framing
from stream_server.streaming.streams import Variant
from stream_server.web.context import pipeline
from stream_server.web.live.mjpeg import StreamQuery, stream_response

Query = TypeVar("Query", bound=BaseModel)


def clamped(model: type[Query], arguments: Mapping[str, str]) -> Query:
    """Return the query in `arguments`, wrong values brought into their range or left out."""
    try:
        return model.model_validate(arguments)
    except ValidationError as exc:
        errors = exc.errors(include_url=False)
    kept: dict[str, object] = dict(arguments)
    for error in errors:
        name, bounds = str(error["loc"][0]), error.get("ctx", {})
        kept[name] = bounds.get("ge", bounds.get("le"))
        if kept[name] is None:
            del kept[name]
    return model.model_validate(kept)


def stream_of(camera: str, framing: Framing, key: str = "") -> Response:
    """Return the stream of a camera as our own parameters ask for it."""
    config, query = pipeline(camera).config, clamped(StreamQuery, request.args.to_dict())
    return stream_response(camera, query.variant(config), query.fps or config.stream.fps, framing, key)


def variant_of(camera: str) -> Variant:
    """Return the variant of a camera that our own parameters ask for."""
    return clamped(StreamQuery, request.args.to_dict()).variant(pipeline(camera).config)
