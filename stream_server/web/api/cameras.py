"""The JSON API about cameras."""

from __future__ import annotations

from flask import Blueprint, Response
from pydantic import BaseModel

from stream_server.diagnostics.cameras import CameraInfo, CameraList
from stream_server.schemas.detections import DetectionList
from stream_server.web.arguments import read_query
from stream_server.web.context import cameras, pipeline
from stream_server.web.live.detections import DetectionsQuery

blueprint = Blueprint("api", __name__, url_prefix="/api/v1")


def _json(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(), content_type="application/json")


@blueprint.get("/cameras")
def list_cameras() -> Response:
    """Return all cameras and how they are doing."""
    infos = [CameraInfo.of(pipeline) for pipeline in cameras().values()]
    return _json(CameraList(cameras=infos))


@blueprint.get("/cameras/<camera>")
def show_camera(camera: str) -> Response:
    """Return one camera and how it is doing."""
    return _json(CameraInfo.of(pipeline(camera)))


@blueprint.get("/cameras/<camera>/detections")
def show_detections(camera: str) -> Response:
    """Return what was found in the camera's newest analysed frame."""
    query = read_query(DetectionsQuery)
    watched = pipeline(camera)
    return _json(DetectionList.of(watched.name, watched.labels, watched.analysis, tracks=query.tracks))
