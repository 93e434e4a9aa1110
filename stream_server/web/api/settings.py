"""`/api/v1/settings`: cameras are added, changed, tried and removed while the server runs."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

from flask import Blueprint, Response, abort, json, request
from pydantic import BaseModel, Field, RootModel, ValidationError

from stream_server.base import redaction
from stream_server.cameras.camera import Camera
from stream_server.cameras.probe import Probe
from stream_server.config import SourceConfig, source_of
from stream_server.config.validation import explain_errors
from stream_server.errors import ConfigError
from stream_server.settings.masking import unmasked
from stream_server.web.arguments import parse_json
from stream_server.web.context import engine, settings
from stream_server.web.request_body import bounded_body

blueprint = Blueprint("settings_api", __name__, url_prefix="/api/v1/settings")

MERGE_PATCH = "application/merge-patch+json"
MAX_BYTES = 64 * 1024

Body = TypeVar("Body", bound=BaseModel)

_probe = Probe()

CameraSection = Annotated[
    dict[str, Any], Field(description="The keys of a camera, as in the configuration file.")
]


class CameraBody(RootModel[CameraSection]):
    """A camera's section of the configuration; `***` stands for a secret that is kept."""


class TestBody(BaseModel, extra="allow"):
    """A camera that may be tried: the keys of its section, of which `source` is the address."""

    source: str
    name: str | None = Field(None, description="Of the camera whose stored secret `***` stands for.")


class Finding(BaseModel):
    """What a camera that was tried shows."""

    width: int
    height: int
    fps: float = Field(description="Pictures per second, over one second; 0 when no second one came.")
    description: str = Field(description="What the source says about itself, e.g. its codec and transport.")
    took_ms: int

    @classmethod
    def of(cls, camera: Camera) -> Finding:
        """Return what a camera shows that is open already: many let nobody else in."""
        width, height = camera.size_wh
        return cls(
            width=width, height=height, fps=round(camera.fps, 1), description=camera.description, took_ms=0
        )


class SettingsInfo(BaseModel):
    """The cameras as they are configured, and what can be done about them."""

    file: str | None = Field(description="Name of the configuration file; null when there is none.")
    is_writable: bool = Field(description="Whether cameras can be changed here.")
    reason: str | None = Field(None, description="Why not, when they cannot.")
    error: str | None = Field(
        description="Why the file is not in effect: it was changed by hand and is wrong, and what was before "
        "stays."
    )
    needs_restart: list[str] = Field(description="Keys that were changed and take effect with a restart.")
    cameras: dict[str, CameraSection] = Field(description="By name; secrets are masked as `***`.")
    fixed: list[str] = Field(description="Cameras that the command line sets: not to be changed here.")


@blueprint.get("")
def show() -> Response:
    """Return the cameras as they are configured, with secrets masked."""
    shown = settings().show()
    return _json(
        SettingsInfo(
            file=shown.file,
            is_writable=shown.why_read_only is None,
            reason=shown.why_read_only,
            error=shown.error,
            needs_restart=shown.needs_restart,
            cameras=shown.cameras,
            fixed=shown.fixed,
        )
    )


@blueprint.put("/cameras/<camera>")
def put_camera(camera: str) -> Response:
    """Add a camera, or replace all of its settings; it is written to the file and takes effect at once."""
    is_new = settings().put(camera, _body(CameraBody).root)
    response = _section(camera)
    response.status_code = HTTPStatus.CREATED if is_new else HTTPStatus.OK
    return response


@blueprint.patch("/cameras/<camera>")
def patch_camera(camera: str) -> Response:
    """Change some settings of a camera by a JSON merge patch (RFC 7396); null takes a key away."""
    settings().patch(camera, _body(CameraBody).root)
    return _section(camera)


@blueprint.delete("/cameras/<camera>")
def delete_camera(camera: str) -> Response:
    """Remove a camera; its streams end."""
    settings().remove(camera)
    return Response(status=HTTPStatus.NO_CONTENT)


@blueprint.post("/test")
def test() -> Response:
    """Open a camera, look at its pictures for a second, and say what they are like, or what is wrong."""
    section = _body(TestBody).model_dump()
    name = section.pop("name") or ""
    running = engine().pipelines.get(name)
    with redaction.passing():
        config = _source(unmasked(section, settings().stored(name)))
        if running and running.camera.is_online and source_of(running.config) == config:
            return _json(Finding.of(running.camera))
        return _json(Finding.model_validate(_probe.look_at(config), from_attributes=True))


def _source(section: Mapping[str, Any]) -> SourceConfig:
    """Return what a camera's section asks of its source. Raises ConfigError."""
    asked = {key: value for key, value in section.items() if key in SourceConfig.model_fields}
    try:
        return SourceConfig.model_validate(asked)
    except ValidationError as exc:
        raise ConfigError("\n".join(explain_errors(exc, SourceConfig))) from None


def _section(camera: str) -> Response:
    return Response(json.dumps(settings().section(camera)), content_type="application/json")


def _json(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(), content_type="application/json")


def _body(model: type[Body]) -> Body:
    """Return what the current request says; answers 415 to what is no JSON."""
    if request.mimetype not in ("application/json", MERGE_PATCH):
        abort(415, "expected Content-Type: application/json")
    with bounded_body(MAX_BYTES):
        return parse_json(model, request.get_data(cache=False))
