"""`/embed/<camera>`: a page with nothing but the live picture, and which other sites may show it."""

from __future__ import annotations

from flask import Blueprint, Response, render_template, request

from stream_server.web.arguments import read_query
from stream_server.web.context import engine, pipeline
from stream_server.web.live.mjpeg import StreamQuery
from stream_server.web.security.credentials import IN_ADDRESSES

blueprint = Blueprint("embed", __name__)


@blueprint.get("/embed/<camera>")
def page(camera: str) -> Response:
    """Show one camera, as the query asks (see `StreamQuery`), and nothing else.

    What lets one see the page in its address lets it show the camera too.
    """
    watched = pipeline(camera)
    query = read_query(StreamQuery)
    wishes = query.model_dump(mode="json", exclude_none=True)
    wishes = {key: str(value).lower() for key, value in wishes.items()}
    shown = {key: request.args[key] for key in IN_ADDRESSES if key in request.args}
    html = render_template("embed.html", camera=watched.name, title=watched.title, wishes=wishes | shown)
    return Response(html)


def framing_sites() -> tuple[str, ...]:
    """Return the other sites that may show the current page in a frame: where clicks do no harm."""
    return engine().config.server.embed_origins if request.blueprint == blueprint.name else ()


def share(response: Response) -> None:
    """Let scripts of the sites in `server.embed_origins` read the answer (CORS, fetch.spec.whatwg.org)."""
    allowed = engine().config.server.embed_origins
    origin = request.headers.get("Origin")
    if not allowed:
        return
    response.headers.add("Vary", "Origin")
    if origin is not None and ("*" in allowed or origin in allowed):
        response.headers["Access-Control-Allow-Origin"] = origin
