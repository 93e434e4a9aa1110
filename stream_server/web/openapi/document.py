"""`/openapi.json` and `/docs`: the API as a document for programs (OpenAPI 3.1) and as a page for people.

Made from the routes, the views' own texts, their pydantic types, and the table in `operations`.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, cast

from flask import Blueprint, Flask, Response, current_app, json, render_template, request
from markupsafe import Markup
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from werkzeug.routing import Rule

import stream_server
from stream_server.web.html import inline
from stream_server.web.openapi.operations import JPEG, MJPEG, OPERATIONS, PROBLEM, Content, Operation
from stream_server.web.schemas import ProblemDetails
from stream_server.web.security.access import NEEDS, Need

blueprint = Blueprint("openapi", __name__)

Json = dict[str, Any]
"""A part of the document; its types are those of OpenAPI, which mypy does not know."""

KEY = "stream_server.openapi"
SUMMARY = "Live cameras, what is in them, and what is in pictures sent here."
ALWAYS = (400, 401, 403, 421, 429)
"""Statuses that any route may answer: odd requests, who asks, and for which server."""
UNREAD = (414, 431)
"""Statuses of requests that the HTTP server in use refuses by itself, with a page of its own."""
REASONS = {
    101: "A WebSocket is open.",
    200: "Here it is.",
    201: "It is there; `Location` says where.",
    204: "Done.",
    206: "Here is the part that was asked for.",
    400: "The request, or a parameter, is wrong.",
    401: "Say who you are.",
    403: "You may not.",
    404: "There is no such thing, or none that you may see.",
    406: "The answer cannot be of the kind that `Accept` names.",
    409: "As it is, this cannot be done with it.",
    411: "The length of the body is missing.",
    412: "Another version of the protocol is spoken here.",
    413: "Too many bytes or pixels.",
    414: "The address is too long.",
    415: "This is of no kind that is understood.",
    416: "There is no such part.",
    421: "The request is for another server's name.",
    422: "An option, or a field, is wrong.",
    429: "Too often.",
    431: "The headers are too long.",
    501: "The HTTP server in use cannot do this.",
    503: "Not now; `Retry-After` says when to try again.",
    504: "The detector took too long.",
    507: "There is no room for it.",
}
PARTS = {"video": "Id of a video.", "name": "Name of one of its files."}
"""What stands for parts of paths that are no names of cameras."""
SECURITY: Json = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A token."},
    "header": {"type": "apiKey", "in": "header", "name": "X-Api-Token", "description": "A token."},
    "query": {"type": "apiKey", "in": "query", "name": "token", "description": "A token, to read only."},
    "link": {"type": "apiKey", "in": "query", "name": "signature", "description": "A signed link's."},
    "basic": {"type": "http", "scheme": "basic", "description": "Name and password."},
}


@blueprint.get("/openapi.json")
def document() -> Response:
    """Return this document."""
    answer = {**_described(), "servers": [{"url": request.script_root or "/"}]}
    return Response(json.dumps(answer), content_type="application/json")


@blueprint.get("/docs")
def docs() -> str:
    """Show the API."""
    root = request.url_root.rstrip("/")
    return render_template(
        "docs.html",
        document=describe(current_app),
        usual={str(status): REASONS[status] for status in sorted({*ALWAYS, *UNREAD})},
        curl=partial(_curl, root),
        prose=_prose,
    )


def _prose(text: str) -> Markup:
    """Return a docstring as HTML: its paragraphs, its `words`, and what is indented as it stands."""
    shown = Markup()
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("    "):
            shown += Markup("<pre><code>{}</code></pre>").format(inspect.cleandoc(paragraph))
            continue
        shown += Markup("<p>{}</p>").format(inline(paragraph))
    return shown


def _described() -> Json:
    """Return the document of the current application, made once: that takes some 25 ms."""
    if KEY not in current_app.extensions:
        current_app.extensions[KEY] = describe(current_app)
    return cast(Json, current_app.extensions[KEY])


def _curl(root: str, method: str, path: str, operation: Json) -> str:
    """Return a command line that uses a route."""
    sent = "image/jpeg" in operation.get("requestBody", {}).get("content", {})
    kinds = operation["responses"].get("200", {}).get("content", {})
    options = ["--no-buffer"] if {"text/event-stream", MJPEG} & kinds.keys() else []
    options += ["--output", "picture.jpg"] if list(kinds) == [JPEG] else []
    options += ["-H", "'Content-Type: image/jpeg'", "--data-binary", "@picture.jpg"] if sent else []
    url = root + re.sub(r"{(\w+)}", lambda match: match[1].upper(), path)
    if "video/mp4" in operation.get("requestBody", {}).get("content", {}):
        options, url = ["-X", "POST", "--upload-file", "video.mp4"], f"'{url}?name=video.mp4'"
    elif method in ("patch", "delete"):
        options += ["-X", method.upper()]
    return " ".join(["curl", *options, url])


def describe(app: Flask) -> Json:
    """Return the document of an application's API."""
    types = _Types(OPERATIONS.values())
    paths: Json = {}
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        operation = OPERATIONS.get(rule.endpoint)
        if operation and not rule.websocket:
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                described = _describe(app, rule, operation, types)
                paths.setdefault(_path(rule), {})[method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {"title": "stream-server", "version": stream_server.__version__, "summary": SUMMARY},
        "paths": paths,
        "components": {"schemas": types.components, "securitySchemes": SECURITY},
    }


