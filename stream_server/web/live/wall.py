"""`/api/v1/wall`: the newest pictures of any number of cameras over one WebSocket.

The client says, as JSON text, which cameras it wants to see from now on, each under a number of its choice:

    {"cameras": [{"id": 1, "camera": "front", "width": 640, "fps": 10}, {"id": 2, "camera": "back"}]}

`overlay`, `width`, `fps`, `quality`, `labels`, `caption` and `boxes` are what they are in a stream's URL.
Each picture is one binary message: `HEADER` (big-endian: id, uint32; the frame's number, uint32; when it was
taken, seconds since 1970, float64), then the JPEG. The client answers each with `{"ack": id}` once it shows
it. A camera with two pictures unanswered gets no more until then, and then the newest: nothing is
queued. A picture is sent again after 5 s without a newer one. `{"ended": id}` says that nothing will come
of that camera any more; where there is no such camera, or not for this client, `reason` says so: cameras
come and go, the others are shown on.

What the server does not understand or cannot give ends the connection, with the reason in the close frame.
"""

from __future__ import annotations

import logging
import struct
import time
from types import TracebackType

from flask import Blueprint, Response, abort, json, request
from pydantic import BaseModel, ConfigDict, Field
from werkzeug.exceptions import BadRequest

from stream_server.base.clock import wall_clock
from stream_server.base.rates import Throttle
from stream_server.engine import Engine
from stream_server.errors import LimitError, OptionError
from stream_server.media.frames import EncodedFrame
from stream_server.streaming.fanout import POLL_INTERVAL_S, REPEAT_S
from stream_server.streaming.streams import Viewer
from stream_server.web.arguments import parse_json, reason_of
from stream_server.web.context import engine
from stream_server.web.live.mjpeg import StreamQuery
from stream_server.web.transport import websocket
from stream_server.web.transport.websocket import GOING_AWAY, REFUSED, TRY_LATER, CloseWith, WebSocket

log = logging.getLogger(__name__)
blueprint = Blueprint("wall", __name__, url_prefix="/api/v1")

HEADER = struct.Struct("!IId")
WINDOW = 2
"""Pictures of a camera on their way: one is shown while the next travels."""
ACK_TIMEOUT_S = 10.0
MAX_CAMERAS = 64


class CameraWish(StreamQuery):
    """One camera a client wants to see, and how."""

    id: int = Field(ge=0, le=2**32 - 1, description="The client's number for it; any, each once.")
    camera: str


