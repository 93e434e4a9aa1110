"""`/api/v1/settings`: cameras are added, changed, tried and removed while the server runs."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Blueprint, Response, abort
from pydantic import BaseModel, Field, RootModel

blueprint = Blueprint("settings_api", __name__, url_prefix="/api/v1/settings")

MERGE_PATCH = "application/merge-patch+json"

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
    abort(503, "not yet")


@blueprint.put("/cameras/<camera>")
def put_camera(camera: str) -> Response:
    """Add a camera, or replace all of its settings; it is written to the file and takes effect at once."""
    abort(503, "not yet")


@blueprint.patch("/cameras/<camera>")
def patch_camera(camera: str) -> Response:
    """Change some settings of a camera by a JSON merge patch (RFC 7396); null takes a key away."""
    abort(503, "not yet")


@blueprint.delete("/cameras/<camera>")
def delete_camera(camera: str) -> Response:
    """Remove a camera; its streams end."""
    abort(503, "not yet")


@blueprint.post("/test")
def test() -> Response:
    """Open a camera, look at its pictures for a second, and say what they are like, or what is wrong."""
    abort(503, "not yet")
