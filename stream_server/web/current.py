"""What a view needs of the application it runs in."""

from __future__ import annotations

from typing import cast

from flask import abort, current_app, url_for

from stream_server.engine import Engine
from stream_server.pipeline import Pipeline

KEY = "stream_server"


def engine() -> Engine:
    """Return the engine behind the current application."""
    return cast(Engine, current_app.extensions[KEY])


def pipeline(camera: str) -> Pipeline:
    """Return a camera's pipeline; answers 404 for an unknown name."""
    found = engine().pipelines.get(camera)
    if found is None:
        abort(404, f"there is no camera {camera!r}; {url_for('api.list_cameras')} lists those there are")
    return found


def first_camera() -> str:
    """Return the name of the first configured camera; answers 404 when there is none."""
    for name in engine().pipelines:
        return name
    abort(404, "no camera is configured")
