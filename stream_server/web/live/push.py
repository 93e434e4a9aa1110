"""`/api/v1/cameras/<camera>/push`: where the pictures of a camera with `source: push:` are sent to.

By `POST`: one JPEG; or an endless body of them, multipart (`multipart/x-mixed-replace`, as `ffmpeg -f mpjpeg`
sends it) or one JPEG after the other, in chunks. What the body is, its bytes tell. Or over a WebSocket, where
each binary message is a JPEG; `{"pictures": 12, "rejected": 0}` says how many were taken and how many were
none that can be used, whenever the client has read the one before.

One at a time sends to a camera. Another one is answered 409, or takes over with `?takeover=true`: who comes
back after its network was lost, while its old connection is still believed to live.
"""

from __future__ import annotations

import logging
import time
from http import HTTPStatus

from flask import Blueprint, Response, abort, json, request
from pydantic import BaseModel, ConfigDict, Field
from wsproto.frame_protocol import CloseReason

from stream_server.engine import Engine
from stream_server.errors import ImageError, SenderThere
from stream_server.media.jpeg import SOI, picture_of
from stream_server.media.mjpeg_parser import MAX_PART_BYTES, MjpegParser
from stream_server.sources.push import Inbox, Sender
from stream_server.streaming.fanout import POLL_INTERVAL_S
from stream_server.web.arguments import read_query
from stream_server.web.context import engine, lease, pipeline
from stream_server.web.schemas import Pushed
from stream_server.web.transport import websocket
from stream_server.web.transport.endless_body import BodyLost, EndlessBody
from stream_server.web.transport.socket_takeover import long_request_slot
from stream_server.web.transport.websocket import GOING_AWAY, REFUSED, CloseWith, WebSocket

log = logging.getLogger(__name__)
blueprint = Blueprint("push", __name__, url_prefix="/api/v1/cameras/<camera>")

MAX_PICTURE_BYTES = MAX_PART_BYTES


class PushQuery(BaseModel):
    """What a URL may say about who sends."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    takeover: bool = Field(False, description="Take the place of who sends already, rather than be refused.")


@blueprint.post("/push")
def push(camera: str) -> Response:
    """Take one JPEG, or an endless body of them, as the camera's newest pictures."""
    inbox, query = _inbox(camera), _query()
    if request.content_length is None and "chunked" not in request.headers.get("Transfer-Encoding", ""):
        abort(HTTPStatus.LENGTH_REQUIRED, "expected a Content-Length, or Transfer-Encoding: chunked")
    if request.content_length is not None and request.content_length <= MAX_PICTURE_BYTES:
        return _take_whole(camera, inbox, query)
    if request.mimetype in ("image/jpeg", "image/jpg"):
        abort(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a picture has {MAX_PICTURE_BYTES} bytes at most")
    with long_request_slot():
        return _take_endless(camera, inbox, query)


@blueprint.get("/push", websocket=True)
def push_messages(camera: str) -> Response:
    """Take each binary message, a JPEG, as the camera's newest picture."""
    running = engine()
    with _admitted(_inbox(camera), _query()) as sender:

        def talk(opened: WebSocket) -> None:
            _PushSession(running, opened, sender).run()

        return websocket.serve(talk, MAX_PICTURE_BYTES, only_own_pages=True)


@blueprint.get("/push")
def no_push(camera: str) -> Response:
    """Say what is expected here."""
    _inbox(camera)
    abort(HTTPStatus.BAD_REQUEST, "expected POST or a WebSocket")


def _query() -> PushQuery:
    return read_query(PushQuery)


def _inbox(camera: str) -> Inbox:
    """Return where the camera's pictures go; answers 409 for one that is not sent any."""
    inbox = engine().inboxes.get(pipeline(camera).name)
    if inbox is None:
        abort(
            HTTPStatus.CONFLICT, "this camera has a source of its own; only 'source: push:' is sent pictures"
        )
    return inbox


def _admitted(inbox: Inbox, query: PushQuery, body: EndlessBody | None = None) -> Sender:
    """Return who may send now; answers 409 while another one does."""
    try:
        return inbox.admit(query.takeover, body.end if body else lambda: None)
    except SenderThere as exc:
        abort(HTTPStatus.CONFLICT, str(exc))


class _Tally:
    """Sends JPEGs on, and counts them and those that cannot be used."""

    def __init__(self, sender: Sender) -> None:
        self.pictures = 0
        self.rejected = 0
        self.reason = "it has no JPEG in it"
        self.sent_at = time.monotonic()
        self._sender = sender

    def take(self, jpeg: bytes) -> None:
        try:
            picture = picture_of(jpeg)
        except ImageError as exc:
            self.rejected += 1
            self.reason = str(exc)
            return
        self._sender.send(picture)
        self.pictures += 1
        self.sent_at = time.monotonic()


def _take_whole(camera: str, inbox: Inbox, query: PushQuery) -> Response:
    body = request.get_data(cache=False)
    jpegs = [body] if body.startswith(SOI) else MjpegParser().feed(body)
    with _admitted(inbox, query) as sender:
        tally = _Tally(sender)
        for jpeg in jpegs:
            tally.take(jpeg)
    return _answer(camera, tally)


def _take_endless(camera: str, inbox: Inbox, query: PushQuery) -> Response:
    timeout_s = pipeline(camera).config.read_timeout_s
    body, parser, held = EndlessBody(timeout_s), MjpegParser(request.mimetype_params.get("boundary")), lease()
    with _admitted(inbox, query, body) as sender:
        tally = _Tally(sender)
        try:
            for piece in body.pieces():
                for jpeg in parser.feed(piece):
                    tally.take(jpeg)
                if held.is_over:
                    abort(HTTPStatus.FORBIDDEN, "what let you send has ended")
                if sender.has_ended or time.monotonic() - tally.sent_at > timeout_s:
                    break
        except BodyLost as exc:
            if not sender.has_ended:
                log.info("camera %s: who sent its pictures was lost: %s", camera, exc)
    if sender.has_ended:
        abort(HTTPStatus.CONFLICT, "another one took over, or the camera or the server has ended")
    tally.rejected += parser.rejected
    return _answer(camera, tally)


def _answer(camera: str, tally: _Tally) -> Response:
    """Say what was taken; answers 400 where that is nothing."""
    if not tally.pictures:
        abort(HTTPStatus.BAD_REQUEST, tally.reason)
    pushed = Pushed(camera=camera, pictures=tally.pictures, rejected=tally.rejected)
    return Response(pushed.model_dump_json(), content_type="application/json")


class _PushSession:
    """One client's WebSocket, over which its pictures come; used by one thread."""

    def __init__(self, running: Engine, opened: WebSocket, sender: Sender) -> None:
        self._engine = running
        self._socket = opened
        self._sender = sender
        self._tally = _Tally(sender)

    def run(self) -> None:
        """Take pictures until the client leaves, another one takes over or the server ends.

        Raises WebSocketClosed or Refusal, never returns.
        """
        while not self._engine.is_closing:
            messages = self._socket.receive(POLL_INTERVAL_S)
            for message in messages:
                self._take(message)
            if messages and self._socket.is_idle:
                self._socket.send(
                    json.dumps({"pictures": self._tally.pictures, "rejected": self._tally.rejected})
                )
            if self._sender.has_ended:
                raise CloseWith(REFUSED, "another one took over, or the camera has ended")
        raise CloseWith(GOING_AWAY, "the server ends")

    def _take(self, message: str | bytes) -> None:
        if isinstance(message, str):
            raise CloseWith(CloseReason.UNSUPPORTED_DATA, "expected JPEGs as binary messages")
        self._tally.take(message)
