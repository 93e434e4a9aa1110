"""The stream and the snapshot of a camera."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from flask import Blueprint, Response, request
from pydantic import BaseModel, ConfigDict, Field

from stream_server.camera import Camera, CameraState
from stream_server.config import CameraConfig, Overlay
from stream_server.fanout import REPEAT_FIRST_S, REPEAT_S, Fanout
from stream_server.frames import EncodedFrame
from stream_server.multipart import CONTENT_TYPE, OPENING
from stream_server.streams import Variant, Viewer
from stream_server.web.current import engine, first_camera, pipeline

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

blueprint = Blueprint("streaming", __name__)

SNAPSHOT_WITHIN_S = 4.0
"""OctoPrint waits 5 s for a snapshot, Home Assistant 10 s."""
LOST: frozenset[CameraState] = frozenset({"offline", "auth_failed", "ended"})
"""States in which no picture is about to come."""

STREAM_HEADERS = {
    "Cache-Control": "no-store, no-cache, must-revalidate",
    "Pragma": "no-cache",
    "X-Accel-Buffering": "no",
    "Connection": "close",
}


class StreamQuery(BaseModel):
    """What a URL may ask of a stream or snapshot; the camera's configuration says the rest."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    overlay: Overlay | None = Field(None, description="live, exact or none.")
    width: int | None = Field(None, ge=16, le=7680, description="Width in pixels, at most the camera's.")
    fps: float | None = Field(None, gt=0, le=120, description="Frames per second, at most.")
    quality: int | None = Field(None, ge=1, le=100, description="JPEG quality.")
    labels: bool | None = Field(None, description="Write label, score and track number at each box.")
    caption: bool | None = Field(None, description="Write camera name, time and frame rate into the picture.")

    def variant(self, config: CameraConfig) -> Variant:
        """Return the variant asked for, with the camera's own settings where nothing was said."""
        ours = config.stream
        return Variant(
            overlay=ours.overlay if self.overlay is None else self.overlay,
            width=ours.width if self.width is None else self.width,
            quality=self.quality,
            labels=ours.labels if self.labels is None else self.labels,
            caption=ours.caption if self.caption is None else self.caption,
        )


def _query() -> StreamQuery:
    return StreamQuery.model_validate(request.args.to_dict())


@blueprint.get("/video_feed", defaults={"camera": None})
@blueprint.get("/cameras/<camera>/stream.mjpg")
def stream(camera: str | None) -> Response:
    """Return the camera's frames as multipart JPEG, without end."""
    name = camera or first_camera()
    config, query = pipeline(name).config, _query()
    if request.method == "HEAD":
        return Response(iter(()), content_type=CONTENT_TYPE, headers=STREAM_HEADERS)
    viewer = engine().watch(name, query.variant(config), query.fps or config.stream.fps)
    sock = request.environ.get("gunicorn.socket")
    if sock is not None and not isinstance(sock, ssl.SSLSocket):
        return _HandedOver(engine().fanout, sock, viewer)
    response = Response(_parts(viewer), content_type=CONTENT_TYPE, headers=STREAM_HEADERS)
    response.call_on_close(viewer.close)
    return response


class _HandedOver(Response):
    """An answer that the fan-out loop writes: the server's thread is free once it has the socket."""

    def __init__(self, fanout: Fanout, sock: socket.socket, viewer: Viewer) -> None:
        super().__init__(content_type=CONTENT_TYPE, headers=STREAM_HEADERS)
        del self.headers["Content-Length"]
        self._fanout = fanout
        self._sock = sock
        self._viewer = viewer

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Hand the socket over, and tell gunicorn that there is nothing left for it to do.

        The socket is detached: gunicorn 26 and newer shut down a socket they still hold. Its worker takes
        StopIteration for a connection that is done with.
        """
        head = f"HTTP/1.1 {self.status}\r\n{self.headers}".encode("latin-1")
        self._fanout.add(socket.socket(fileno=self._sock.detach()), self._viewer, head)
        raise StopIteration


def _parts(viewer: Viewer) -> Iterator[bytes]:
    """Yield the opening boundary with the first part, then part after part until the stream ends."""
    newest: EncodedFrame | None = None
    repeat_s = REPEAT_FIRST_S
    while True:
        frame = viewer.next_frame(repeat_s)
        if frame is None and viewer.has_ended:
            return
        if newest is None and frame is not None:
            yield OPENING + frame.part
        elif newest is not None:
            yield (frame or newest).part
            repeat_s = REPEAT_S
        newest = frame or newest


@blueprint.get("/cameras/<camera>/snapshot.jpg")
def snapshot(camera: str) -> Response:
    """Return the camera's newest frame as one JPEG; 503, with a picture that says why, when it has none."""
    watched = pipeline(camera)
    variant = _query().variant(watched.config)
    if request.method == "HEAD":
        return Response(iter(()), content_type="image/jpeg")
    with watched.streams.watch(variant, fps=120) as viewer:
        frame = _first_picture(viewer, watched.camera)
    if frame is None:
        return Response(status=503, headers={"Retry-After": "5"})
    status = 503 if frame.is_message else 200
    return Response(frame.jpeg, status, content_type="image/jpeg")


def _first_picture(viewer: Viewer, camera: Camera) -> EncodedFrame | None:
    """Return the first real picture that comes in time, else the newest message, None for nothing at all.

    The message of a lost camera is returned at once: who polls it should not hold a thread for seconds.
    """
    until = time.monotonic() + SNAPSHOT_WITHIN_S
    message: EncodedFrame | None = None
    while (left_s := until - time.monotonic()) > 0:
        frame = viewer.next_frame(left_s)
        if frame is None:
            break
        if not frame.is_message:
            return frame
        message = frame
        if camera.state in LOST:
            break
    return message
