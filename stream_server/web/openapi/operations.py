"""What the OpenAPI document says of each route, besides what the route and its view say of themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel

from stream_server.diagnostics.cameras import CameraInfo, CameraList
from stream_server.diagnostics.status import ServerStatus
from stream_server.images.results import ImageOptions
from stream_server.schemas.detections import DetectionList
from stream_server.web.api.discovery import Discovered, DiscoveryBody
from stream_server.web.api.history import CameraHistory, HistoryQuery
from stream_server.web.api.image_requests import DetectBody
from stream_server.web.api.images import DetectAnswer
from stream_server.web.api.settings import MERGE_PATCH, CameraBody, Finding, SettingsInfo, TestBody
from stream_server.web.api.status import StatusQuery
from stream_server.web.api.video_files import MEDIA_TYPES
from stream_server.web.api.video_info import VideoInfo, VideoList
from stream_server.web.api.video_uploads import PIECE, VideoBody, VideoQuery
from stream_server.web.live.detections import DetectionsQuery, LiveQuery
from stream_server.web.live.images import FramesQuery
from stream_server.web.live.mjpeg import StreamQuery
from stream_server.web.live.push import PushQuery
from stream_server.web.schemas import Health, ProblemDetails, Pushed, Readiness
from stream_server.web.security.signed_links import LinkBody, SignedLink

Content = Mapping[str, type[BaseModel] | None]
"""By media type the type of JSON; None: bytes or text of that kind."""

PROBLEM: Content = {"application/problem+json": ProblemDetails}
JPEG = "image/jpeg"
MJPEG = "multipart/x-mixed-replace"
ANY_BYTES = "application/octet-stream"
FILES: Content = dict.fromkeys((ANY_BYTES, *MEDIA_TYPES.values()))
"""Bytes first: that is what programs take that know none of the others."""
PICTURES: Content = {JPEG: None, "image/png": None, "image/webp": None, "image/bmp": None, ANY_BYTES: None}


@dataclass(frozen=True, slots=True)
class Operation:
    """One route.

    answer: of status `status`; None: there is none, a WebSocket is opened. query: its parameters.
    body: what may be sent. errors: the statuses of problems besides those that every route has.
    others: answers of more statuses. about: the view whose text describes it; default: its own.
    """

    tag: str
    answer: Content | None
    query: type[BaseModel] | None = None
    body: Content | None = None
    errors: tuple[int, ...] = ()
    others: Mapping[int, Content] = field(default_factory=dict)
    about: str | None = None
    status: int = 200


def _json(model: type[BaseModel]) -> Content:
    return {"application/json": model}


OPERATIONS: Mapping[str, Operation] = {
    "status.show": Operation("server", _json(ServerStatus), StatusQuery),
    "api.list_cameras": Operation("cameras", _json(CameraList)),
    "api.show_camera": Operation("cameras", _json(CameraInfo), errors=(404,)),
    "api.show_detections": Operation("cameras", _json(DetectionList), DetectionsQuery, errors=(404,)),
    "history.history": Operation("cameras", _json(CameraHistory), HistoryQuery, errors=(404,)),
    "streaming.stream": Operation("cameras", {MJPEG: None}, StreamQuery, errors=(404, 503)),
    "streaming.snapshot": Operation("cameras", {JPEG: None}, StreamQuery, errors=(404, 503)),
    "live.no_detections": Operation(
        "cameras", None, LiveQuery, errors=(404, 409, 501, 503), about="live.detections"
    ),
    "live.events": Operation(
        "cameras", {"text/event-stream": None}, DetectionsQuery, errors=(404, 409, 501, 503)
    ),
    "wall.no_wall": Operation("cameras", None, errors=(501, 503), about="wall.wall"),
    "push.push": Operation(
        "cameras",
        _json(Pushed),
        PushQuery,
        {JPEG: None, MJPEG: None, "video/x-motion-jpeg": None, ANY_BYTES: None},
        errors=(404, 409, 411, 413, 503),
    ),
    "push.no_push": Operation(
        "cameras", None, PushQuery, errors=(404, 409, 501, 503), about="push.push_messages"
    ),
    "links.make": Operation(
        "cameras",
        _json(SignedLink),
        body=_json(LinkBody),
        errors=(404, 409, 413, 415, 422, 503),
    ),
    "detect.detect": Operation(
        "pictures",
        {**_json(DetectAnswer), JPEG: None},
        ImageOptions,
        {**PICTURES, **_json(DetectBody), "multipart/form-data": DetectBody},
        errors=(406, 413, 415, 422, 503, 504),
    ),
    "frames.no_frames": Operation("pictures", None, FramesQuery, errors=(501, 503), about="frames.frames"),
    "videos.create": Operation(
        "videos",
        _json(VideoInfo),
        VideoQuery,
        {**_json(VideoBody), "video/mp4": None, ANY_BYTES: None},
        errors=(409, 411, 412, 413, 415, 422, 503, 507),
        status=201,
    ),
    "videos.list_videos": Operation("videos", _json(VideoList), errors=(503,)),
    "videos.show": Operation("videos", _json(VideoInfo), errors=(404, 503)),
    "videos.append": Operation(
        "videos", {}, body={PIECE: None}, errors=(404, 409, 411, 412, 415, 503, 507), status=204
    ),
    "videos.remove": Operation("videos", {}, errors=(404, 503), status=204),
    "videos.events": Operation("videos", {"text/event-stream": None}, errors=(404, 501, 503)),
    "videos.result": Operation("videos", FILES, errors=(404, 409, 416, 503), others={206: FILES}),
    "videos.result_file": Operation("videos", FILES, errors=(404, 409, 416, 503), others={206: FILES}),
    "discovery_api.discover": Operation(
        "settings",
        _json(Discovered),
        body=_json(DiscoveryBody),
        errors=(413, 415, 422, 503),
    ),
    "settings_api.show": Operation("settings", _json(SettingsInfo)),
    "settings_api.put_camera": Operation(
        "settings",
        _json(CameraBody),
        body=_json(CameraBody),
        errors=(409, 413, 415, 422, 503),
        others={201: _json(CameraBody)},
    ),
    "settings_api.patch_camera": Operation(
        "settings",
        _json(CameraBody),
        body={MERGE_PATCH: CameraBody, **_json(CameraBody)},
        errors=(404, 409, 413, 415, 422, 503),
    ),
    "settings_api.delete_camera": Operation("settings", {}, errors=(404, 409, 422, 503), status=204),
    "settings_api.test": Operation(
        "settings", _json(Finding), body=_json(TestBody), errors=(413, 415, 422, 503)
    ),
    "health.healthz": Operation("server", _json(Health), others={503: _json(Health)}),
    "health.readyz": Operation("server", _json(Readiness), others={503: _json(Readiness)}),
    "metrics.metrics": Operation("server", {"text/plain": None}),
    "openapi.document": Operation("server", {"application/json": None}),
}
"""By endpoint. What is not for programs, and what is as in other servers, does not stand here."""
