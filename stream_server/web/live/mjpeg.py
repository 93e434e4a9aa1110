"""The stream and the snapshot of a camera."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from flask import Blueprint, Response, request
from pydantic import BaseModel, ConfigDict, Field
from werkzeug.exceptions import ServiceUnavailable

from stream_server.base.clock import wall_clock
from stream_server.cameras.camera import Camera, CameraState
from stream_server.config import CameraConfig, Overlay
from stream_server.media.frames import EncodedFrame
from stream_server.streaming.fanout import REPEAT_FIRST_S, REPEAT_S, Fanout
from stream_server.streaming.multipart import CANONICAL, Framing, part_of
from stream_server.streaming.streams import Variant, Viewer
from stream_server.web.arguments import read_query
from stream_server.web.context import engine, lease, pipeline

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

blueprint = Blueprint("streaming", __name__)

SNAPSHOT_TIMEOUT_S = 4.0
"""OctoPrint waits 5 s for a snapshot, Home Assistant 10 s."""
POLL_INTERVAL_S = 1.0
"""How often a generator looks whether its viewer may still watch."""
LOST: frozenset[CameraState] = frozenset({"offline", "auth_failed", "waiting", "ended"})
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
    boxes: bool | None = Field(
        None, description="false: draw no boxes; with overlay=exact, for who draws them from the detections."
    )
    extra_headers: bool = Field(
        False, description="Say in each part when its frame was captured and encoded."
    )

    def variant(self, config: CameraConfig) -> Variant:
        """Return the variant asked for, with the camera's own settings where nothing was said."""
        ours = config.stream
        return Variant(
            overlay=ours.overlay if self.overlay is None else self.overlay,
            width=ours.width if self.width is None else self.width,
            quality=self.quality,
            labels=ours.labels if self.labels is None else self.labels,
            caption=ours.caption if self.caption is None else self.caption,
            boxes=self.boxes is not False,
        )


def _stage_headers(frame: EncodedFrame) -> Mapping[str, str]:
    """Return when the frame passed which stage, in seconds since 1970; sent: to the first who got it."""
    return {
        "X-Sequence": str(frame.sequence),
        "X-Captured-At": f"{wall_clock(frame.captured_at):.6f}",
        "X-Encoded-At": f"{wall_clock(frame.encoded_at):.6f}",
        "X-Sent-At": f"{time.time():.6f}",
    }


WITH_STAGES = Framing(more_headers=_stage_headers)


def _query() -> StreamQuery:
    return read_query(StreamQuery)


@blueprint.get("/cameras/<camera>/stream.mjpg")
def stream(camera: str) -> Response:
    """Return the camera's frames as multipart JPEG, without end."""
    config, query = pipeline(camera).config, _query()
    framing = WITH_STAGES if query.extra_headers else CANONICAL
    return stream_response(camera, query.variant(config), query.fps or config.stream.fps, framing)


def stream_response(
    camera: str, variant: Variant, fps: float, framing: Framing = CANONICAL, key: str = ""
) -> Response:
    """Return the answer that shows a camera until its viewer leaves; to HEAD, its headers only.

    key: what the client calls itself; given back, with the number that its viewer has, in a cookie.

    Raises LimitError when as many watch already as may.
    """
    if request.method == "HEAD":
        return Response(iter(()), content_type=framing.content_type, headers=STREAM_HEADERS)
    viewer = engine().watch(camera, variant, fps, request.remote_addr or "", lease())
    viewer.framing, viewer.key = framing, key
    response = _answer(viewer)
    if key:
        path = request.script_root or "/"
        cookie = f"{key}/{viewer.number:x}"
        response.set_cookie("stream_client", cookie, max_age=30, path=path, samesite="Lax")
    return response


def _answer(viewer: Viewer) -> Response:
    sock = request.environ.get("gunicorn.socket")
    if sock is not None and not isinstance(sock, ssl.SSLSocket):
        return _HandedOver(engine().fanout, sock, viewer)
    response = Response(_parts(viewer), content_type=viewer.framing.content_type, headers=STREAM_HEADERS)
    response.call_on_close(viewer.close)
    return response


class _HandedOver(Response):
    """An answer that the fan-out loop writes: the server's thread is free once it has the socket."""

    def __init__(self, fanout: Fanout, sock: socket.socket, viewer: Viewer) -> None:
        super().__init__(content_type=viewer.framing.content_type, headers=STREAM_HEADERS)
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
    framing = viewer.framing
    opening, shown, repeat_s = framing.opening(time.time()), None, REPEAT_FIRST_S
    until = time.monotonic() + repeat_s
    while not viewer.lease.is_over:
        newer = viewer.next_frame(min(repeat_s, POLL_INTERVAL_S))
        if newer is None and viewer.has_ended:
            return
        if newer is None and time.monotonic() < until:
            continue
        if frame := newer or shown:
            is_soon = shown is None or (framing.repeat_last and newer is not None)
            repeat_s = REPEAT_FIRST_S if is_soon else REPEAT_S
            viewer.count_part(time.monotonic())
            yield opening + part_of(frame, framing)
            opening, shown, until = b"", frame, time.monotonic() + repeat_s


@blueprint.get("/cameras/<camera>/snapshot.jpg")
def snapshot(camera: str) -> Response:
    """Return the camera's newest frame as one JPEG; 503, with a picture that says why, when it has none."""
    return snapshot_response(camera, _query().variant(pipeline(camera).config))


def snapshot_response(camera: str, variant: Variant) -> Response:
    """Return the answer that is a camera's newest frame; to HEAD, its headers only."""
    if request.method == "HEAD":
        return Response(iter(()), content_type="image/jpeg")
    frame = newest_picture(camera, variant)
    status = 503 if frame.is_message else 200
    taken_at = {"X-Timestamp": f"{wall_clock(frame.captured_at):.6f}"}
    return Response(frame.jpeg, status, taken_at, content_type="image/jpeg")


def newest_picture(camera: str, variant: Variant) -> EncodedFrame:
    """Return a camera's newest frame, or the picture that says why it has none; else answers 503."""
    watched = pipeline(camera)
    with watched.streams.watch(variant, fps=120) as viewer:
        frame = _first_picture(viewer, watched.camera)
    if frame is None:
        raise ServiceUnavailable(f"no picture came within {SNAPSHOT_TIMEOUT_S:.0f} s", retry_after=5)
    return frame


def _first_picture(viewer: Viewer, camera: Camera) -> EncodedFrame | None:
    """Return the first real picture that comes in time, else the newest message, None for nothing at all.

    The message of a lost camera is returned at once: who polls it should not hold a thread for seconds.
    """
    until = time.monotonic() + SNAPSHOT_TIMEOUT_S
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
