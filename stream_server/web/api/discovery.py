"""`/api/v1/discovery`: the cameras that can be found from here, looked for when an admin asks."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address

from flask import Blueprint, Response, abort, current_app, request
from flask.blueprints import BlueprintSetupState
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from stream_server.base import redaction
from stream_server.discovery import MAKERS, Found, OnvifCamera, Search, lasting_path
from stream_server.discovery.onvif import Login
from stream_server.sources.v4l2 import WebcamInfo
from stream_server.web.arguments import parse_json
from stream_server.web.context import settings
from stream_server.web.request_body import bounded_body

blueprint = Blueprint("discovery_api", __name__, url_prefix="/api/v1")

KEY = "discovery"
MAX_BYTES = 16 * 1024


class DiscoveryBody(BaseModel):
    """Nothing, to search; or a camera that was found, and who asks it for its streams."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    address: IPv4Address | None = Field(None, description="Of a camera that answered the last search.")
    username: str = Field("", max_length=256, description="A user of that camera.")
    password: SecretStr = Field(
        SecretStr(""), max_length=256, description="Sent to that camera alone, as a digest."
    )


class FoundWebcam(BaseModel):
    """A webcam of the server's machine."""

    source: str = Field(description="What a camera's `source` is to be.")
    name: str = Field(description="What it calls itself.")


class FoundOnvif(BaseModel):
    """A camera that answered the search of the local network."""

    name: str = Field(description="What it calls itself.")
    address: str
    maker: str | None = Field(description="Whose it seems to be, where that is known.")
    source_hints: list[str] = Field(description="What its `source` may be, best first.")
    are_told: bool = Field(
        description="Whether the camera told them; else they are what its maker's use to be."
    )
    needs_password: bool = Field(description="Whether it tells its streams only to who logs in.")


class Discovered(BaseModel):
    """What a search found."""

    webcams: list[FoundWebcam]
    onvif: list[FoundOnvif]
    took_ms: int


@blueprint.record_once
def _prepare(state: BlueprintSetupState) -> None:
    """Give the application its search, and the first page (first_run.html) what it shows."""
    search = state.app.extensions[KEY] = Search()
    state.app.jinja_env.globals.update(
        camera_makers=MAKERS,
        find_webcams=lambda: _webcams(search.webcams()),
        needs_first_camera=lambda: settings().names_no_camera,
        why_read_only=lambda: settings().show().why_read_only,
        settings_file=lambda: settings().show().file,
    )


@blueprint.post("/discovery")
def discover() -> Response:
    """Look for webcams and, for 3 s, for ONVIF cameras on the local network; one search at a time.

    With a camera's address and a login: ask that camera for its streams.
    """
    search: Search = current_app.extensions[KEY]
    asked = _read_body()
    if asked.address is None:
        return _answer(_discovered(search.run()))
    password = asked.password.get_secret_value()
    with redaction.passing():
        redaction.register(password)
        camera = search.ask(asked.address, Login(asked.username, password))
    return _answer(Discovered(webcams=[], onvif=[_onvif(camera)], took_ms=0))


def _read_body() -> DiscoveryBody:
    with bounded_body(MAX_BYTES):
        body = request.get_data(cache=False)
    if not body:
        return DiscoveryBody()
    if request.mimetype != "application/json":
        abort(415, "expected Content-Type: application/json, or no body")
    return parse_json(DiscoveryBody, body)


def _discovered(found: Found) -> Discovered:
    onvif = [_onvif(camera) for camera in found.onvif]
    return Discovered(webcams=_webcams(found.webcams), onvif=onvif, took_ms=round(1000 * found.took_s))


def _webcams(found: Iterable[WebcamInfo]) -> list[FoundWebcam]:
    return [FoundWebcam(source=lasting_path(webcam), name=webcam.name) for webcam in found]


def _onvif(camera: OnvifCamera) -> FoundOnvif:
    return FoundOnvif(
        name=camera.name,
        address=str(camera.address),
        maker=camera.maker,
        source_hints=list(camera.source_hints),
        are_told=camera.are_told,
        needs_password=camera.needs_password,
    )


def _answer(model: Discovered) -> Response:
    return Response(model.model_dump_json(), content_type="application/json")
