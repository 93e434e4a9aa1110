"""The addresses of tutorials and of mjpg-streamer, so that what was set up for them works here.

Our own parameters work there too. As in the originals, a wrong value does not cost the picture: it is taken
for the nearest that is right or, where there is none, for not given.
"""

from __future__ import annotations

import re

from flask import Blueprint, Response, abort, request

from stream_server.streaming.multipart import CANONICAL, Framing
from stream_server.web.compat.queries import stream_of, variant_of
from stream_server.web.context import cameras, first_camera
from stream_server.web.live.mjpeg import snapshot_response

blueprint = Blueprint("compat", __name__)


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
