"""Frigate's addresses: `/api/CAMERA` and `/api/CAMERA/latest.jpg`, `.png` and `.webp`.

What they do is read in its frigate/api/media.py. Wrong values are clamped (see `compat`).
"""

from __future__ import annotations

from typing import Literal

import cv2
from flask import Blueprint, Response, abort, request, url_for
from pydantic import BaseModel, ConfigDict, Field

from stream_server.media.frames import EncodedFrame
from stream_server.media.jpeg import decode
from stream_server.pipeline import Pipeline
from stream_server.streaming.streams import WIDTHS, Variant
from stream_server.web.compat.queries import clamped
from stream_server.web.context import pipeline
from stream_server.web.live.mjpeg import newest_picture, stream_response

blueprint = Blueprint("frigate", __name__, url_prefix="/api")

STREAM_HEIGHT = 360
PICTURE_QUALITY = 70

Extension = Literal["jpg", "jpeg", "png", "webp"]


class FrigateQuery(BaseModel):
    """What clients may ask of a stream or a picture; the defaults are Frigate's.

    `height` is what newer clients say for `h`.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    fps: float = Field(3, ge=1, le=120)
    height: int | None = Field(None, ge=16, le=4320)
    h: int | None = Field(None, ge=16, le=4320)
    bbox: bool = False
    timestamp: bool = False
    quality: int | None = Field(None, ge=1, le=100)

    @property
    def wanted_height(self) -> int | None:
        """In pixels, None where it was not said."""
        return self.height or self.h

    def variant(self, width: int | None) -> Variant:
        """Return the variant that is asked for, at this width."""
        return Variant(
            overlay="live" if self.bbox or self.timestamp else "none",
            width=width,
            quality=self.quality,
            boxes=self.bbox,
            caption=self.timestamp,
        )


def _query() -> FrigateQuery:
    return clamped(FrigateQuery, request.args.to_dict())


def _watched(name: str) -> Pipeline:
    if name == "v1":
        abort(404, f"the API begins at {url_for('api.list_cameras')}")
    return pipeline(name)


def _width_at(height: int, watched: Pipeline) -> int:
    """Return how wide the camera's picture is at `height`; 16:9 before the first one."""
    own_width, own_height = watched.camera.size_wh
    return max(2, round(height * own_width / own_height if own_height else height * 16 / 9))


@blueprint.get("/<camera>")
def stream(camera: str) -> Response:
    """Stream a camera."""
    watched, query = _watched(camera), _query()
    width = _width_at(query.wanted_height or STREAM_HEIGHT, watched)
    return stream_response(camera, query.variant(width), query.fps)


@blueprint.get("/<camera>/latest.<any(jpg, jpeg, png, webp):extension>")
def latest(camera: str, extension: Extension) -> Response:
    """Return a camera's newest frame; 200 also for the picture that says why there is none."""
    watched, query = _watched(camera), _query()
    content_type = f"image/{extension.replace('jpg', 'jpeg')}"
    if request.method == "HEAD":
        return Response(iter(()), content_type=content_type)
    height = query.wanted_height
    step = _step_above(_width_at(height, watched)) if height else None
    frame = newest_picture(camera, query.variant(step))
    offline = {"X-Frigate-Offline": "true"} if frame.is_message else {}
    height = min(height or frame.size_wh[1], frame.size_wh[1])
    size_wh = frame.size_wh if height == frame.size_wh[1] else (_width_at(height, watched), height)
    body = _converted(frame, extension, size_wh, query.quality or PICTURE_QUALITY)
    return Response(body, headers=offline, content_type=content_type)


def _step_above(width: int) -> int | None:
    """Return the least width that streams have and that is enough, None for the camera's own."""
    return next((step for step in WIDTHS if step >= width), None)


def _converted(frame: EncodedFrame, extension: Extension, size_wh: tuple[int, int], quality: int) -> bytes:
    """Return the frame in another format and size; the very same where it is a JPEG of that size."""
    if extension in ("jpg", "jpeg") and size_wh == frame.size_wh:
        return frame.jpeg
    image = cv2.resize(decode(frame.jpeg), size_wh, interpolation=cv2.INTER_AREA)
    options = {"webp": (cv2.IMWRITE_WEBP_QUALITY, quality), "png": ()}
    jpeg_options = (cv2.IMWRITE_JPEG_QUALITY, quality)
    return cv2.imencode(f".{extension}", image, options.get(extension, jpeg_options))[1].tobytes()
