"""How the server is doing: a page, and the JSON it lives on."""

from __future__ import annotations

from typing import cast

from flask import Blueprint, Response, current_app, render_template
from flask.blueprints import BlueprintSetupState
from pydantic import BaseModel, ConfigDict, Field

from stream_server.diagnostics.status import StatusReporter
from stream_server.web.arguments import read_query
from stream_server.web.context import KEY as ENGINE
from stream_server.web.context import SETTINGS, grant

blueprint = Blueprint("status", __name__)

KEY = "stream_server.watchman"


class StatusQuery(BaseModel):
    """What a URL may ask of the status."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    log_after: int = Field(0, ge=0, description="Only lines of the log with a higher number.")


@blueprint.record_once
def _post_watchman(state: BlueprintSetupState) -> None:
    extensions = state.app.extensions
    extensions[KEY] = StatusReporter(extensions[ENGINE], extensions[SETTINGS])


@blueprint.get("/status")
def page() -> str:
    """Show how the server is doing, what is wrong and what to do about it."""
    return render_template("status.html", is_admin=grant().role == "admin", sees_all=grant().cameras is None)


@blueprint.get("/api/v1/status")
def show() -> Response:
    """Return how the server, its cameras and detectors are doing, what is wrong and what to do about it.

    Each gets what may be known to who asks: of cameras that must not be seen, nothing.
    """
    query = read_query(StatusQuery)
    watchman = cast(StatusReporter, current_app.extensions[KEY])
    answer = watchman.report(grant(), query.log_after)
    return Response(answer.model_dump_json(), content_type="application/json")
