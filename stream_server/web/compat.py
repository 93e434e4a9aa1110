"""The addresses of tutorials and of mjpg-streamer, so that what was set up for them works here.

Our own parameters work there too. As in the originals, a wrong value does not cost the picture: it is taken
for the nearest that is right or, where there is none, for not given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

from flask import Blueprint, Response, abort, request
from pydantic import BaseModel, ValidationError

from stream_server.streaming.multipart import CANONICAL, Framing
from stream_server.streaming.streams import Variant
from stream_server.web.current import cameras, first_camera, pipeline
from stream_server.web.streaming import StreamQuery, snapshot_response, stream_response

blueprint = Blueprint("compat", __name__)

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


@blueprint.get("/video_feed")
def video_feed() -> Response:
    """Stream the first camera; the address that tutorials use."""
    return stream_of(first_camera(), CANONICAL)


BOUNDARY = "boundarydonotcross"
"""mjpg-streamer's, and uStreamer's after it."""

_ACTION = re.compile(r"(stream|snapshot)(?:_(\d{1,3}))?")


def mjpg_streamer() -> Response | None:
    """Return what `/?action=` asks for; None where it asks for neither a stream nor a snapshot.

    As in the original (plugins/output_http/httpd.c) cameras are counted from 0, and nothing after that is
    looked at: some clients append `?` and the time.
    """
    asked = _ACTION.match(request.args.get("action", ""))
    if asked is None:
        return None
    camera = _camera_at(int(asked[2] or 0))
    if asked[1] == "stream":
        return stream_of(camera, Framing(BOUNDARY))
    return snapshot_response(camera, variant_of(camera))


def _camera_at(index: int) -> str:
    names = list(cameras())
    if index >= len(names):
        abort(404, f"there is no camera number {index}; there are {len(names)}, counted from 0")
    return names[index]
