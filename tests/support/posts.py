"""Requests with a body, as clients of the API send them."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection

from tests.support.server import Answer

_BOUNDARY = "x-boundary-x"


def post(
    port: int,
    path: str,
    body: bytes | None = b"",
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 20,
    *,
    method: str = "POST",
) -> Answer:
    """Return the answer to a body as it is."""
    connection = HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    started = time.monotonic()
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        data = response.read()
    finally:
        connection.close()
    lower = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, lower, data, time.monotonic() - started)


def post_json(
    port: int,
    path: str,
    body: object,
    headers: Mapping[str, str] | None = None,
    *,
    method: str = "POST",
) -> Answer:
    """Return the answer to `body` as JSON."""
    headers = {"Content-Type": "application/json", **(headers or {})}
    return post(port, path, json.dumps(body).encode(), headers, method=method)


def post_form(
    port: int, path: str, files: Sequence[bytes], fields: Mapping[str, str] | None = None
) -> Answer:
    """Return the answer to a form with files, all of the field `image`, and other fields."""
    parts = [
        f'Content-Disposition: form-data; name="image"; filename="{number}.jpg"\r\n\r\n'.encode() + data
        for number, data in enumerate(files)
    ]
    parts += [
        f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()
        for name, value in (fields or {}).items()
    ]
    body = b"".join(f"--{_BOUNDARY}\r\n".encode() + part + b"\r\n" for part in parts)
    headers = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
    return post(port, path, body + f"--{_BOUNDARY}--\r\n".encode(), headers)


def base64_of(data: bytes) -> str:
    """Return `data` as it stands in JSON."""
    return base64.b64encode(data).decode()
