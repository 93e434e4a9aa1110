"""A camera's detections as they are found: `/api/v1/cameras/<camera>/ws`, and `…/events` for `EventSource`.

Both send each analysed frame as the JSON of `/api/v1/cameras/<camera>/detections`; the events (HTML Standard,
section 9.2) under the name `detections`, with the frame's number as `id`. With `?jpeg=true` a WebSocket sends
after each text the frame itself, nothing drawn on it, as one binary message. With `?tracks=true` both, and
that address, tell what is followed, too.

Nothing is queued: who is slow gets the newest next, and sees by the numbers what was left out.
"""

from __future__ import annotations

import logging
import time

from flask import Blueprint, Response, abort, request
from pydantic import BaseModel, ConfigDict, Field

from stream_server.accounts.grants import Lease
from stream_server.detection.camera_detector import FrameDetections
from stream_server.engine import Engine
from stream_server.errors import EncodeError, ImageError
from stream_server.pipeline import Pipeline
from stream_server.schemas.detections import DetectionList
from stream_server.streaming.fanout import POLL_INTERVAL_S
from stream_server.streaming.streams import Variant
from stream_server.web.arguments import read_query
from stream_server.web.context import engine, lease, pipeline
from stream_server.web.transport import websocket
from stream_server.web.transport.event_stream import HEARTBEAT_S, EventStream
from stream_server.web.transport.socket_takeover import Finished, long_request_slot, take_socket
from stream_server.web.transport.websocket import GOING_AWAY, CloseWith, WebSocket

log = logging.getLogger(__name__)
blueprint = Blueprint("live", __name__, url_prefix="/api/v1/cameras/<camera>")


class DetectionsQuery(BaseModel):
    """What a URL may ask of what tells a camera's detections."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    tracks: bool = Field(
        False, description="Tell what is followed, too, with its speed: enough to draw boxes on every frame."
    )


class LiveQuery(DetectionsQuery):
    """What a URL may ask of the WebSocket."""

    jpeg: bool = Field(False, description="Send each frame too, as a JPEG.")
    width: int | None = Field(None, ge=16, le=7680, description="Its width in pixels, at most the camera's.")
    quality: int | None = Field(None, ge=1, le=100, description="Its quality.")


@blueprint.get("/ws", websocket=True)
def detections(camera: str) -> Response:
    """Send what is found in each analysed frame, and the frame too if asked to, over a WebSocket."""
    running, watched = engine(), _detecting(camera)
    query = read_query(LiveQuery)

    def talk(opened: WebSocket) -> None:
        _DetectionSession(running, watched, opened, query).run()

    return websocket.serve(talk)


@blueprint.get("/ws")
def no_detections(camera: str) -> Response:
    """Say what is expected here."""
    _detecting(camera)
    abort(400, "expected a WebSocket; /events sends the same as server-sent events")


@blueprint.get("/events")
def events(camera: str) -> Response:
    """Send what is found in each analysed frame as server-sent events."""
    running, watched, held = engine(), _detecting(camera), lease()
    query = read_query(DetectionsQuery)
    if request.method == "HEAD":
        return Response(content_type="text/event-stream")
    websocket.check_origin()
    with long_request_slot(), EventStream(take_socket(), request.headers.get("Origin")) as opened:
        try:
            opened.answer()
            _send_events(running, watched, opened, held, tracks=query.tracks)
        except OSError as exc:
            log.debug("a reader of events left: %s", exc)
    return Finished()


def _detecting(camera: str) -> Pipeline:
    """Return the camera's pipeline; answers 409 where nothing is ever found."""
    watched = pipeline(camera)
    if not watched.detects:
        abort(409, "nothing is looked for in this camera's frames (detect.enabled, detector.workers)")
    return watched


class _Follower:
    """Hands out each analysis of a camera once, the newest only."""

    def __init__(self, watched: Pipeline) -> None:
        self._watched = watched
        self._shown: FrameDetections | None = watched.analyses.item  # old news: what comes next is sent

    def next(self) -> FrameDetections | None:
        """Return the newest analysis unless it was handed out already."""
        newest = self._watched.analyses.item
        if newest is self._shown:
            return None
        self._shown = newest
        return newest

    @property
    def has_ended(self) -> bool:
        """Whether nothing will come any more."""
        return self._watched.analyses.is_closed or self._watched.camera.state == "ended"


class _DetectionSession:
    """One client's WebSocket and the camera it hears of; used by one thread."""

    def __init__(self, running: Engine, watched: Pipeline, opened: WebSocket, query: LiveQuery) -> None:
        self._engine = running
        self._watched = watched
        self._socket = opened
        self._wants_jpeg = query.jpeg
        self._wants_tracks = query.tracks
        ours = watched.config.stream
        self._as_sent = query.width is None and query.quality is None
        self._variant = Variant(width=query.width, quality=query.quality or ours.quality).snapped()

    def run(self) -> None:
        """Send what is found until the client leaves or the server or the camera ends.

        Raises WebSocketClosed or Refusal, never returns.
        """
        follower = _Follower(self._watched)
        with self._watched.analyses.heard_by(self._socket.wake):
            while not self._engine.is_closing:
                self._socket.receive(POLL_INTERVAL_S)
                has_ended = follower.has_ended  # before looking: the last one is sent
                if self._socket.is_idle and (analysis := follower.next()):
                    self._send(analysis)
                if has_ended and not self._engine.is_closing:
                    raise CloseWith(GOING_AWAY, "the camera has ended")
        raise CloseWith(GOING_AWAY, "the server ends")

    def _send(self, analysis: FrameDetections) -> None:
        try:
            jpeg = self._jpeg(analysis) if self._wants_jpeg else None
        except (ImageError, EncodeError) as exc:
            log.debug("camera %s: a frame was not sent: %s", self._watched.name, exc)
            return
        found = DetectionList.of(
            self._watched.name, self._watched.labels, analysis, tracks=self._wants_tracks
        )
        self._socket.send(found.model_dump_json())
        if jpeg is not None:
            self._socket.send(jpeg)

    def _jpeg(self, analysis: FrameDetections) -> bytes:
        own = analysis.frame.picture.jpeg
        if own is not None and self._as_sent:
            return own
        assert self._variant.quality is not None
        return analysis.jpeg(self._variant.width, self._variant.quality)


def _send_events(
    running: Engine, watched: Pipeline, opened: EventStream, held: Lease, *, tracks: bool = False
) -> None:
    """Send what is found until the reader leaves or may read no more, or server or camera end.

    Raises OSError when the reader leaves.
    """
    follower, sent_at = _Follower(watched), time.monotonic()
    with watched.analyses.heard_by(opened.wake):
        while not (running.is_closing or held.is_over or follower.has_ended):
            opened.wait(POLL_INTERVAL_S)
            if analysis := follower.next():
                found = DetectionList.of(watched.name, watched.labels, analysis, tracks=tracks)
                opened.send("detections", str(found.sequence), found.model_dump_json())
                sent_at = time.monotonic()
            elif time.monotonic() - sent_at > HEARTBEAT_S:
                opened.send_heartbeat()
                sent_at = time.monotonic()
