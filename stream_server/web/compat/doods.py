"""DOODS' addresses: `/detectors`, `/detect` (also as a WebSocket), `/image` and `/stream?detect_request=`.

What they do is read in DOODS 2's api and detectors, and in Home Assistant's integration, which takes any
`error` in an answer for a failure. Confidence is 0 to 100, boxes are 0 to 1, what goes wrong is status 400.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from functools import wraps
from http import HTTPStatus
from typing import Literal

import numpy as np
from flask import Blueprint, Response, request
from pydantic import BaseModel, ConfigDict, Field, model_validator
from werkzeug.exceptions import BadRequest

from detector.detections import Detections
from detector.errors import DetectorBusy, DetectorError
from stream_server.detection.model_labels import named
from stream_server.drawing.annotate import annotate
from stream_server.errors import LimitError, OptionError, StreamServerError
from stream_server.images.results import MOST_DETECTIONS, ImageOptions
from stream_server.images.service import EncodedImage, ImageDetectionService, PendingDetections
from stream_server.media.encode import encode_jpeg
from stream_server.net.guarded_fetch import Fetcher
from stream_server.streaming.streams import Variant
from stream_server.web.api.images import admitted
from stream_server.web.arguments import parse_json, reason_of
from stream_server.web.context import cameras, engine, pipeline
from stream_server.web.live.mjpeg import stream_response
from stream_server.web.request_body import decode_base64, read_json
from stream_server.web.transport import websocket
from stream_server.web.transport.websocket import GOING_AWAY, CloseWith, WebSocket

blueprint = Blueprint("doods", __name__)

QUALITY = 90
POLL_INTERVAL_S = 1.0
DEFAULT = "default"

Id = int | str
"""Of a request or region, given back as it came."""
Percent = Mapping[str, float]
"""Least confidence by label, 0 to 100; `*`: of those that are not named."""


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _leave_out_nulls(cls, data: object) -> object:
        """Take null for what was not said: Go's clients, for which DOODS was written, send it for empty."""
        if not isinstance(data, dict):
            return data
        return {key: value for key, value in data.items() if value is not None}


class Region(_Lenient):
    """A part of the picture, 0 to 1, where objects count. covers: only those wholly inside."""

    id: Id | None = None
    top: float = Field(0, ge=0, le=1)
    left: float = Field(0, ge=0, le=1)
    bottom: float = Field(1, ge=0, le=1)
    right: float = Field(1, ge=0, le=1)
    detect: dict[str, float] = Field(default_factory=dict)
    covers: bool = False

    def holds(self, left: float, top: float, right: float, bottom: float) -> bool:
        """Return whether a box, 0 to 1, is here."""
        if self.covers:
            return self.left <= left and self.top <= top and right <= self.right and bottom <= self.bottom
        return left < self.right and right > self.left and top < self.bottom and bottom > self.top


class DoodsRequest(_Lenient):
    """One picture, and what counts in it. Nothing in `detect` and no regions: all that the detector finds."""

    id: Id | None = None
    detector_name: str = DEFAULT
    data: str = Field("", description="The picture: base64, or an address on one of `api.url_hosts`.")
    preprocess: tuple[str, ...] = Field((), max_length=0, description="None is supported.")
    detect: dict[str, float] = Field(default_factory=dict)
    regions: tuple[Region, ...] = ()
    image: Literal["", "jpg", "jpeg"] | None = Field(None, description="Have the annotated picture as well.")

    @property
    def options(self) -> ImageOptions:
        """What the detector is asked: whatever one of the thresholds lets through."""
        limits = [
            least for part in (self.detect, *(r.detect for r in self.regions)) for least in part.values()
        ]
        if any(not 0 <= least <= 100 for least in limits):
            raise OptionError("detect", "expected a confidence of 0 to 100")
        return ImageOptions(
            score_threshold=min(limits) / 100 if limits else None,
            max_detections=MOST_DETECTIONS if limits else None,
            model=None if self.detector_name == DEFAULT else self.detector_name,
        )

    def region_of(self, label: str, confidence: float, box: tuple[float, float, float, float]) -> Id | None:
        """Return the id of the region for which an object counts, "" for the whole picture, None for none."""
        if not self.detect and not self.regions:
            return ""
        if _is_enough(self.detect, label, confidence):
            return ""
        for region in self.regions:
            if region.holds(*box) and _is_enough(region.detect, label, confidence):
                return "" if region.id is None else region.id
        return None


def _is_enough(least: Percent, label: str, confidence: float) -> bool:
    """Return whether an object is sure enough; a label that is named counts for more than `*`."""
    return confidence >= least.get(label, least.get("*", float("inf")))


class DoodsDetection(BaseModel):
    """One object; the sides are 0 to 1, confidence 0 to 100."""

    region_id: Id | None = None
    top: float
    left: float
    bottom: float
    right: float
    label: str
    confidence: float


class DoodsAnswer(BaseModel):
    """What was found in one picture, or why nothing could be."""

    id: Id | None = None
    image: str | None = None
    detections: list[DoodsDetection] | None = None
    error: str | None = None

    def text(self) -> str:
        """Return it without what is not there."""
        return self.model_dump_json(exclude_none=True)


class DoodsDetector(BaseModel):
    """A model that may be asked for."""

    name: str
    type: str = "stream-server"
    model: str
    labels: list[str]
    width: int = 0
    height: int = 0


class DoodsDetectors(BaseModel):
    """All of them."""

    detectors: list[DoodsDetector]


