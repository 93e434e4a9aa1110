"""Who may ask for what: one table, and the check that every request passes before its view runs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from enum import Enum
from math import ceil

from flask import abort, g, redirect, request, url_for
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import HTTPException, TooManyRequests, Unauthorized
from werkzeug.wrappers import Response

from stream_server.accounts.accounts import TooManyTries
from stream_server.accounts.grants import NOBODY, OPEN, Grant
from stream_server.errors import AccountsError
from stream_server.web.context import engine
from stream_server.web.security.credentials import (
    COOKIE,
    IN_ADDRESSES,
    SAFE_METHODS,
    WrongCredentials,
    are_typed_by_hand,
    identify,
)
from stream_server.web.security.proxy import is_from_this_machine, is_own_origin
from stream_server.web.security.signed_links import WrongLink


class Need(Enum):
    """What a route asks of who asks for it."""

    NOTHING = "nothing"
    VIEWER = "a viewer"
    """Views give viewers the cameras of their grant and no others: they ask `current.cameras`. Videos are
    their owner's."""
    ALL_CAMERAS = "a viewer of all cameras"
    CAMERA_ADMIN = "an admin of the camera"
    """Views ask `current.cameras`, as for viewers: a token for one camera's pictures is good for that."""
    ADMIN = "an admin"


NEEDS: Mapping[str, Need] = {
    "static": Need.NOTHING,
    "pages.icon": Need.NOTHING,
    "login.page": Need.NOTHING,
    "login.log_in": Need.NOTHING,
    "login.log_out": Need.NOTHING,
    "health.healthz": Need.NOTHING,
    "health.readyz": Need.NOTHING,
    "pages.index": Need.VIEWER,
    "pages.camera": Need.VIEWER,
    "try_it.page": Need.VIEWER,
    "embed.page": Need.VIEWER,
    "streaming.stream": Need.VIEWER,
    "streaming.snapshot": Need.VIEWER,
    "wall.wall": Need.VIEWER,
    "wall.no_wall": Need.VIEWER,
    "frames.frames": Need.VIEWER,
    "frames.no_frames": Need.VIEWER,
    "live.detections": Need.VIEWER,
    "live.no_detections": Need.VIEWER,
    "live.events": Need.VIEWER,
    "push.push": Need.CAMERA_ADMIN,
    "push.push_messages": Need.CAMERA_ADMIN,
    "push.no_push": Need.CAMERA_ADMIN,
    "status.page": Need.VIEWER,
    "status.show": Need.VIEWER,
    "api.list_cameras": Need.VIEWER,
    "api.show_camera": Need.VIEWER,
    "api.show_detections": Need.VIEWER,
    "history.history": Need.VIEWER,
    "links.make": Need.VIEWER,
    "detect.detect": Need.VIEWER,
    "pages.videos": Need.VIEWER,
    "videos.create": Need.VIEWER,
    "videos.list_videos": Need.VIEWER,
    "videos.show": Need.VIEWER,
    "videos.append": Need.VIEWER,
    "videos.remove": Need.VIEWER,
    "videos.events": Need.VIEWER,
    "videos.result": Need.VIEWER,
    "videos.result_file": Need.VIEWER,
    "doods.detectors": Need.VIEWER,
    "doods.detect": Need.VIEWER,
    "doods.detect_talk": Need.VIEWER,
    "doods.image": Need.VIEWER,
    "vision.annotate": Need.VIEWER,
    "compat.video_feed": Need.VIEWER,
    "ustreamer.stream": Need.VIEWER,
    "ustreamer.snapshot": Need.VIEWER,
    "ustreamer.state": Need.VIEWER,
    "frigate.stream": Need.VIEWER,
    "frigate.latest": Need.VIEWER,
    "discovery_api.discover": Need.ADMIN,
    "settings_api.show": Need.ADMIN,
    "settings_api.put_camera": Need.ADMIN,
    "settings_api.patch_camera": Need.ADMIN,
    "settings_api.delete_camera": Need.ADMIN,
    "settings_api.test": Need.ADMIN,
    "settings.page": Need.ADMIN,
    "regions.page": Need.ADMIN,
    "metrics.metrics": Need.ALL_CAMERAS,
    "openapi.document": Need.VIEWER,
    "openapi.docs": Need.VIEWER,
}
"""By endpoint. What does not stand here is for nobody."""

