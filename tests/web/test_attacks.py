"""A real server, attacked by other sites' pages, by paths, bodies and pictures; and what its errors tell."""

from __future__ import annotations

import base64
import gzip
import re
import socket
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import NamedTuple

import pytest
from flask import Flask
from werkzeug.routing import Rule

from stream_server.accounts.store import Store
from stream_server.config import Config
from stream_server.engine import Engine
from stream_server.web.app import create_app
from stream_server.web.security.access import NEEDS, Need
from tests.support.leaks import resident_bytes, wait_until
from tests.support.patience import PATIENCE_S, slowness
from tests.support.posts import post, post_json
from tests.support.server import SMALL_DEMO, Server, get
from tests.support.websockets import Client

PHONE = "cameras.phone={source: 'push:', on_demand: true, detect: {enabled: false}}"
CPU_S = 1.0
"""That an evil request may cost the worker, on a machine of 2024."""
MORE_BYTES = 150 * 2**20
DETECT = "/api/v1/detect"


class Attacked(NamedTuple):
    server: Server
    token: str
    routes: tuple[Rule, ...]

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def key(self) -> dict[str, str]:
        return {"X-Api-Token": self.token}


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    """A server, an admin's token, and its routes."""
    database = f"sqlite:///{tmp_path_factory.mktemp('attacked')}/accounts.db"
    with closing(Store.open(database)) as store:
        token = store.add_token("root", "admin")
    settings = ("--set", PHONE, "--set", f"auth.database={database}", "--set", "detector.workers=1")
    with Server(*SMALL_DEMO, *settings) as server:
        attacked = Attacked(server, token, _routes())
        camera = "/api/v1/cameras/demo"
        assert wait_until(lambda: server.get(camera, attacked.key).json["latency_ms"] is not None, 30)
        yield attacked
        assert not [line for line in server.log if "Traceback" in line or "ERROR" in line]


def _routes() -> tuple[Rule, ...]:
    engine = Engine(Config())
    app: Flask = create_app(engine)
    engine.close()
    return tuple(app.url_map.iter_rules())


VALUES = {"camera": "demo", "extension": "jpg", "filename": "style.css", "video": "0", "name": "0"}


def _path(rule: Rule, **values: str) -> str:
    return re.sub(r"<(?:[^<>]*:)?(\w+)>", lambda match: {**VALUES, **values}[match[1]], rule.rule)


def _status(port: int, request: bytes) -> int:
    """Return the status that answers a request as it is written here."""
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.sendall(request)
        line = sock.makefile("rb").readline()
    return int(line.split()[1]) if line else 0


# Pages of other sites.


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "", "http://localhost.evil.example"])
def test_no_websocket_is_opened_for_another_sites_page(attacked: Attacked, origin: str) -> None:
    """With a session's cookie or without: a token that a page can send, it knows."""
    rules = [rule for rule in attacked.routes if rule.websocket]
    paths = [_path(rule, camera="phone" if "push" in rule.rule else "demo") for rule in rules]
    assert len(paths) >= 5
    for path in paths:
        with Client.connect(attacked.port, {"Origin": origin, **attacked.key}, path=path) as client:
            assert client.status == 403, (path, client.status)


def test_every_websocket_is_for_known_names_alone(attacked: Attacked) -> None:
    for rule in attacked.routes:
        if rule.websocket:
            head = f"GET {_path(rule)} HTTP/1.1\r\nHost: evil.example\r\nX-Api-Token: {attacked.token}\r\n"
            more = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            assert _status(attacked.port, (head + more + key).encode()) == 421, rule.rule


@pytest.mark.parametrize(
    ("more", "refused"),
    [
        ("Host: localhost\r\n", 401),
        ("Host: localhost\r\nOrigin: https://evil.example\r\n", 403),
        ("Host: localhost\r\nOrigin: null\r\n", 403),
        ("Host: localhost\r\nSec-Fetch-Site: cross-site\r\n", 403),
        ("Host: localhost\r\nContent-Type: text/plain\r\nSec-Fetch-Site: same-site\r\n", 403),
        ("Host: evil.example\r\n", 421),
        ("Host: localhost.evil.example:80\r\n", 421),
    ],
)
def test_what_others_send_is_refused_before_its_body_comes(
    attacked: Attacked, more: str, refused: int
) -> None:
    for rule in attacked.routes:
        for method in (rule.methods or set()) & {"POST", "PUT", "PATCH", "DELETE"}:
            if NEEDS[rule.endpoint] is Need.NOTHING and refused == 401:
                continue
            head = f"{method} {_path(rule)} HTTP/1.1\r\n{more}Content-Length: 1000000\r\n\r\n"
            assert _status(attacked.port, head.encode()) == refused, rule.rule