def _failures_as_doods(view: Callable[[], Response]) -> Callable[[], Response]:
    """Answer what goes wrong as DOODS does; a limit that is reached is still 503."""

    @wraps(view)
    def wrapped() -> Response:
        try:
            return view()
        except (StreamServerError, DetectorError, BadRequest) as exc:
            is_busy = isinstance(exc, (LimitError, DetectorBusy))
            status = HTTPStatus.SERVICE_UNAVAILABLE if is_busy else HTTPStatus.BAD_REQUEST
            headers = {"Retry-After": "5"} if is_busy else {}
            answer = DoodsAnswer(error=reason_of(exc))
            return Response(answer.text(), status, headers, content_type="application/json")

    return wrapped


@blueprint.get("/detectors")
@_failures_as_doods
def detectors() -> Response:
    """List the models, the default one first and also as `default`."""
    with admitted() as analyst:
        known = [analyst.model(name) for name in analyst.models]
    named = [(DEFAULT, known[0]), *((model.name, model) for model in known)]
    found = [
        DoodsDetector(name=name, model=model.name, labels=list(dict.fromkeys(model.labels.values())))
        for name, model in named
    ]
    return Response(DoodsDetectors(detectors=found).model_dump_json(), content_type="application/json")


@blueprint.post("/detect")
@_failures_as_doods
def detect() -> Response:
    """Find objects in a picture."""
    with admitted() as analyst:
        return Response(_answer(analyst, read_json(DoodsRequest)).text(), content_type="application/json")


@blueprint.post("/image")
@_failures_as_doods
def image() -> Response:
    """Return the picture with boxes around what counts."""
    with admitted() as analyst:
        asked = read_json(DoodsRequest)
        pending = _submit(analyst, asked)
        return Response(_drawn(pending, _counting(asked, pending)[0]), content_type="image/jpeg")


@blueprint.get("/detect", websocket=True)
def detect_talk() -> Response:
    """Answer one request after the other over a WebSocket."""
    return websocket.serve(_talk, max_message_bytes=engine().config.api.max_request_bytes)


def _talk(socket: WebSocket) -> None:
    while not engine().is_closing:
        for message in socket.receive(POLL_INTERVAL_S):
            socket.send(_reply(message))
    raise CloseWith(GOING_AWAY, "the server stops")


def _reply(message: str | bytes) -> str:
    asked_id = None
    try:
        with admitted() as analyst:
            asked = parse_json(DoodsRequest, message)
            asked_id = asked.id
            return _answer(analyst, asked).text()
    except (StreamServerError, DetectorError, BadRequest) as exc:
        return DoodsAnswer(id=asked_id, error=reason_of(exc)).text()


def stream_of_request() -> Response | None:
    """Return what `/stream?detect_request=` asks for, None where it asks for nothing.

    `data` names a camera of this server; every analysed frame is shown, with the camera's own thresholds.
    """
    text = request.args.get("detect_request")
    return None if text is None else _stream(text)


def _stream(text: str) -> Response:
    @_failures_as_doods
    def view() -> Response:
        name = parse_json(DoodsRequest, text).data
        if name not in cameras():
            raise OptionError("data", f"got {name[:80]!r}, expected a camera: {', '.join(cameras())}")
        config = pipeline(name).config
        return stream_response(name, Variant(overlay="exact", width=config.stream.width), config.stream.fps)

    return view()


def _upload(asked: DoodsRequest) -> EncodedImage:
    if asked.data.startswith(("http://", "https://")):
        fetcher = Fetcher(engine().config.api, engine().config.server.max_image_bytes)
        return EncodedImage(fetcher.fetch(asked.data, "data"), field="data")
    return EncodedImage(decode_base64(asked.data, "data"), field="data")


def _submit(analyst: ImageDetectionService, asked: DoodsRequest) -> PendingDetections:
    named(asked.detector_name, (DEFAULT, *analyst.models), "detector_name")
    return analyst.submit(_upload(asked), asked.options)


def _answer(analyst: ImageDetectionService, asked: DoodsRequest) -> DoodsAnswer:
    pending = _submit(analyst, asked)
    found, detections = _counting(asked, pending)
    picture = base64.b64encode(_drawn(pending, found)).decode() if asked.image else None
    return DoodsAnswer(id=asked.id, image=picture, detections=detections)


def _drawn(pending: PendingDetections, found: Detections) -> bytes:
    return encode_jpeg(annotate(pending.image, found, pending.model.labels), QUALITY)


def _counting(asked: DoodsRequest, pending: PendingDetections) -> tuple[Detections, list[DoodsDetection]]:
    """Return what counts of what was found, as it is drawn and as DOODS says it."""
    found = pending.detections()
    height, width = pending.image.shape[:2]
    boxes = (found.boxes / np.array((width, height, width, height), np.float32)).clip(0, 1)
    kept, said = [], []
    for index, (sides, score, class_id) in enumerate(zip(boxes, found.scores, found.class_ids, strict=True)):
        left, top, right, bottom = (round(float(side), 5) for side in sides)
        label, confidence = pending.model.labels.get(int(class_id), str(class_id)), 100 * float(score)
        region = asked.region_of(label, confidence, (left, top, right, bottom))
        if region is None:
            continue
        kept.append(index)
        said.append(
            DoodsDetection(
                region_id=region if region != "" else None,
                top=top, left=left, bottom=bottom, right=right, label=label,
                confidence=round(confidence, 2),
            )
        )  # fmt: skip
    return found[np.array(kept, np.int64)], said