class WallMessage(BaseModel):
    """What a client says: the cameras it wants from now on, or that it shows a picture."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    cameras: tuple[CameraWish, ...] | None = Field(None, max_length=MAX_CAMERAS)
    ack: int | None = None


@blueprint.get("/wall", websocket=True)
def wall() -> Response:
    """Send the newest pictures of the cameras that the client asks for."""
    running, address = engine(), request.remote_addr or ""

    def talk(opened: WebSocket) -> None:
        with Wall(running, opened, address) as shown:
            shown.run()

    return websocket.serve(talk)


@blueprint.get("/wall")
def no_wall() -> Response:
    """Say what is expected here."""
    abort(400, "expected a WebSocket")


class _Tile:
    """A camera on the wall.

    shown: the picture sent last, at `sent_at`. unanswered: pictures that the client has not acknowledged.
    """

    def __init__(self, wish: CameraWish, viewer: Viewer, opened: WebSocket) -> None:
        self.wish = wish
        self.viewer = viewer
        self.throttle = Throttle(viewer.fps)
        self.shown: EncodedFrame | None = None
        self.sent_at = time.monotonic()
        self.unanswered = 0
        self._wake = opened.wake
        viewer.stream.frames.listen(self._wake)

    def close(self) -> None:
        self.viewer.stream.frames.unlisten(self._wake)
        self.viewer.close()

    def next_picture(self, now: float, has_ended: bool) -> EncodedFrame | None:
        """Return the newest picture if the client is ready for it and it is due, or the last one again."""
        newest = self.viewer.stream.frames.item
        if newest is None or self.unanswered >= WINDOW:
            return None
        is_due = self.throttle.is_due(newest.captured_at) or self.throttle.seconds_left(now) == 0
        if newest is not self.shown and (is_due or has_ended):
            return newest
        return self.shown if now - self.sent_at > REPEAT_S else None

    def count(self, frame: EncodedFrame, size: int) -> None:
        """Note that `frame` was sent, in so many bytes."""
        if frame is not self.shown:
            self.throttle.take(frame.captured_at)
        self.shown, self.sent_at = frame, time.monotonic()
        self.unanswered += 1
        self.viewer.count_part(self.sent_at)
        self.viewer.sent_bytes += size


class Wall:
    """One client's cameras and the WebSocket they are shown over; used by one thread."""

    def __init__(self, running: Engine, opened: WebSocket, address: str) -> None:
        """Prepare; nothing is shown before the client says what.

        address: the client's, for the limit of viewers per address.
        """
        self._engine = running
        self._socket = opened
        self._address = address
        self._lease = opened.lease
        self._tiles: dict[int, _Tile] = {}

    def __enter__(self) -> Wall:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for tile in self._tiles.values():
            tile.close()

    def run(self) -> None:
        """Show what the client asks for until it leaves, errs or the server ends.

        Raises WebSocketClosed or Refusal, never returns.
        """
        while not self._engine.is_closing:
            for message in self._socket.receive(POLL_INTERVAL_S):
                self._take(message)
            self._show(time.monotonic())
        raise CloseWith(GOING_AWAY, "the server ends")

    def _take(self, text: str | bytes) -> None:
        try:
            message = parse_json(WallMessage, text)
        except (OptionError, BadRequest) as exc:
            raise CloseWith(REFUSED, reason_of(exc)) from None
        if message.ack in self._tiles:
            tile = self._tiles[message.ack]
            tile.unanswered = max(0, tile.unanswered - 1)
        if message.cameras is not None:
            self._rearrange({wish.id: wish for wish in message.cameras})

    def _rearrange(self, wishes: dict[int, CameraWish]) -> None:
        """Show these cameras and no others; those shown as wished already go on."""
        for number, tile in tuple(self._tiles.items()):
            if wishes.get(number) != tile.wish:
                tile.close()
                del self._tiles[number]
        for number, wish in wishes.items():
            if number not in self._tiles:
                self._watch(wish)

    def _watch(self, wish: CameraWish) -> None:
        pipeline = self._engine.pipelines.get(wish.camera)
        if pipeline is None or not self._lease.grant.may_see(wish.camera):
            self._say_ended(wish, reason=f"there is no camera {wish.camera!r}")
            return
        config = pipeline.config
        fps = wish.fps or config.stream.fps
        try:
            viewer = self._engine.watch(wish.camera, wish.variant(config), fps, self._address, self._lease)
        except LimitError as exc:
            raise CloseWith(TRY_LATER, str(exc)) from None
        self._tiles[wish.id] = _Tile(wish, viewer, self._socket)

    def _show(self, now: float) -> None:
        """Send what is due while the socket takes it, to whom nothing was sent for longest first."""
        for tile in sorted(self._tiles.values(), key=lambda tile: tile.sent_at):
            if not self._socket.is_idle:
                return
            if tile.unanswered >= WINDOW and now - tile.sent_at > ACK_TIMEOUT_S:
                log.info("a WebSocket's peer showed nothing for %.0f s and was dropped", ACK_TIMEOUT_S)
                raise CloseWith(REFUSED, f"no picture was acknowledged for {ACK_TIMEOUT_S:.0f} s")
            has_ended = tile.viewer.has_ended  # before looking at the picture: the last one is sent
            if frame := tile.next_picture(now, has_ended):
                self._send(tile, frame)
            if has_ended and tile.unanswered < WINDOW:
                self._end(tile)

    def _send(self, tile: _Tile, frame: EncodedFrame) -> None:
        header = HEADER.pack(tile.wish.id, frame.sequence % 2**32, wall_clock(frame.captured_at))
        tile.count(frame, HEADER.size + len(frame.jpeg))
        self._socket.send(header + frame.jpeg)

    def _end(self, tile: _Tile) -> None:
        tile.close()
        del self._tiles[tile.wish.id]
        self._say_ended(tile.wish)

    def _say_ended(self, wish: CameraWish, **more: str) -> None:
        self._socket.send(json.dumps({"ended": wish.id, **more}))