def test_getting_changes_nothing(attacked: Attacked) -> None:
    """Where something is sent to, there is nothing to be got, or it is another view."""
    unsafe = {
        rule.endpoint
        for rule in attacked.routes
        if (rule.methods or set()) & {"POST", "PUT", "PATCH", "DELETE"}
    }
    safe = {rule.endpoint for rule in attacked.routes if "GET" in (rule.methods or set())}
    assert unsafe & safe == set()


def test_no_answer_lets_other_sites_read_it_and_pages_say_who_may_frame_them(attacked: Attacked) -> None:
    for rule in attacked.routes:
        if "GET" in (rule.methods or set()) and not rule.websocket:
            headers = {**attacked.key, "Origin": "https://evil.example"}
            answer = get(attacked.port, _path(rule), headers, method="HEAD")
            assert "access-control-allow-origin" not in answer.headers, rule.rule
            assert answer.headers["x-content-type-options"] == "nosniff", rule.rule
            if answer.headers.get("content-type", "").startswith("text/html"):
                assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]
                assert "unsafe-inline" not in answer.headers["content-security-policy"]


# Paths.

PATHS = [
    "..%2f..%2fetc%2fpasswd", "%2e%2e", "..", "%252e%252e%252fetc%252fpasswd", "..;/..;/etc/passwd",
    "%00", "demo%00.jpg", "/etc/passwd", "%2fetc%2fpasswd", "..%5c..%5cetc%5cpasswd",
    "%c0%ae%c0%ae%c0%afetc", "%ef%bc%8e%ef%bc%8e", "demo%2f..%2fphone", "file:%2f%2f%2fetc%2fpasswd",
    "'%20OR%201=1--", "%22;DROP%20TABLE%20users", "x" * 3000,
]  # fmt: skip


@pytest.mark.parametrize("evil", PATHS)
def test_no_path_leads_out(attacked: Attacked, evil: str) -> None:
    for rule in attacked.routes:
        for name in rule.arguments:
            if rule.websocket or "GET" not in (rule.methods or set()):
                continue
            asked = _path(rule, **{name: evil})
            with closing(HTTPConnection("127.0.0.1", attacked.port, timeout=5)) as connection:
                connection.putrequest("GET", asked, skip_accept_encoding=True)
                connection.putheader("X-Api-Token", attacked.token)
                connection.endheaders()
                answer = connection.getresponse()
                body = answer.read(100_000)
            assert answer.status in (301, 308, 400, 404, 405, 414), asked
            assert b"root:" not in body, asked


# Bodies.


FILE = b"; filename=x"


def _form(part: bytes, more: bytes = b"", name: bytes = b"image") -> tuple[bytes, dict[str, str]]:
    body = (
        b"--b\r\nContent-Disposition: form-data; name=" + name + more + b"\r\n\r\n" + part + b"\r\n--b--\r\n"
    )
    return body, {"Content-Type": "multipart/form-data; boundary=b"}


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("body", "headers", "statuses"),
    [
        (b"", {}, {400, 415, 422}),
        (*_form(b"\r" * 8_000_000, FILE), {413, 415}),
        (*_form(b"\r\n--" * 1_000_000, FILE), {413, 415}),
        (*_form(b"x" * 600_000, name=b"classes"), {413}),
        (*_form(b"x" * 600_000), {415}),
        (gzip.compress(bytes(50_000_000)), {"Content-Encoding": "gzip"}, {400, 415}),
        (b"[" * 1_000_000, JSON, {400, 422}),
        (b'{"image":' * 100_000, JSON, {400, 422}),
        (b'{"max_results":' + b"9" * 100_000 + b"}", JSON, {400, 422}),
        (b"x" * 1000, {"Content-Type": "multipart/form-data"}, {400, 422}),
        (b"x" * 1000, {"Content-Type": f"multipart/form-data; boundary={'x' * 5000}"}, {400, 422}),
    ],
    ids=[
        "nothing", "line ends", "half boundaries", "long field", "no picture in base64", "gzip bomb",
        "deep list", "deep object", "long number", "no boundary", "long boundary",
    ],
)  # fmt: skip
def test_evil_body_is_refused_quickly(
    attacked: Attacked, body: bytes, headers: Mapping[str, str], statuses: set[int]
) -> None:
    before = _cpu_s(attacked.server.web_worker)
    with suppress(BrokenPipeError, ConnectionResetError):  # refused before all of it was sent
        answer = post(attacked.port, DETECT, body, {**attacked.key, **headers})
        assert answer.status in statuses, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
    assert _cpu_s(attacked.server.web_worker) - before < CPU_S * slowness()
    assert attacked.server.get("/healthz").status == 200


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