class _Types:
    """The schemas of all pydantic types in use."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        asked: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {(ProblemDetails, "serialization"): None}
        for operation in operations:
            answers = (operation.answer or {}, *operation.others.values())
            sent = (operation.body or {}).values()
            asked |= {(model, "serialization"): None for each in answers for model in each.values() if model}
            asked |= {(model, "validation"): None for model in sent if model}
        self._references, definitions = models_json_schema(
            list(asked), ref_template="#/components/schemas/{model}"
        )
        self.components: Json = _without_titles(definitions["$defs"])

    def content(self, content: Content, mode: JsonSchemaMode) -> Json:
        """Return the media types of an answer or a body."""
        return {
            kind: {"schema": self._references[model, mode] if model else _schema_without_model(kind)}
            for kind, model in content.items()
        }


def _schema_without_model(kind: str) -> Json:
    """Return what a body of this media type is; generators of clients skip one without a schema."""
    if kind == "application/json":
        return {"type": "object"}
    return {"type": "string"} if kind.startswith("text/") else {"type": "string", "format": "binary"}


def _describe(app: Flask, rule: Rule, operation: Operation, types: _Types) -> Json:
    summary, description = _texts(app, operation.about or rule.endpoint)
    need = NEEDS[rule.endpoint]
    for_whom = "" if need is Need.NOTHING else f"For {need.value}."
    found: Json = {
        "operationId": rule.endpoint.replace(".", "_"),
        "tags": [operation.tag],
        "summary": summary,
        "description": "\n\n".join(filter(None, (description, for_whom))),
        "parameters": [*_path_parameters(rule), *_query_parameters(operation.query)],
        "responses": _responses(rule, operation, types),
        "security": [] if need is Need.NOTHING else [{}, *({name: []} for name in SECURITY)],
    }
    if operation.body:
        found["requestBody"] = {"required": True, "content": types.content(operation.body, "validation")}
    return {name: value for name, value in found.items() if value or name == "security"}


def _texts(app: Flask, endpoint: str) -> tuple[str, str]:
    """Return what a view says of itself: its first line, and the rest, or how its WebSocket is spoken to."""
    view = app.view_functions[endpoint]
    summary, _, description = inspect.cleandoc(view.__doc__ or "").partition("\n")
    if any(rule.websocket for rule in app.url_map.iter_rules(endpoint)):
        description = sys.modules[view.__module__].__doc__ or ""
    return summary, description.strip()


def _path(rule: Rule) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)


def _path_parameters(rule: Rule) -> Iterator[Json]:
    for name in sorted(rule.arguments):
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "description": PARTS.get(name, f"Name of a {name}."),
            "schema": {"type": "string", "minLength": 1},
        }


def _query_parameters(model: type[BaseModel] | None) -> Iterator[Json]:
    schema = model.model_json_schema() if model else {}
    for name, field in _without_titles(schema.get("properties", {})).items():
        described = field.pop("description", "")
        choices = [choice for choice in field.pop("anyOf", []) if choice != {"type": "null"}]
        (kind,) = choices or ({},)
        found = {**field, **kind}
        if found.get("default", ...) is None:
            del found["default"]
        is_list = found.get("type") == "array"
        yield {
            "name": name,
            "in": "query",
            "description": described,
            "schema": found,
            **({"style": "form", "explode": False} if is_list else {}),
        }


def _responses(rule: Rule, operation: Operation, types: _Types) -> Json:
    answers: dict[int, Content] = {status: _problem(rule) for status in (*ALWAYS, *operation.errors)}
    answers.update({status: {"text/html": None} for status in UNREAD})
    answers[101 if operation.answer is None else operation.status] = operation.answer or {}
    answers.update(operation.others)
    return {
        str(status): {
            "description": REASONS[status],
            **({"content": types.content(content, "serialization")} if content else {}),
        }
        for status, content in sorted(answers.items())
    }


def _problem(rule: Rule) -> Content:
    """Return what a problem may be shown as: to an `<img>` as a picture, to who browses as a page."""
    shown: Content = PROBLEM if "POST" in (rule.methods or ()) else {**PROBLEM, JPEG: None}
    return shown if rule.rule.startswith("/api/") else {**shown, "text/html": None}


def _without_titles(schema: Any) -> Any:
    """Return a schema without the titles that pydantic makes of names."""
    if isinstance(schema, Mapping):
        return {
            name: _without_titles(value)
            for name, value in schema.items()
            if name != "title" or not isinstance(value, str)
        }
    return [_without_titles(value) for value in schema] if isinstance(schema, list) else schema
