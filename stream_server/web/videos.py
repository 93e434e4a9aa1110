"""`/api/v1/videos`: videos that are annotated in the background.

A video comes as the body of one request, in pieces that go on where they were broken off, by the protocol
tus 1.0.0 (https://tus.io/protocols/resumable-upload, with the extensions creation and termination), or is
named, if it lies below `videos.media_root`. It is its owner's: who is a user, or a token. Admins see all.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import re
import socket
import time
from contextlib import ExitStack
from datetime import datetime, timezone
from http import HTTPStatus

from flask import Blueprint, Response, abort, request, send_file, url_for
from pydantic import BaseModel, Field

from stream_server.accounts.grants import Grant, Lease
from stream_server.engine import Engine
from stream_server.errors import StreamServerError
from stream_server.fanout import TICK_S
from stream_server.jobs.job import ENDED, Job, State, VideoOptions, VideoSummary
from stream_server.jobs.jobs import Jobs
from stream_server.video.pace import Pace
from stream_server.web import websocket
from stream_server.web.bodies import BodyLost, EndlessBody
from stream_server.web.current import engine, grant, lease
from stream_server.web.eventstream import EventStream
from stream_server.web.live import HEARTBEAT_S
from stream_server.web.takeover import Finished, one_of_the_budget, take_socket
from stream_server.web.uploads import OUR_PARAMETERS, parse_json, read_json

log = logging.getLogger(__name__)
blueprint = Blueprint("videos", __name__, url_prefix="/api/v1/videos")

TUS = "1.0.0"
PIECE = "application/offset+octet-stream"
NOTHING_FOR_S = 30.0
"""An upload, or a download, in which nothing moves for so long has ended."""


class VideoQuery(VideoOptions):
    """A video that comes as a body, as the query describes it."""

    name: str | None = Field(None, max_length=255, description="File name of the video that is sent.")


class VideoBody(VideoOptions):
    """A video that lies on the server."""

    path: str = Field(max_length=4096, description="Path of a video below `videos.media_root`.")


class VideoProgress(BaseModel):
    """How far work on a video is."""

    frames: int = Field(description="Done.")
    expected: int | None = Field(description="About how many there are.")
    objects: int = Field(description="Followed so far.")
    position_s: float = Field(description="In the video, in seconds.")
    fps: float = Field(description="Frames done per second, lately.")
    left_s: float | None = Field(description="Seconds until the end, about.")

    @classmethod
    def of(cls, pace: Pace) -> VideoProgress:
        """Return it as numbers for people."""
        left_s = None if pace.left_s is None else round(pace.left_s, 1)
        return cls(
            frames=pace.frames,
            expected=pace.expected,
            objects=pace.objects,
            position_s=pace.position_s,
            fps=round(pace.fps, 2),
            left_s=left_s,
        )


class VideoFile(BaseModel):
    """One of the files that were made."""

    name: str
    bytes: int
    url: str


class VideoInfo(BaseModel):
    """A video and how it is doing."""

    id: str
    name: str
    state: State
    reason: str | None = Field(description="Why it failed, in one line.")
    bytes: int = Field(description="Of the video.")
    received: int = Field(description="Of them, those that are here.")
    options: VideoOptions
    progress: VideoProgress | None = Field(description="While it is running.")
    summary: VideoSummary | None = Field(description="When it is done.")
    result: str | None = Field(description="Address of the annotated video, when it is done.")
    files: list[VideoFile] = Field(description="That and what was written beside it, when it is done.")
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None

    @classmethod
    def of(cls, videos: Jobs, job: Job) -> VideoInfo:
        """Return how `job` is doing now."""
        pace, is_done = videos.pace(job.id), job.state == "done"
        is_coming = job.state == "uploading"
        return cls(
            id=job.id,
            name=job.name,
            state=job.state,
            reason=job.reason,
            bytes=job.bytes,
            received=videos.folder.received(job) if is_coming else job.bytes,
            options=job.options,
            progress=VideoProgress.of(pace) if pace and job.state == "running" else None,
            summary=job.summary,
            result=url_for("videos.result", video=job.id) if is_done else None,
            files=_files(videos, job) if is_done else [],
            created_at=_at(job.created_at),
            started_at=job.started_at and _at(job.started_at),
            ended_at=job.ended_at and _at(job.ended_at),
        )


class VideoList(BaseModel):
    """All videos of who asks, the newest first."""

    videos: list[VideoInfo]


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(round(seconds, 3), timezone.utc)


def _files(videos: Jobs, job: Job) -> list[VideoFile]:
    return [
        VideoFile(
            name=file.name,
            bytes=file.bytes,
            url=url_for("videos.result_file", video=job.id, name=file.name),
        )
        for file in videos.folder.results(job)
    ]


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
    _check_version()
    if "Upload-Length" in request.headers:
        job = _create_empty()
    elif request.mimetype == "application/json":
        job = _create_named()
    else:
        job = _create_whole()
    response = _json(VideoInfo.of(engine().videos, job))
    response.status_code = HTTPStatus.CREATED
    response.headers["Location"] = url_for("videos.show", video=job.id, _external=True)
    return response


def _create_empty() -> Job:
    size = _number("Upload-Length")
    asked = _parse(VideoQuery, {**_query(), **_metadata()})
    return engine().videos.add_upload(_owner(grant()), _name_in(asked), size, _options(asked))


def _create_named() -> Job:
    if grant().cameras is not None:
        abort(403, f"files of the server are for who may see all cameras, {grant().name} may see some")
    asked = read_json(VideoBody)
    return engine().videos.add_path(_owner(grant()), asked.path, _options(asked))


def _create_whole() -> Job:
    if request.content_length is None:
        abort(411, "the length of the video is missing; send it in pieces (tus 1.0.0) where it is not known")
    if request.mimetype == "multipart/form-data":
        abort(415, "expected the video itself as the body, not a form")
    asked, videos = _parse(VideoQuery, _query()), engine().videos
    with one_of_the_budget():
        job = videos.add_upload(_owner(grant()), _name_in(asked), request.content_length, _options(asked))
        try:
            _append(job, 0)
        except BaseException:
            videos.remove(job.id)  # nobody knows its address, to go on
            raise
    return videos.find(job.id) or job


def _name_in(asked: VideoQuery) -> str:
    if asked.name is None:
        abort(422, "name: the name of the video is missing")
    return asked.name


def _options(asked: VideoOptions) -> VideoOptions:
    return VideoOptions.model_construct(**{name: getattr(asked, name) for name in VideoOptions.model_fields})


def _query() -> dict[str, str]:
    return {name: text for name, text in request.args.items() if name not in OUR_PARAMETERS}


def _metadata() -> dict[str, str]:
    """Return what `Upload-Metadata` says that we understand; clients say more, such as the kind of file."""
    said: dict[str, str] = {}
    for pair in request.headers.get("Upload-Metadata", "").split(","):
        key, _, text = pair.strip().partition(" ")
        try:
            said[key] = base64.b64decode(text, validate=True).decode("utf-8")
        except (binascii.Error, ValueError):
            abort(400, "Upload-Metadata: expected keys and base64, separated by commas")
    if "filename" in said:
        said.setdefault("name", said["filename"])
    return {key: text for key, text in said.items() if key in VideoQuery.model_fields}


def _parse(model: type[VideoQuery], fields: dict[str, str]) -> VideoQuery:
    return parse_json(model, json.dumps(fields))


def _number(header: str) -> int:
    """Return the number of bytes that a header says; answers 400."""
    text = request.headers.get(header, "")
    if not re.fullmatch("[0-9]{1,18}", text):
        abort(400, f"{header}: expected a number of bytes")
    return int(text)


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
    _check_version()
    job = _find(video)
    if request.mimetype != PIECE:
        abort(415, f"expected Content-Type: {PIECE}")
    offset = _number("Upload-Offset")
    with one_of_the_budget():
        end = _append(job, offset)
    return Response(status=HTTPStatus.NO_CONTENT, headers={"Upload-Offset": str(end)})


def _append(job: Job, offset: int) -> int:
    try:
        return engine().videos.write(job, offset, EndlessBody(NOTHING_FOR_S).pieces())
    except BodyLost as exc:
        abort(400, str(exc))


def _check_version() -> None:
    """Answer 412 to who speaks another version of tus."""
    if request.headers.get("Tus-Resumable", TUS) != TUS:
        abort(412, f"Tus-Resumable: expected {TUS}")


@blueprint.after_request
def _say_what_is_spoken(response: Response) -> Response:
    response.headers["Tus-Resumable"] = TUS
    if request.method == "OPTIONS":
        response.headers["Tus-Version"] = TUS
        response.headers["Tus-Extension"] = "creation,termination"
        response.headers["Tus-Max-Size"] = str(engine().config.videos.max_bytes)
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
        stack.enter_context(one_of_the_budget())
        _limit_waits()
        try:
            response = send_file(path, conditional=True, as_attachment=name is not None)
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
    with one_of_the_budget(), EventStream(take_socket(), request.headers.get("Origin")) as opened:
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
        opened.wait(TICK_S)


def _json(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(), content_type="application/json")