@pytest.mark.parametrize("path", [DETECT, "/login", "/api/v1/urls", "/detect", "/", "/nothing"])
def test_nothing_is_read_past_the_limit(attacked: Attacked, path: str) -> None:
    """Of a body that says it has 2 GiB, what comes before the refusal is not read."""
    with socket.create_connection(("127.0.0.1", attacked.port), 10) as sock:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nX-Api-Token: {attacked.token}\r\n"
        kind = "Content-Type: application/json\r\n"
        sock.sendall(f"{head}{kind}Content-Length: {2**31}\r\n\r\n".encode())
        assert sock.recv(12).split()[1] in (b"413", b"404", b"405", b"403", b"415", b"400")
        sent = _send_until_refused(sock)
    assert sent < 8 * 2**20  # most of it is what the two sockets hold


def _send_until_refused(sock: socket.socket) -> int:
    sent, data = 0, bytes(65536)
    try:
        while sent < 64 * 2**20:
            sent += sock.send(data)
    except OSError:
        pass
    return sent


INNER = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
SMUGGLED = [
    f"Content-Length: {len(INNER)}\r\nContent-Length: 0\r\n",
    "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: xchunked\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    "Transfer-Encoding: chunked, identity\r\n",
    "Transfer-Encoding : chunked\r\n",
    "Transfer-Encoding:\x0bchunked\r\n",
    "Content-Length : 0\r\n",
    "Content-Length: +0\r\n",
    "Content-Length: -1\r\n",
    "Content-Length: 0x0\r\n",
    "Content-Length: 0 0\r\n",
    "Content-Length: 0,0\r\n",
    "Content-Length: \xb2\r\n",
    "X: y\r\n Content-Length: 0\r\n",
    "X: y\rContent-Length: 0\r\n",
    "X: y\nContent-Length: 0\n\r\n",
    "X\0: y\r\n",
    "X: \0\r\n",
]


@pytest.mark.parametrize("headers", SMUGGLED)
def test_request_that_could_be_read_in_two_ways_is_not_followed_by_another(
    attacked: Attacked, headers: str
) -> None:
    request = f"POST /logout HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n0\r\n\r\n{INNER}"
    with socket.create_connection(("127.0.0.1", attacked.port), 10) as sock:
        sock.sendall(request.encode("latin-1"))
        sock.settimeout(3)
        said = b""
        while data := _received(sock):
            said += data
    assert b'"status":"ok"' not in said, said
    assert said.count(b"HTTP/1.1 ") <= 1, said
    assert said[:12] in (b"", b"HTTP/1.1 400", b"HTTP/1.1 501"), said


def _received(sock: socket.socket) -> bytes:
    try:
        return sock.recv(65536)
    except OSError:
        return b""


def test_head_without_end_is_refused(attacked: Attacked) -> None:
    assert _status(attacked.port, b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 12_000) in (400, 431)


def test_refused_head_is_told_why(attacked: Attacked) -> None:
    """As the documentation says: by a page."""
    with socket.create_connection(("127.0.0.1", attacked.port), PATIENCE_S) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nX-Long: " + b"x" * 70_000)  # the end of it never comes
        answer = HTTPResponse(sock)
        answer.begin()
        assert (answer.status, answer.getheader("Content-Type")) == (431, "text/html")
        assert "too long" in answer.read().decode()


