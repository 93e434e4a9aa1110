"""`/try`: a person's own pictures and webcam, before the detector and at once."""

from __future__ import annotations

from flask import Blueprint, render_template

from stream_server.web.context import engine
from stream_server.web.pages.colours import css_palette

blueprint = Blueprint("try_it", __name__)


@blueprint.get("/try")
def page() -> str:
    """Show the page; what it does is done by its scripts, over the API."""
    running = engine()
    return render_template(
        "try.html",
        analyst=running.image_analyst,
        threshold_percent=round(100 * running.config.detector.score_threshold),
        colours=css_palette(),
        needs_token=running.accounts.access == "accounts",
    )
