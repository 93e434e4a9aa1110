"""Whether the process lives, and whether it does its whole job."""

from __future__ import annotations

from flask import Blueprint

from stream_server.diagnostics.readiness import readiness
from stream_server.web.context import engine, grant

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> tuple[dict[str, object], int]:
    """Answer 200 while the threads that carry frames run, 503 when restarting the process would help."""
    is_alive = engine().is_alive
    return {"status": "ok" if is_alive else "broken"}, 200 if is_alive else 503


@blueprint.get("/readyz")
def readyz() -> tuple[dict[str, object], int]:
    """Answer 200 when the detector works and as many cameras as `server.ready_cameras` asks for, else 503.

    What does not work is said to those who may see all cameras.
    """
    is_ready, troubles = readiness(engine())
    status = {"status": "ready" if is_ready else "not ready"}
    told = {"troubles": troubles} if grant().cameras is None else {}
    return {**status, **told}, 200 if is_ready else 503
