"""`/api/v1/urls`: addresses of a camera that work for whoever has them, until they expire.

They carry a signature (`?signature=`), and what it grants ends with what its maker may. So does what runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Literal

from flask import Blueprint, Response, abort, request, url_for
from pydantic import BaseModel, ConfigDict, Field

from stream_server.accounts.accounts import Accounts
from stream_server.accounts.grants import Grant, LinkKind
from stream_server.web.arguments import parse_json
from stream_server.web.context import engine, grant, pipeline
from stream_server.web.request_body import bounded_body

blueprint = Blueprint("links", __name__, url_prefix="/api/v1")

PARAMETER = "signature"
MAX_BYTES = 16 * 1024
YEAR_S = 366 * 86400

PAGES: Mapping[LinkKind, str] = {
    "stream": "streaming.stream",
    "snapshot": "streaming.snapshot",
    "embed": "embed.page",
}
"""What a link of each kind leads to."""
GOOD_FOR: Mapping[LinkKind, frozenset[str]] = {
    "stream": frozenset({"streaming.stream"}),
    "snapshot": frozenset({"streaming.snapshot"}),
    "embed": frozenset({"embed.page", "streaming.stream", "streaming.snapshot", "wall.wall"}),
}
"""The endpoints that may be asked with its signature."""


class WrongLink(Exception):
    """A signature that is worth nothing: altered, expired, revoked, or of a link to something else."""


class LinkBody(BaseModel):
    """What a link is to be for."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    camera: str = Field(description="Its name.")
    kind: LinkKind = Field(
        "stream", description="The stream, one picture, or a page that shows it in each way browsers can."
    )
    method: Literal["GET"] = Field("GET", description="Links are for looking.")
    expires_in_s: int = Field(86400, ge=1, le=YEAR_S, description="Seconds until it ends.")


class SignedLink(BaseModel):
    """A link, to be given away."""

    url: str
    camera: str
    kind: LinkKind
    expires_at: datetime = Field(description="UTC; no later than the token ends by which it was made.")


@blueprint.post("/urls")
def make() -> Response:
    """Make a link by which anybody sees a camera, until it ends or you may not see the camera any more."""
    if request.mimetype != "application/json":
        abort(415, "expected Content-Type: application/json")
    with bounded_body(MAX_BYTES):
        asked = parse_json(LinkBody, request.get_data(cache=False))
    camera, accounts = pipeline(asked.camera).name, engine().accounts
    if not accounts.can_link:
        abort(
            409, "there are no accounts in a file, which links need; without any, addresses work as they are"
        )
    signature, link = accounts.make_link(grant(), asked.kind, camera, asked.expires_in_s)
    answer = SignedLink(
        url=url_for(PAGES[asked.kind], camera=camera, _external=True, **{PARAMETER: signature}),
        camera=camera,
        kind=asked.kind,
        expires_at=datetime.fromtimestamp(link.expires_at, timezone.utc),
    )
    return Response(answer.model_dump_json(), content_type="application/json")


def grant_of(accounts: Accounts, signature: str) -> Grant:
    """Return what a signature lets the current request do. Raises WrongLink, AccountsError."""
    found = accounts.by_link(signature)
    if found is None or found.link is None:
        raise WrongLink
    asked = (request.view_args or {}).get("camera", found.link.camera)
    if request.endpoint not in GOOD_FOR[found.link.kind] or asked != found.link.camera:
        raise WrongLink
    return found
