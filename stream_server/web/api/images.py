"""`POST /api/v1/detect`: pictures in, detections out, or the picture with its boxes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Blueprint, Response, request
from pydantic import BaseModel, Field
from werkzeug.exceptions import NotAcceptable, ServiceUnavailable

from stream_server.drawing.annotate import annotate
from stream_server.images.results import ImageDetections
from stream_server.images.service import ImageDetectionService
from stream_server.media.encode import encode_jpeg
from stream_server.web.api.image_requests import Asked, read_request
from stream_server.web.context import engine

blueprint = Blueprint("detect", __name__, url_prefix="/api/v1")

QUALITY = 90
KINDS = ("application/json", "image/jpeg")
"""That an answer may be, the first where neither is asked for."""


class DetectAnswer(BaseModel):
    """What was found in each picture, in the order in which they were sent."""

    images: list[ImageDetections]
    total_ms: float = Field(description="Milliseconds from the whole request being there to its answer.")


@blueprint.post("/detect")
def detect() -> Response:
    """Find objects in pictures: the body, files of a form, or in JSON as base64, data URLs and addresses."""
    kind = request.accept_mimetypes.best_match(KINDS)
    with admitted() as analyst:
        asked = read_request()
        return _annotated(analyst, asked) if kind == "image/jpeg" else _found(analyst, asked)


@contextmanager
def admitted() -> Iterator[ImageDetectionService]:
    """Let the current request bring pictures to the detector. Raises LimitError; answers 503 without one."""
    analyst = engine().image_analyst
    if analyst is None:
        raise ServiceUnavailable("there is no detector: no camera detects, and api.models names none")
    with engine().image_requests.admit(request.remote_addr or ""):
        yield analyst


def _found(analyst: ImageDetectionService, asked: Asked) -> Response:
    started = time.perf_counter()
    images = list(analyst.analyse(asked.uploads, asked.options))
    total_ms = round(1000 * (time.perf_counter() - started), 2)
    answer = DetectAnswer.model_construct(images=images, total_ms=total_ms)
    return Response(answer.model_dump_json(), content_type="application/json")


def _annotated(analyst: ImageDetectionService, asked: Asked) -> Response:
    if asked.count != 1:
        raise NotAcceptable(f"of {asked.count} pictures the answer is JSON; image/jpeg is for one")
    pending = analyst.submit(next(asked.uploads), asked.options)
    picture = annotate(pending.image, pending.detections(), pending.model.labels)
    return Response(encode_jpeg(picture, QUALITY), content_type="image/jpeg")
