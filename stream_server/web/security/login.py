"""Logging in and out with a browser; works without scripts."""

from __future__ import annotations

import re
from http import HTTPStatus
from math import ceil

from flask import Blueprint, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from stream_server.accounts.accounts import TooManyTries
from stream_server.web.context import engine, grant
from stream_server.web.security.credentials import COOKIE, delete_cookie, set_cookie

blueprint = Blueprint("login", __name__)

NO_USER = "No user was added yet, so nobody can log in: `stream-server user add NAME` adds one."

_OWN_PATH = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]*")


@blueprint.get("/login")
def page() -> Response:
    """Show the form, or what was asked for where nobody has to log in."""
    if engine().accounts.access != "accounts" or grant().key.startswith("session:"):
        return redirect(_target())
    nobody = "" if engine().accounts.have_users else NO_USER
    return _form(nobody, HTTPStatus.OK)


@blueprint.post("/login")
def log_in() -> Response:
    """Open a session, always a new one, and show what was asked for."""
    accounts = engine().accounts
    name, password = request.form.get("name", ""), request.form.get("password", "")
    try:
        user = accounts.by_password(name, password, request.remote_addr or "") if name else None
    except TooManyTries as exc:
        return _form(
            f"Too many tries. Wait {_in_words(exc.wait_s)}.", HTTPStatus.TOO_MANY_REQUESTS, exc.wait_s
        )
    if user is None:
        return _form("Name or password is wrong.", HTTPStatus.FORBIDDEN)
    accounts.close_session(request.cookies.get(COOKIE, ""))
    response = redirect(_target(), HTTPStatus.SEE_OTHER)
    set_cookie(response, accounts.open_session(user.name), accounts.session_s)
    return response


@blueprint.post("/logout")
def log_out() -> Response:
    """End the session; what it still watches ends too."""
    engine().accounts.close_session(request.cookies.get(COOKIE, ""))
    response = redirect(url_for("login.page"), HTTPStatus.SEE_OTHER)
    delete_cookie(response)
    return response


def visitor() -> dict[str, str | bool]:
    """Return who is logged in, for the head of each page, empty for who has no session; and who may set."""
    who = grant()
    may_set = who.role == "admin" and who.cameras is None
    return {"visitor": who.name if who.key.startswith("session:") else "", "may_set": may_set}


def _target() -> str:
    """Return where to go then: a path of ours, whatever the address of the login page says."""
    wanted = request.values.get("next", "")
    is_ours = _OWN_PATH.fullmatch(wanted) and wanted.startswith(f"{request.script_root}/")
    return wanted if is_ours else url_for("pages.index")


def _form(error: str, status: HTTPStatus, wait_s: float = 0.0) -> Response:
    response = make_response(render_template("login.html", error=error, target=_target()), status)
    if wait_s:
        response.headers["Retry-After"] = str(ceil(wait_s))
    return response


def _in_words(seconds: float) -> str:
    minutes = ceil(seconds / 60)
    return f"{ceil(seconds)} s" if seconds < 60 else f"{minutes} minute{'s' * (minutes > 1)}"
