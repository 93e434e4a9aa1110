"""`/api/v1/videos`: videos that are annotated in the background.

A video comes as the body of one request, in pieces that go on where they were broken off, by the protocol
tus 1.0.0 (https://tus.io/protocols/resumable-upload, with the extensions creation and termination), or is
named, if it lies below `videos.media_root`. It is its owner's: who is a user, or a token. Admins see all.
"""

from __future__ import annotations

import logging
import socket
import time
from contextlib import ExitStack
from http import HTTPStatus

from flask import Blueprint, Response, abort, request, send_file, url_for
from pydantic import BaseModel

from stream_server.accounts.grants import Grant, Lease
from stream_server.engine import Engine
from stream_server.errors import StreamServerError
from stream_server.jobs.job import ENDED, Job
from stream_server.streaming.fanout import POLL_INTERVAL_S
from stream_server.web.api.video_files import media_type_of
from stream_server.web.api.video_info import VideoInfo, VideoList
from stream_server.web.api.video_uploads import NOTHING_FOR_S, take_piece, take_video, tell_protocol
from stream_server.web.context import engine, grant, lease
from stream_server.web.transport import websocket
from stream_server.web.transport.event_stream import HEARTBEAT_S, EventStream
from stream_server.web.transport.socket_takeover import Finished, long_request_slot, take_socket

log = logging.getLogger(__name__)
blueprint = Blueprint("videos", __name__, url_prefix="/api/v1/videos")


# Whose they are.


def _owner(allowed: Grant) -> str:
    """Return whose a video is: of a user, however and wherever they logged in, or of a token."""
    is_token = allowed.key.startswith("token:") or not allowed.name
    return allowed.key if is_token else f"user:{allowed.name}"


def _sees_all(allowed: Grant) -> bool:
    return allowed.role == "admin" and allowed.cameras is None


def _find(video: str) -> Job:
    """Return a video; answers 404 for one that is unknown, or somebody else's."""
    job, allowed = engine().videos.find(video), grant()
    if job is None or not (_sees_all(allowed) or job.owner == _owner(allowed)):
        abort(404, f"there is no video {video!r}; {url_for('videos.list_videos')} lists those there are")
    return job


# What is asked for.


@blueprint.post("")
def create() -> Response:
    """Take a video, to be annotated when it is its turn.

    As the body of the request, called `name` in the query. In pieces (tus 1.0.0), where `Upload-Length` says
    how large it will be and `Upload-Metadata` how it is called (`filename`), and what else would stand in the
    query; the pieces are then sent by PATCH to the address in `Location`. Or, as JSON with its `path`, one
    that lies on the server, for who may see all cameras.
    """
    videos = engine().videos
    job = take_video(videos, _owner(grant()))
    response = _json(VideoInfo.of(videos, job))
    response.status_code = HTTPStatus.CREATED
    response.headers["Location"] = url_for("videos.show", video=job.id, _external=True)
    return response


@blueprint.get("")
def list_videos() -> Response:
    """Return the videos of who asks, the newest first; to admins, all."""
    videos = engine().videos
    jobs = videos.jobs(None if _sees_all(grant()) else _owner(grant()))
    return _json(VideoList(videos=[VideoInfo.of(videos, job) for job in jobs]))


@blueprint.get("/<video>")
def show(video: str) -> Response:
    """Return one video and how it is doing; the headers say how much of an upload is there."""
    job = _find(video)
    info = VideoInfo.of(engine().videos, job)
    response = _json(info)
    response.headers["Upload-Offset"] = str(info.received)
    response.headers["Upload-Length"] = str(job.bytes)
    return response


@blueprint.patch("/<video>")
def append(video: str) -> Response:
    """Take the next piece of a video (tus 1.0.0).

    `Upload-Offset` says where it begins, which is where the last one that came ended: `Upload-Offset` of a
    HEAD says where that is. The last piece queues the video.
    """
    end = take_piece(engine().videos, _find(video))
    return Response(status=HTTPStatus.NO_CONTENT, headers={"Upload-Offset": str(end)})


@blueprint.after_app_request
def _say_what_is_spoken(response: Response) -> Response:
    """Say it also where no view was found for the address or method."""
    if request.path.startswith(blueprint.url_prefix or ""):
        tell_protocol(response, engine().config.videos.max_bytes)
    return response


@blueprint.delete("/<video>")
def remove(video: str) -> Response:
    """Stop work on a video, and delete it and all that was made of it."""
    engine().videos.remove(_find(video).id)
    return Response(status=HTTPStatus.NO_CONTENT)


# What is made of them.


@blueprint.get("/<video>/result")
def result(video: str) -> Response:
    """Return the annotated video, or the part that `Range` asks for."""
    return _send(_done(video), None)


@blueprint.get("/<video>/files/<path:name>")
def result_file(video: str, name: str) -> Response:
    """Return a file that was made of a video, or the part that `Range` asks for."""
    return _send(_done(video), name)


def _done(video: str) -> Job:
    job = _find(video)
    if job.state != "done":
        abort(409, f"the video is not done, it is {job.state}")
    return job


def _send(job: Job, name: str | None) -> Response:
    folder = engine().videos.folder
    path = folder.out(job)
    if name is not None:
        if name not in {file.name for file in folder.results(job)}:
            abort(404, f"there is no file {name!r} of this video")
        path = path.parent / name
    with ExitStack() as stack:
        stack.enter_context(long_request_slot())
        _limit_waits()
        try:
            response = send_file(path, media_type_of(path), conditional=True, as_attachment=name is not None)
        except FileNotFoundError:
            abort(404, "the file is gone")
        response.call_on_close(stack.pop_all().close)
    return response


def _limit_waits() -> None:
    """Let the current answer end where the client takes nothing: else it would keep a thread for ever."""
    sock = request.environ.get("gunicorn.socket")
    if isinstance(sock, socket.socket):
        sock.settimeout(NOTHING_FOR_S)


@blueprint.get("/<video>/events")
def events(video: str) -> Response:
    """Send how a video is doing as server-sent events.

    They are called `video`, with the JSON of the video as data, and come at each change; after the one that
    says `done` or `failed`, or one called `deleted`, there are no more.
    """
    running, held, job = engine(), lease(), _find(video)
    if request.method == "HEAD":
        return Response(content_type="text/event-stream")
    websocket.check_origin()
    with long_request_slot(), EventStream(take_socket(), request.headers.get("Origin")) as opened:
        try:
            opened.answer()
            _send_events(running, job.id, opened, held)
        except (OSError, StreamServerError) as exc:
            log.debug("a reader of events left: %s", exc)
    return Finished()


def _send_events(running: Engine, id: str, opened: EventStream, held: Lease) -> None:
    """Send how a video is doing until nothing more will become of it, or the reader leaves or has to.

    Raises OSError when the reader leaves.
    """
    told, number, sent_at = "", 0, time.monotonic()
    while not (running.is_closing or held.is_over):
        job = running.videos.find(id)
        if job is None:
            opened.send("deleted", str(number + 1), "{}")
            return
        news = VideoInfo.of(running.videos, job).model_dump_json()
        if news != told:
            told, number, sent_at = news, number + 1, time.monotonic()
            opened.send("video", str(number), news)
        elif time.monotonic() - sent_at > HEARTBEAT_S:
            sent_at = time.monotonic()
            opened.send_heartbeat()
        if job.state in ENDED:
            return
        opened.wait(POLL_INTERVAL_S)


def _json(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(), content_type="application/json")
