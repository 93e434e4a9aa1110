"""How a request says who asks.

By a token in `Authorization: Bearer`, `X-Api-Token` or `doods-auth-key`, or in the address (`?token=`, for an
`<img>`); by a signed link (`?signature=`, see `links`); by a session's cookie, for pages; by Basic, with name
and password or a token as password. What stands first here counts: a proxy may want a Basic of its own.
"""

from __future__ import annotations

from dataclasses import replace

from flask import request
from werkzeug.wrappers import Response

from stream_server.accounts.accounts import Accounts
from stream_server.accounts.grants import NOBODY, Grant
from stream_server.accounts.passwords import looks_like_token
from stream_server.web.security import signed_links

COOKIE = "stream_server_session"
TOKEN_HEADERS = ("X-Api-Token", "doods-auth-key")
IN_ADDRESSES = ("token", signed_links.PARAMETER)
"""Parameters of an address that say who asks."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class WrongCredentials(Exception):
    """What was shown is worth nothing: unknown, expired, revoked, or not to be read."""


def identify(accounts: Accounts) -> Grant:
    """Return what the current request may do by what it shows, NOBODY where it shows nothing.

    Raises WrongCredentials, WrongLink, TooManyTries, AccountsError.
    """
    if token := _bearer() or _token_in_header():
        return _worth(accounts.by_token(token))
    if token := _token_in_address():
        return replace(_worth(accounts.by_token(token)), methods=SAFE_METHODS)
    if signature := _signature_in_address():
        return signed_links.grant_of(accounts, signature)
    if session := accounts.by_session(request.cookies.get(COOKIE, "")):
        return session
    return _by_basic(accounts) if "Authorization" in request.headers else NOBODY


def are_typed_by_hand() -> bool:
    """Whether no browser sends by itself what the current request shows: no other page makes it do so."""
    return bool(_bearer() or _token_in_header())


def set_cookie(response: Response, secret: str, lifetime_s: float) -> None:
    """Let the browser show a session from now on, out of reach of scripts and of other sites' forms."""
    response.set_cookie(
        COOKIE,
        secret,
        max_age=int(lifetime_s),
        path=request.script_root or "/",
        secure=request.is_secure,
        httponly=True,
        samesite="Lax",
    )


def delete_cookie(response: Response) -> None:
    """Let the browser forget the session."""
    response.delete_cookie(COOKIE, path=request.script_root or "/", secure=request.is_secure, httponly=True)


def _by_basic(accounts: Accounts) -> Grant:
    shown = request.authorization
    if shown is None or shown.type != "basic":
        raise WrongCredentials
    name, password = shown.username or "", shown.password or ""
    if looks_like_token(password):
        return _worth(accounts.by_token(password))
    if not name:
        raise WrongCredentials
    return _worth(accounts.by_password(name, password, request.remote_addr or ""))


def _bearer() -> str:
    shown = request.authorization
    return shown.token or "" if shown is not None and shown.type == "bearer" else ""


def _token_in_header() -> str:
    return next(filter(None, map(request.headers.get, TOKEN_HEADERS)), "")


def _token_in_address() -> str:
    return request.args.get("token", "") if request.method in SAFE_METHODS else ""


def _signature_in_address() -> str:
    return request.args.get(signed_links.PARAMETER, "") if request.method in SAFE_METHODS else ""


def _worth(grant: Grant | None) -> Grant:
    if grant is None:
        raise WrongCredentials
    return grant