# Pictures.


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(side: int) -> bytes:
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(1_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


GIF_FRAME = b"!\xf9\x04\0\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0"
BOMBS = {
    "png": _png(50_000),
    "png that is shorter than it says": _png(6_000),
    "jpeg": b"\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff\x03\x01\x22\0\x02\x11\x01\x03\x11\x01\xff\xd9",
    "tiff": b"II*\0" + struct.pack("<IHHHIIHHIII", 8, 2, 256, 4, 1, 65535, 257, 4, 1, 65535, 0),
    "gif": b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff" + GIF_FRAME * 10_000 + b";",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n{} loop\n",
    "polyglot": b"\xff\xd8\xff\xe0\0\x10<?xml version='1.0'?><svg/>",
    "nothing": b"\0" * 100_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_cost_nothing_on_any_way_in(attacked: Attacked, name: str) -> None:
    bomb, worker = BOMBS[name], attacked.server.web_worker
    before = _cpu_s(worker)
    text = base64.b64encode(bomb).decode()
    pids, held = attacked.server.family(), sum(map(resident_bytes, attacked.server.family()))
    vision = {"requests": [{"image": {"content": text}, "features": [{"type": "OBJECT_LOCALIZATION"}]}]}
    answers = [
        post(attacked.port, DETECT, bomb, attacked.key),
        post_json(attacked.port, DETECT, {"image": text}, attacked.key),
        post_json(
            attacked.port,
            "/detect",
            {"detector_name": "default", "data": text, "detect": {"*": 50}},
            attacked.key,
        ),
        post_json(attacked.port, "/", vision, attacked.key),
        post(attacked.port, "/api/v1/cameras/phone/push", bomb, attacked.key),
    ]
    for answer in answers:
        assert answer.status in (200, 400, 413, 415, 422), answer.text
        assert b"root:" not in answer.body
    assert _cpu_s(worker) - before < 5 * CPU_S * slowness()
    assert {answer.status for answer in answers[:3]} <= {400, 413, 415, 422}
    assert sum(map(resident_bytes, attacked.server.family())) - held < MORE_BYTES
    assert attacked.server.family() == pids
    assert attacked.server.web_worker == worker


# Secrets.


def test_no_secret_comes_back_from_any_error(attacked: Attacked) -> None:
    """Each route is asked with a token that is none, and the right one with a wish that cannot be."""
    canary = "sst_C0canary" + "x" * 35
    signature = "C0signature.C0canary" + "y" * 30
    texts = []
    for rule in attacked.routes:
        method = min((rule.methods or {"GET"}) - {"OPTIONS", "HEAD"})
        for query in (f"token={canary}", f"signature={signature}", f"width=0&fps=x&token={attacked.token}"):
            for accept in ("application/json", "text/html"):
                texts.append(_asked(attacked.port, method, f"{_path(rule, camera='nobody')}?{query}", accept))
    for path in ("/metrics", "/api/v1/status", "/api/v1/cameras", "/readyz"):
        texts.append(attacked.server.get(path, attacked.key).text)
    shown = "\n".join((*texts, *attacked.server.log))
    for secret in ("C0canary", "C0signature", attacked.token):
        assert secret not in shown, shown[max(0, shown.index(secret) - 300) :][:600]


def _asked(port: int, method: str, path: str, accept: str) -> str:
    with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request(method, path, headers={"Accept": accept})
        answer = connection.getresponse()
        return str(answer.getheaders()) + answer.read1(200_000).decode("utf-8", "replace")


def test_wrong_passwords_are_as_few_whoever_they_seem_to_come_from(attacked: Attacked) -> None:
    statuses = []
    for number in range(30):
        shown = base64.b64encode(f"root:wrong{number}".encode()).decode()
        headers = {
            "Authorization": f"Basic {shown}",
            "X-Forwarded-For": f"192.0.2.{number}",
            "Forwarded": f"for=192.0.2.{number}",
        }
        statuses.append(get(attacked.port, "/api/v1/cameras", headers, source="127.0.0.77").status)
    assert statuses.count(401) <= 5
    assert set(statuses) == {401, 429}
