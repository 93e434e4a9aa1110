"""The Flask application: routes, the headers every answer carries, and how errors are shown."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask, Request, Response, json, render_template, request
from werkzeug.exceptions import HTTPException

import stream_server
from detector.errors import DetectorBusy, DetectorError, DetectorTimeout, DetectorUnavailable, WorkerLost
from stream_server.drawing.message import message_picture
from stream_server.engine import Engine
from stream_server.errors import (
    AccountsError,
    ClientLimitError,
    ConfigError,
    EncodeError,
    ImageError,
    ImageTooLarge,
    JobError,
    LimitError,
    OptionError,
    SettingsConflict,
    SourceError,
    StorageError,
    UnknownCamera,
    UnsupportedImage,
    UploadConflict,
    VideoTooLarge,
)
from stream_server.media.encode import encode_jpeg
from stream_server.net.guarded_fetch import FetchTimeout
from stream_server.settings.live import LiveSettings
from stream_server.web import api, compat, live, openapi, pages, security
from stream_server.web.api.video_uploads import overridden
from stream_server.web.context import KEY, SETTINGS
from stream_server.web.pages import embed
from stream_server.web.security import access, hosts, login, proxy

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

STATUS_OF: dict[type[Exception], HTTPStatus] = {
    ImageError: ImageError.status,
    ImageTooLarge: ImageTooLarge.status,
    UnsupportedImage: UnsupportedImage.status,
    OptionError: HTTPStatus.UNPROCESSABLE_ENTITY,
    FetchTimeout: HTTPStatus.GATEWAY_TIMEOUT,
    LimitError: HTTPStatus.SERVICE_UNAVAILABLE,
    ClientLimitError: HTTPStatus.TOO_MANY_REQUESTS,
    JobError: HTTPStatus.UNPROCESSABLE_ENTITY,
    UploadConflict: HTTPStatus.CONFLICT,
    VideoTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    StorageError: HTTPStatus.INSUFFICIENT_STORAGE,
    UnknownCamera: HTTPStatus.NOT_FOUND,
    SettingsConflict: HTTPStatus.CONFLICT,
    ConfigError: HTTPStatus.UNPROCESSABLE_ENTITY,
    SourceError: HTTPStatus.UNPROCESSABLE_ENTITY,
    AccountsError: HTTPStatus.SERVICE_UNAVAILABLE,
    EncodeError: HTTPStatus.INTERNAL_SERVER_ERROR,
    DetectorBusy: HTTPStatus.SERVICE_UNAVAILABLE,
    DetectorUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    WorkerLost: HTTPStatus.SERVICE_UNAVAILABLE,
    DetectorTimeout: HTTPStatus.GATEWAY_TIMEOUT,
    DetectorError: HTTPStatus.INTERNAL_SERVER_ERROR,
}


class _Request(Request):
    def __init__(self, environ: WSGIEnvironment, *args: Any, **kwargs: Any) -> None:
        environ["REQUEST_METHOD"] = overridden(environ)
        super().__init__(environ, *args, **kwargs)


CONTENT_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'self'"
)
ERROR_SIZE_WH = (640, 360)
"""Of the picture that tells an `<img>` what went wrong."""

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: browsers would send our own forms with `Origin: null` (Fetch Standard, section 3.2).
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), display-capture=(), usb=()",
}
TLS_FOR_S = 30 * 86400
"""For so long browsers come back by https alone; it holds for all ports of the host, so no longer."""


def create_app(engine: Engine, settings: LiveSettings | None = None) -> Flask:
    """Return the WSGI application around a started engine; the caller closes the engine.

    settings: what the engine runs by; default: settings that nobody can change.
    """
    root = _resources()
    app = Flask("stream_server", template_folder=str(root / "templates"), static_folder=str(root / "static"))
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.config["MAX_CONTENT_LENGTH"] = 20 * 1024 * 1024
    app.extensions[KEY] = engine
    app.extensions[SETTINGS] = settings or LiveSettings(engine)
    for package in (security, pages, live, api, compat, openapi):
        for blueprint in package.BLUEPRINTS:
            app.register_blueprint(blueprint)
    app.register_error_handler(HTTPException, _show_http_error)
    for error in STATUS_OF:
        app.register_error_handler(error, _show_error)
    app.before_request(hosts.check_host)
    app.before_request(access.check_access)
    app.context_processor(login.visitor)
    app.after_request(_add_headers)
    app.jinja_env.globals["version"] = stream_server.__version__
    app.request_class = _Request
    server = engine.config.server
    app.wsgi_app = proxy.BehindProxies(app.wsgi_app, server, app.url_map)  # type: ignore[method-assign]
    return app


def _resources() -> Path:
    """Return the folder that holds `templates` and `static`: inside the package, or the checkout's top."""
    package = Path(stream_server.__file__).parent
    return package if (package / "templates").is_dir() else package.parent


def _add_headers(response: Response) -> Response:
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    policy = " ".join((CONTENT_POLICY, *embed.framing_sites()))
    response.headers.setdefault("Content-Security-Policy", policy)
    if request.is_secure:
        response.headers.setdefault("Strict-Transport-Security", f"max-age={TLS_FOR_S}")
    embed.share(response)
    if request.endpoint != "static":
        response.headers.setdefault("Cache-Control", "no-store")
    return response


def _show_error(error: Exception) -> Response:
    status = next(STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)
    more = {name: value for name in ("field", "limit") if (value := getattr(error, name, None)) is not None}
    response = _answer(status, str(error), more)
    if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        response.headers["Retry-After"] = "5"
    return response


def _show_http_error(error: HTTPException) -> Response:
    response = _answer(HTTPStatus(error.code or 500), error.description or "")
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            response.headers.add(name, value)
    return response


def _answer(status: HTTPStatus, detail: str, more: Mapping[str, str | int] | None = None) -> Response:
    """Return a page to who browses, a picture to an `<img>`, else problem details (RFC 9457).

    more: members of the problem besides the usual ones.
    """
    kinds = ("application/problem+json", "text/html", "image/jpeg")
    accepted = request.accept_mimetypes.best_match(kinds)
    if accepted == "image/jpeg" and request.method == "GET":
        picture = message_picture(ERROR_SIZE_WH, status.phrase, detail)
        return Response(encode_jpeg(picture, 80), status, content_type=accepted)
    if accepted == "text/html" and not request.path.startswith("/api/"):
        return Response(render_template("error.html", status=status, detail=detail), status)
    problem = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail}
    problem |= more or {}
    return Response(json.dumps(problem), status, content_type="application/problem+json")