REALM = "stream-server cameras"
"""With a blank: Werkzeug quotes what it has to, and a realm has to be quoted (RFC 9110, section 11.5)."""


def check_access() -> Response | None:
    """Let the current request pass to its view, or answer it: 401, 403, 429, or the way to the login page.

    What is passed on has its grant in `current.grant`.
    """
    if request.routing_exception is not None:
        return None  # there is no view to be kept from: 404, 405 or a redirect
    if request.method not in SAFE_METHODS and _is_from_another_site():
        abort(403, "this was sent by a page of another site")
    need = NEEDS.get(request.endpoint or "")
    if need is None:
        abort(403, "nothing says who may ask for this")
    g.grant = NOBODY
    if need is Need.NOTHING:
        with suppress(HTTPException, AccountsError):
            g.grant = _grant()
        return None
    try:
        g.grant = _grant()
    except Unauthorized:
        if _is_browsing():
            return _send_to_login()
        raise
    _check_need(g.grant, need)
    return None


def _grant() -> Grant:
    """Return what the request may do; answers 401 where it shows nothing, or what is worth nothing, 429."""
    accounts = engine().accounts
    access = accounts.access
    if access == "this machine" and not is_from_this_machine():
        abort(
            403,
            "no user was added yet, so only who asks on this machine itself gets in, and this came through a "
            "proxy: add a user (stream-server user add NAME), whether server.trusted_proxies names the proxy "
            "or not",
        )
    if access != "accounts":
        return OPEN
    try:
        grant = identify(accounts)
    except WrongCredentials:
        raise _unauthorized("name, password or token is wrong, or not valid any more") from None
    except WrongLink:
        abort(403, "this link is not for this, or not valid any more")
    except TooManyTries as exc:
        raise TooManyRequests(str(exc), retry_after=ceil(exc.wait_s)) from None
    if grant is NOBODY:
        raise _unauthorized("say who you are, by a password or a token")
    return grant


def _check_need(grant: Grant, need: Need) -> None:
    """Answer 403 where a grant is not enough; which cameras it is for is up to `current.cameras`."""
    if grant.methods is not None and request.method not in grant.methods:
        abort(403, f"this is not for {request.method}")
    if need in (Need.CAMERA_ADMIN, Need.ADMIN) and grant.role != "admin":
        abort(403, f"this is for admins, {grant.name} is a viewer")
    if need in (Need.ALL_CAMERAS, Need.ADMIN) and grant.cameras is not None:
        abort(403, f"this is about all cameras, {grant.name} may see some")


def _is_from_another_site() -> bool:
    """Return whether a page of another site made a browser send this (Origin, RFC 6454; Fetch Metadata)."""
    if are_typed_by_hand():
        return False
    origin = request.headers.get("Origin")
    if origin is not None:
        return not is_own_origin(origin)
    return request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin")


def _is_browsing() -> bool:
    """Return whether a person waits for a page, who can be shown another one."""
    if request.method not in ("GET", "HEAD") or request.path.startswith("/api/"):
        return False
    is_page = request.headers.get("Sec-Fetch-Dest", "document") == "document"
    return is_page and "text/html" in request.headers.get("Accept", "")


def _send_to_login() -> Response:
    """Show the login page, which leads back; without a worthless token, that would be in its address too."""
    asked = request.path if any(map(request.args.get, IN_ADDRESSES)) else request.full_path.rstrip("?")
    return redirect(url_for("login.page", next=request.script_root + asked))


def _unauthorized(reason: str) -> Unauthorized:
    """Return the answer 401. Scripts of our pages are not asked for Basic: browsers would show a dialog."""
    is_page = COOKIE in request.cookies or "Sec-Fetch-Site" in request.headers
    schemes = ("bearer",) if is_page else ("basic", "bearer")
    return Unauthorized(reason, www_authenticate=[WWWAuthenticate(s, {"realm": REALM}) for s in schemes])
