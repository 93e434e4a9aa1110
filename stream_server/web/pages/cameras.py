"""The pages: all cameras, one, and videos."""

from __future__ import annotations

from flask import Blueprint, Response, current_app, render_template

from stream_server.web.compat.mjpg_streamer import mjpg_streamer
from stream_server.web.context import cameras, engine, grant, pipeline
from stream_server.web.pages.colours import css_palette
from stream_server.web.pages.snippets import uses

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
def index() -> str | Response:
    """Show all cameras; to who takes this for an mjpg-streamer, give what it asks for."""
    answer = mjpg_streamer()
    if answer is not None:
        return answer
    return render_template("index.html", cameras=list(cameras().values()))


@blueprint.get("/favicon.ico")
def icon() -> Response:
    """Return the icon for answers that name none: browsers ask for it beside JSON and pictures."""
    return current_app.send_static_file("icon.svg")


@blueprint.get("/cameras/<camera>")
def camera(camera: str) -> str:
    """Show one camera with its state, what is in its picture, its last minutes and its addresses."""
    shown, accounts = pipeline(camera), engine().accounts
    return render_template(
        "camera.html",
        camera=shown,
        colours=css_palette(),
        uses=uses(shown.name, shown.title, needs_token=accounts.access == "accounts"),
        needs_token=accounts.access == "accounts",
        can_link=accounts.can_link,
        can_change=grant().role == "admin" and grant().cameras is None,
        pages=current_app.view_functions,
    )


@blueprint.get("/videos")
def videos() -> str:
    """Show the videos that are annotated in the background, and take more."""
    videos = engine().videos
    may_name = videos.config.media_root is not None and grant().cameras is None
    return render_template(
        "videos.html", may_name=may_name, max_bytes=videos.config.max_bytes, models=videos.models.names
    )
