"""uStreamer's addresses: `/stream`, `/snapshot` and `/state` of the first camera.

What they say and do is read in its src/ustreamer/http/server.c. Our own parameters work here too; wrong
values are clamped (see `compat`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from urllib.parse import quote

from flask import Blueprint, Response, request
from pydantic import BaseModel, ConfigDict, Field

from stream_server.media.frames import EncodedFrame
from stream_server.pipeline import Pipeline
from stream_server.streaming.multipart import Framing
from stream_server.streaming.streams import Viewer
from stream_server.web.compat.doods import stream_of_request
from stream_server.web.compat.mjpg_streamer import BOUNDARY
from stream_server.web.compat.queries import clamped, stream_of, variant_of
from stream_server.web.context import first_camera, pipeline
from stream_server.web.live.mjpeg import newest_picture

blueprint = Blueprint("ustreamer", __name__)


class StreamerQuery(BaseModel):
    """What clients may ask of `/stream`."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    key: str = Field("0", min_length=1, max_length=64)
    extra_headers: bool = False
    advance_headers: bool = False
    dual_final_frames: bool = False
    zero_data: bool = False

    @property
    def framing(self) -> Framing:
        """How the parts are to look."""
        return Framing(
            BOUNDARY,
            more_headers=_frame_headers if self.extra_headers else None,
            headers_in_advance=self.advance_headers,
            omit_data=self.zero_data,
            repeat_last=self.dual_final_frames,
        )


def _frame_headers(frame: EncodedFrame) -> Mapping[str, str]:
    """Return what uStreamer says about a frame, in monotonic seconds.

    Parts are shared: what differs from client to client is left out (Client-FPS) or the first one's (Send).
    """
    now = time.monotonic()
    return {
        "X-UStreamer-Online": "false" if frame.is_message else "true",
        "X-UStreamer-Dropped": "0",
        "X-UStreamer-Width": str(frame.size_wh[0]),
        "X-UStreamer-Height": str(frame.size_wh[1]),
        "X-UStreamer-Grab-Time": f"{frame.captured_at:.6f}",
        "X-UStreamer-Encode-End-Time": f"{frame.encoded_at:.6f}",
        "X-UStreamer-Send-Time": f"{now:.6f}",
        "X-UStreamer-Latency": f"{now - frame.captured_at:.6f}",
    }


@blueprint.get("/stream")
def stream() -> Response:
    """Stream the first camera; to who takes this for DOODS, give what it asks for."""
    answer = stream_of_request()
    if answer is not None:
        return answer
    query = clamped(StreamerQuery, request.args.to_dict())
    return stream_of(first_camera(), query.framing, quote(query.key, safe=""))


@blueprint.get("/snapshot")
def snapshot() -> Response:
    """Return the first camera's newest frame; 200 also for the picture that says why there is none."""
    camera = first_camera()
    if request.method == "HEAD":
        return Response(iter(()), content_type="image/jpeg")
    frame = newest_picture(camera, variant_of(camera))
    headers = {"X-Timestamp": f"{time.time():.6f}", **_frame_headers(frame)}
    return Response(frame.jpeg, headers=headers, content_type="image/jpeg")


class _Encoder(BaseModel):
    type: str
    quality: int


class _Resolution(BaseModel):
    width: int
    height: int


class _Source(BaseModel):
    resolution: _Resolution
    online: bool
    desired_fps: int
    captured_fps: int


class _Client(BaseModel):
    fps: int
    extra_headers: bool
    advance_headers: bool
    dual_final_frames: bool
    zero_data: bool
    key: str

    @classmethod
    def of(cls, viewer: Viewer) -> _Client:
        framing = viewer.framing
        return cls(
            fps=viewer.sent_fps(time.monotonic()),
            extra_headers=framing.more_headers is not None,
            advance_headers=framing.headers_in_advance,
            dual_final_frames=framing.repeat_last,
            zero_data=framing.omit_data,
            key=viewer.key or "0",
        )


class _Stream(BaseModel):
    queued_fps: int
    clients: int
    clients_stat: dict[str, _Client]
    overload: int = Field(description="Ours: how many steps below what was asked for the streams are.")

    @classmethod
    def of(cls, watched: Pipeline) -> _Stream:
        viewers = watched.streams.everyone
        rates = [stream.rate.per_second for stream in watched.streams.watched]
        return cls(
            queued_fps=round(max(rates, default=0)),
            clients=len(viewers),
            clients_stat={f"{viewer.number:x}": _Client.of(viewer) for viewer in viewers},
            overload=watched.overload.level,
        )


class _Result(BaseModel):
    instance_id: str = ""
    encoder: _Encoder
    source: _Source
    stream: _Stream


class State(BaseModel):
    """What uStreamer says about itself; here about the first camera."""

    ok: bool = True
    result: _Result

    @classmethod
    def of(cls, watched: Pipeline) -> State:
        """Return how `watched` is doing."""
        config, camera = watched.config, watched.camera
        width, height = camera.size_wh
        source = _Source(
            resolution=_Resolution(width=width, height=height),
            online=camera.is_online,
            desired_fps=round(config.fps or config.stream.fps),
            captured_fps=round(camera.fps),
        )
        encoder = _Encoder(type="CPU", quality=watched.overload.quality(config.stream.quality))
        return cls(result=_Result(encoder=encoder, source=source, stream=_Stream.of(watched)))


@blueprint.get("/state")
def state() -> Response:
    """Say how the first camera and its viewers are doing."""
    answer = State.of(pipeline(first_camera()))
    return Response(answer.model_dump_json(), content_type="application/json")
