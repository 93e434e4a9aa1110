"""`/api/v1/detect/ws`: frames in, detections out, over one WebSocket and as fast as the detectors are.

A frame is a binary message: a JPEG, PNG, WebP or BMP. Its id is its number, 1 for the first, unless a text
message `{"id": 7}` came just before it; `{"id": 7, "image": "<base64>"}` is a frame by itself. The URL's
parameters say how all of them are looked at, as they do for `POST /api/v1/detect`.

Each frame has one answer with its `id`, in the order in which they are ready: `result` as `POST
/api/v1/detect` gives it for a picture, or `error`, a reason. Frames need not wait for answers: 16 may be
under way, and one more is answered with an error. With `?newest=true` none is refused: of those that no
detector has begun with, all but the newest are answered `"dropped": true`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from types import TracebackType

from flask import Blueprint, Response, abort
from pydantic import BaseModel, ConfigDict, Field
from werkzeug.exceptions import BadRequest

from detector.errors import DetectorError
from stream_server.engine import Engine
from stream_server.errors import OptionError, StreamServerError
from stream_server.images.results import ImageDetections, ImageOptions
from stream_server.images.service import EncodedImage, ImageDetectionService, PendingDetections
from stream_server.streaming.fanout import POLL_INTERVAL_S
from stream_server.web.arguments import parse_json, read_query, reason_of
from stream_server.web.context import engine
from stream_server.web.request_body import decode_base64
from stream_server.web.transport import websocket
from stream_server.web.transport.websocket import GOING_AWAY, REFUSED, CloseWith, WebSocket

blueprint = Blueprint("frames", __name__, url_prefix="/api/v1/detect")

MAX_WAITING = 16
"""Frames of a client under way; with the newest alone: as many as there are detectors, and one."""
HEAD_BYTES = 4096
"""What a text message may have besides its picture."""

FrameId = int | str


class FramesQuery(ImageOptions):
    """What a URL may ask of all frames."""

    newest: bool = Field(False, description="Drop frames that wait when a newer one comes.")


class FrameHead(BaseModel):
    """What a client says of the frame that follows, or of the one that is in it."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    id: FrameId = Field(description="The client's name for it.")
    image: str | None = Field(None, description="A picture: base64, or a data URL.")


class FrameAnswer(BaseModel):
    """What became of a frame."""

    id: FrameId
    result: ImageDetections | None = None
    error: str | None = None
    dropped: bool | None = Field(None, description="A newer frame came before a detector had time for it.")

    def text(self) -> str:
        """Return it without what is not there."""
        nothing = {name for name in ("result", "error", "dropped") if getattr(self, name) is None}
        return self.model_dump_json(exclude=nothing)


@blueprint.get("/ws", websocket=True)
def frames() -> Response:
    """Find objects in each frame that comes over a WebSocket."""
    running, analyst = engine(), engine().image_analyst
    if analyst is None:
        abort(503, "there is no detector: no camera detects, and api.models names none")
    query = read_query(FramesQuery)
    most = running.config.server.max_image_bytes * 3 // 2 + HEAD_BYTES  # base64, in lines perhaps

    def talk(opened: WebSocket) -> None:
        with _ImageSession(running, analyst, opened, query) as begun:
            begun.run()

    return websocket.serve(talk, most)


@blueprint.get("/ws")
def no_frames() -> Response:
    """Say what is expected here."""
    abort(400, "expected a WebSocket")


class _Bell:
    """Wakes a WebSocket from any thread, also after it is closed: then nothing happens."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()  # guards what follows: a closed descriptor's number is another's
        self._is_muted = False

    def ring(self) -> None:
        with self._lock:
            if not self._is_muted:
                self._wake()

    def mute(self) -> None:
        with self._lock:
            self._is_muted = True


class _ImageSession:
    """One client's frames and the WebSocket they come over; used by one thread.

    at_detector: by id, those that were handed on. waiting: those that were not, with the newest alone.
    """

    def __init__(
        self, running: Engine, analyst: ImageDetectionService, opened: WebSocket, query: FramesQuery
    ) -> None:
        self._engine = running
        self._analyst = analyst
        self._socket = opened
        self._newest_wins = query.newest
        self._options = ImageOptions.model_construct(**query.model_dump(exclude={"newest"}))
        self._bell = _Bell(opened.wake)
        self._next_id: FrameId | None = None
        self._count = 0
        self._at_detector: list[tuple[FrameId, PendingDetections]] = []
        self._waiting: tuple[FrameId, bytes] | None = None

    def __enter__(self) -> _ImageSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bell.mute()
        for _, pending in self._at_detector:
            pending.cancel()

    def run(self) -> None:
        """Answer frames until the client leaves or errs, or the server ends.

        Raises WebSocketClosed or Refusal, never returns.
        """
        while not self._engine.is_closing:
            for message in self._socket.receive(POLL_INTERVAL_S):
                self._take(message)
            self._answer_ready()
            self._hand_on()
        raise CloseWith(GOING_AWAY, "the server ends")

    def _take(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            self._count += 1
            id, self._next_id = self._next_id, None
            self._take_frame(self._count if id is None else id, message)
            return
        try:
            head = parse_json(FrameHead, message)
        except (OptionError, BadRequest) as exc:
            raise CloseWith(REFUSED, reason_of(exc)) from None
        if head.image is None:
            self._next_id = head.id
            return
        self._count += 1
        try:
            self._take_frame(head.id, decode_base64(head.image, "image"))
        except StreamServerError as exc:
            self._say(FrameAnswer(id=head.id, error=str(exc)))

    def _take_frame(self, id: FrameId, data: bytes) -> None:
        if not self._newest_wins:
            self._submit(id, data)
            return
        if self._waiting:
            self._say(FrameAnswer(id=self._waiting[0], dropped=True))
        self._waiting = (id, data)

    def _hand_on(self) -> None:
        """Give the newest frame to a detector if one has time."""
        detectors = len(self._engine.pool.status().workers) if self._engine.pool else 1
        if self._waiting and len(self._at_detector) < max(1, detectors):
            (id, data), self._waiting = self._waiting, None
            self._submit(id, data)

    def _submit(self, id: FrameId, data: bytes) -> None:
        if len(self._at_detector) >= MAX_WAITING:
            self._say(FrameAnswer(id=id, error=f"{MAX_WAITING} frames are under way already"))
            return
        try:
            pending = self._analyst.submit(EncodedImage(data), self._options)
        except (StreamServerError, DetectorError) as exc:
            self._say(FrameAnswer(id=id, error=str(exc)))
            return
        self._at_detector.append((id, pending))
        pending.add_done_callback(lambda _: self._bell.ring())

    def _answer_ready(self) -> None:
        for id, pending in tuple(self._at_detector):
            if pending.future.done():
                self._at_detector.remove((id, pending))
                self._say(self._answer(id, pending))

    @staticmethod
    def _answer(id: FrameId, pending: PendingDetections) -> FrameAnswer:
        try:
            return FrameAnswer(id=id, result=pending.result())
        except (StreamServerError, DetectorError, CancelledError) as exc:
            return FrameAnswer(id=id, error=str(exc) or "it was given up")

    def _say(self, answer: FrameAnswer) -> None:
        self._socket.send(answer.text())
