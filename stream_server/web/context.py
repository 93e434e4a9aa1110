"""What a view needs of the application it runs in."""

from __future__ import annotations

from typing import cast

from flask import abort, current_app, g, url_for

from stream_server.accounts.grants import NOBODY, Grant, Lease
from stream_server.engine import Engine
from stream_server.pipeline import Pipeline
from stream_server.settings.live import LiveSettings

KEY = "stream_server"
SETTINGS = "stream_server.settings"


def engine() -> Engine:
    """Return the engine behind the current application."""
    return cast(Engine, current_app.extensions[KEY])


def settings() -> LiveSettings:
    """Return what the current application's engine runs by."""
    return cast(LiveSettings, current_app.extensions[SETTINGS])


def grant() -> Grant:
    """Return what the current request may do; `access.check_access` has found it out."""
    found: Grant = g.get("grant", NOBODY)
    return found


def lease() -> Lease:
    """Return the current request's grant for something that may outlast it."""
    return engine().accounts.hold(grant())


def cameras() -> dict[str, Pipeline]:
    """Return the cameras that the current request may see; for it there are no others."""
    allowed = grant()
    return {name: found for name, found in engine().pipelines.items() if allowed.may_see(name)}


def pipeline(camera: str) -> Pipeline:
    """Return a camera's pipeline; answers 404 for a name that is unknown, or of one not to be seen."""
    found = cameras().get(camera)
    if found is None:
        abort(404, f"there is no camera {camera!r}; {url_for('api.list_cameras')} lists those there are")
    return found


def first_camera() -> str:
    """Return the name of the first configured camera; answers 404 when there is none."""
    for name in cameras():
        return name
    abort(404, "no camera is configured")
