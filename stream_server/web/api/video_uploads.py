"""Videos as they come: as the body of one request, in pieces by tus 1.0.0, or named on the server.

tus: https://tus.io/protocols/resumable-upload, with the extensions creation and termination.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Response, abort, request
from pydantic import Field

from stream_server.errors import AccountsError, OptionError
from stream_server.jobs.job import Job, VideoOptions
from stream_server.jobs.jobs import Jobs
from stream_server.web.arguments import parse_json, query
from stream_server.web.context import grant
from stream_server.web.request_body import read_json
from stream_server.web.transport.endless_body import BodyLost, EndlessBody
from stream_server.web.transport.socket_takeover import long_request_slot

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

TUS = "1.0.0"
PIECE = "application/offset+octet-stream"
NOTHING_FOR_S = 30.0
"""An upload in which nothing moves for so long has ended."""


class VideoQuery(VideoOptions):
    """A video that comes as a body, as the query describes it."""

    name: str | None = Field(None, max_length=255, description="File name of the video that is sent.")


class VideoBody(VideoOptions):
    """A video that lies on the server."""

    path: str = Field(max_length=4096, description="Path of a video below `videos.media_root`.")


def take_video(videos: Jobs, owner: str) -> Job:
    """Return the job about the video that the current request brings, announces or names.

    Raises what `Jobs.add_upload`, `add_path` and `write` do; answers 4xx for a request that is not right.
    """
    _check_version()
    if "Upload-Length" in request.headers:
        return _announced(videos, owner)
    if request.mimetype == "application/json":
        return _named(videos, owner)
    return _whole(videos, owner)


def _announced(videos: Jobs, owner: str) -> Job:
    size = _number("Upload-Length")
    asked = _parse(VideoQuery, {**query(), **_metadata()})
    return videos.add_upload(owner, _name_in(asked), size, _options(asked))


def _named(videos: Jobs, owner: str) -> Job:
    if grant().cameras is not None:
        abort(403, f"files of the server are for who may see all cameras, {grant().name} may see some")
    asked = read_json(VideoBody)
    return videos.add_path(owner, asked.path, _options(asked))


def _whole(videos: Jobs, owner: str) -> Job:
    if request.content_length is None:
        abort(411, "the length of the video is missing; send it in pieces (tus 1.0.0) where it is not known")
    if request.mimetype == "multipart/form-data":
        abort(415, "expected the video itself as the body, not a form")
    asked = _parse(VideoQuery, query())
    with long_request_slot():
        job = videos.add_upload(owner, _name_in(asked), request.content_length, _options(asked))
        try:
            _append(videos, job, 0)
        except BaseException:
            videos.remove(job.id)  # nobody knows its address, to go on
            raise
    try:
        return videos.find(job.id) or job
    except AccountsError:
        return job  # it is whole, and queued once the database can be used


def _name_in(asked: VideoQuery) -> str:
    if asked.name is None:
        raise OptionError("name", "the name of the video is missing")
    return asked.name


def _options(asked: VideoOptions) -> VideoOptions:
    return VideoOptions.model_construct(**{name: getattr(asked, name) for name in VideoOptions.model_fields})


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


def take_piece(videos: Jobs, job: Job) -> int:
    """Append the piece of a video in the current request; return how many bytes are there then.

    Raises what `Jobs.write` does; answers 4xx for a request that is not right.
    """
    _check_version()
    if request.mimetype != PIECE:
        abort(415, f"expected Content-Type: {PIECE}")
    offset = _number("Upload-Offset")
    with long_request_slot():
        return _append(videos, job, offset)


def _append(videos: Jobs, job: Job, offset: int) -> int:
    try:
        return videos.write(job, offset, EndlessBody(NOTHING_FOR_S).pieces())
    except BodyLost as exc:
        abort(400, str(exc))


def _check_version() -> None:
    """Answer 412 to who speaks another version of tus."""
    if request.headers.get("Tus-Resumable", TUS) != TUS:
        abort(412, f"Tus-Resumable: expected {TUS}")


def tell_protocol(response: Response, max_bytes: int) -> None:
    """Say in the headers of an answer what is spoken; max_bytes: of a video."""
    response.headers["Tus-Resumable"] = TUS
    if request.method == "OPTIONS" or response.status_code == HTTPStatus.PRECONDITION_FAILED:
        response.headers["Tus-Version"] = TUS
    if request.method == "OPTIONS":
        response.headers["Tus-Extension"] = "creation,termination"
        response.headers["Tus-Max-Size"] = str(max_bytes)


def overridden(environ: WSGIEnvironment) -> str:
    """Return the method of a request of tus, which may stand in a header where clients can send no other."""
    method: str = environ["REQUEST_METHOD"]
    asked: str = environ.get("HTTP_X_HTTP_METHOD_OVERRIDE", "").upper()
    is_tus = method == "POST" and "HTTP_TUS_RESUMABLE" in environ and asked in ("PATCH", "DELETE")
    return asked if is_tus else method
