"""Behind proxies: who is believed what, addresses below a prefix, and the examples in real ones."""

from __future__ import annotations

import re
import socket
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from flask.testing import FlaskClient
from werkzeug.routing import Map, Rule
from werkzeug.test import create_environ, run_wsgi_app

from stream_server.config import Config
from stream_server.engine import Engine
from stream_server.errors import ConfigError
from stream_server.web.app import create_app
from stream_server.web.security.proxy import BehindProxies
from tests.support.browser import MOVES
from tests.support.nginx import Nginx, Running
from tests.support.paths import DATA
from tests.support.posts import post
from tests.support.proxy_examples import Apache, Caddy, HAProxy
from tests.support.server import NO_DETECTOR, ONE_WORKER, Server, get, settings
from tests.support.viewers import Viewer, read_all
from tests.support.websockets import Client

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from playwright.sync_api import Page

CAMERAS = [f"cam{number}" for number in range(1, 6)]
"""As many as make the page of all cameras use a WebSocket."""
MAX_PER_ADDRESS = 6
ADDED_AGE_S = 0.2
PICTURE = DATA / "chelsea.jpg"
STREAM = "/cameras/cam1/stream.mjpg"


# The configuration.


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (None, None),
        ("http://192.168.1.20:8080", "http://192.168.1.20:8080"),
        ("HTTPS://Home.Example/Cams/", "https://home.example/Cams"),
        ("https://home.example:443/a/b", "https://home.example/a/b"),
        ("http://[::1]:80", "http://[::1]"),
    ],
)
def test_public_url_is_kept_without_what_need_not_be_said(written: str | None, kept: str | None) -> None:
    assert Config.load(None, server={"public_url": written}).server.public_url == kept


@pytest.mark.parametrize(
    "written",
    [
        "", "home.example", "ftp://home.example", "https://", "https://user:secret@home.example",
        "https://home.example:99999", "https://home.example/?a=1", "https://home.example/a//b",
        "https://home.example/../b", "https://home.example/a b", 8080,
    ],
)  # fmt: skip
def test_public_url_that_is_none_is_refused(written: object) -> None:
    with pytest.raises(
        ConfigError, match=r"server\.public_url: got .*, expected http\(s\)://HOST"
    ) as refusal:
        Config.load(None, server={"public_url": written})
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("written", ["", "nginx", "10.0.0.1/8", "10.0.0.0/33", 5, None])
def test_proxy_that_is_no_address_is_refused(written: object) -> None:
    expected = r"server\.trusted_proxies\.0: got .*, expected an IP address or network"
    with pytest.raises(ConfigError, match=expected):
        Config.load(None, server={"trusted_proxies": [written]})


# Who is believed what.


def _environ(
    server: Mapping[str, Any], headers: Mapping[str, str], peer: str = "10.0.0.1", path: str = "/"
) -> WSGIEnvironment:
    """Return the environment in which an application sees a request to http://own.example:8080."""
    seen: WSGIEnvironment = {}

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        seen.update(environ)
        start_response("200 OK", [])
        return []

    routes = Map([Rule("/"), Rule("/cameras/<camera>")])
    config = Config.load(None, server=dict(server)).server
    environ = create_environ(path, "http://own.example:8080", headers=dict(headers))
    run_wsgi_app(BehindProxies(app, config, routes), {**environ, "REMOTE_ADDR": peer})
    return seen


def _found(environ: WSGIEnvironment) -> str:
    """Return where the application believes itself to be."""
    return f"{environ['wsgi.url_scheme']}://{environ['HTTP_HOST']}{environ['SCRIPT_NAME']}"


@pytest.mark.parametrize(
    ("forwarded_for", "client"),
    [
        (None, "10.0.0.1"),
        ("", "10.0.0.1"),
        ("192.0.2.7", "192.0.2.7"),
        ("6.6.6.6, 192.0.2.7", "192.0.2.7"),
        ("6.6.6.6, 192.0.2.7, 10.0.0.2", "192.0.2.7"),
        ("6.6.6.6,192.0.2.7,10.9.9.9,10.0.0.2", "192.0.2.7"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("192.0.2.7:50123", "192.0.2.7"),
        ("[2001:db8::7]:50123", "2001:db8::7"),
        ("2001:db8::7", "2001:db8::7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("192.0.2.7, unknown", "10.0.0.1"),
        ("192.0.2.7, <script>, 10.0.0.2", "10.0.0.2"),
        ("192.0.2.7, ", "10.0.0.1"),
    ],
)
def test_client_is_the_nearest_address_that_is_no_proxys(forwarded_for: str | None, client: str) -> None:
    headers = {} if forwarded_for is None else {"X-Forwarded-For": forwarded_for}
    assert _environ({"trusted_proxies": ["10.0.0.0/8"]}, headers)["REMOTE_ADDR"] == client


SPOOFED = {
    "X-Forwarded-For": "192.0.2.7",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Prefix": "/evil",
}


@pytest.mark.parametrize(
    ("trusted", "peer", "is_believed"),
    [
        ([], "10.0.0.1", False),
        ([], "127.0.0.1", False),
        (["10.0.0.1"], "10.0.0.1", True),
        (["10.0.0.1"], "10.0.0.2", False),
        (["10.0.0.1"], "::ffff:10.0.0.1", True),
        (["192.168.0.0/16", "10.0.0.0/8"], "10.3.4.5", True),
        (["fd00::/8"], "fd00::1", True),
        (["fd00::/8"], "10.0.0.1", False),
        (["0.0.0.0/0"], "", False),
    ],
)
def test_only_trusted_proxies_are_believed(trusted: list[str], peer: str, is_believed: bool) -> None:
    seen = _environ({"trusted_proxies": trusted}, SPOOFED, peer)
    ours, theirs = "http://own.example:8080", "https://evil.example/evil"
    assert _found(seen) == (theirs if is_believed else ours)
    assert seen["REMOTE_ADDR"] == ("192.0.2.7" if is_believed else peer)


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({}, "http://own.example:8080"),
        ({"X-Forwarded-Proto": "https"}, "https://own.example:8080"),
        ({"X-Forwarded-Proto": "http, https"}, "https://own.example:8080"),
        ({"X-Forwarded-Proto": "wss"}, "http://own.example:8080"),
        ({"X-Forwarded-Proto": "javascript"}, "http://own.example:8080"),
        ({"X-Forwarded-Host": "home.example:8443"}, "http://home.example:8443"),
        ({"X-Forwarded-Host": "[2001:db8::7]:8443"}, "http://[2001:db8::7]:8443"),
        ({"X-Forwarded-Host": "home.example/x"}, "http://own.example:8080"),
        ({"X-Forwarded-Host": "home.example:99999"}, "http://own.example:8080"),
        ({"X-Forwarded-Host": "home.example:0"}, "http://own.example:8080"),
        ({"X-Forwarded-Host": "[2001:db8::7]:65536"}, "http://own.example:8080"),
        ({"X-Forwarded-Host": "user@home.example"}, "http://own.example:8080"),
        ({"X-Forwarded-Prefix": "/cams"}, "http://own.example:8080/cams"),
        ({"X-Forwarded-Prefix": "/a/b/"}, "http://own.example:8080/a/b"),
        ({"X-Forwarded-Prefix": "/"}, "http://own.example:8080"),
        ({"X-Forwarded-Prefix": "//evil.example"}, "http://own.example:8080"),
        ({"X-Forwarded-Prefix": "/.."}, "http://own.example:8080"),
        ({"X-Forwarded-Prefix": '/"><script>'}, "http://own.example:8080"),
        ({"X-Forwarded-Prefix": "cams"}, "http://own.example:8080"),
    ],
)
def test_what_a_proxy_says_is_taken_where_it_is_well_formed(headers: dict[str, str], found: str) -> None:
    assert _found(_environ({"trusted_proxies": ["10.0.0.1"]}, headers)) == found


def test_public_url_wins_over_what_proxies_say() -> None:
    server = {"public_url": "https://home.example/cams", "trusted_proxies": ["10.0.0.1"]}
    seen = _environ(server, SPOOFED)
    assert _found(seen) == "https://home.example/cams"
    assert (seen["SERVER_NAME"], seen["SERVER_PORT"]) == ("home.example", "443")
    assert seen["REMOTE_ADDR"] == "192.0.2.7"


@pytest.mark.parametrize(
    ("prefix", "asked", "path"),
    [
        ("", "/cams/", "/cams/"),
        ("/cams", "/", "/"),
        ("/cams", "/cams", ""),
        ("/cams", "/cams/", "/"),
        ("/cams", "/cameras/front", "/cameras/front"),
        ("/cams", "/cams/cameras/front", "/cameras/front"),
        ("/cams", "/camshaft", "/camshaft"),
        ("/cameras", "/cameras/front", "/cameras/front"),
        ("/cameras", "/cameras/cameras/front", "/cameras/front"),
        ("/cameras", "/cameras/", "/"),
    ],
)
def test_proxy_may_take_the_prefix_away_or_leave_it(prefix: str, asked: str, path: str) -> None:
    seen = _environ({"public_url": f"http://home.example{prefix}"}, {}, path=asked)
    assert seen["PATH_INFO"] == path


# The application at its public address.


@pytest.fixture(scope="module")
def app_client() -> Iterator[FlaskClient]:
    """The client of an application that is told where it is found, and is asked directly."""
    config = Config.load(
        None,
        server={"public_url": "https://home.example/cams"},
        cameras={"cam1": {"source": "demo:", "width": 320, "height": 180}},
        detector={"workers": 0},
    )
    with Engine(config) as engine, create_app(engine).test_client() as client:
        yield client


@pytest.mark.parametrize("path", ["/cameras/cam1", "/cams/cameras/cam1"])
def test_addresses_to_copy_are_the_public_ones(app_client: FlaskClient, path: str) -> None:
    text = app_client.get(path).text
    for address in ("cameras/cam1/stream.mjpg", "static/embed.js", "embed/cam1", "cameras/cam1/snapshot.jpg"):
        assert f"https://home.example/cams/{address}" in text
    assert _addresses(text)
    assert all(address.startswith("/cams/") for address in _addresses(text))


def test_pages_work_at_the_servers_own_address_too(app_client: FlaskClient) -> None:
    for address in _addresses(app_client.get("/").text):
        with app_client.get(address) as answer:
            assert answer.status_code == 200, address


@pytest.mark.parametrize("path", ["/favicon.ico", "/cams/favicon.ico"])
def test_there_is_an_icon_for_who_asks_beside_json(app_client: FlaskClient, path: str) -> None:
    with app_client.get(path) as answer:
        assert answer.status_code == 200
        assert answer.content_type.startswith("image/svg+xml")
        assert b"<svg" in answer.data


def _addresses(page: str) -> set[str]:
    """Return the addresses on this server that a page names."""
    return set(re.findall(r'(?:href|src|data-[a-z]+)="(/[^"]*)"', page))


# Behind proxies, as in the examples.


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Five cameras and one that is pushed to; of 127.0.0.0/8 only 127.0.0.1 is a trusted proxy."""
    small = "width: 320, height: 180, fps: 10, detect: {enabled: false}"
    cameras = [f"cameras.{name}={{source: 'demo:', {small}}}" for name in CAMERAS]
    options = settings(
        *cameras,
        "server.trusted_proxies=[127.0.0.1]",
        "auth.open=true",  # or who claims to be a proxy gets nothing
        f"server.max_viewers_per_address={MAX_PER_ADDRESS}",
        "cameras.phone={source: 'push:', detect: {enabled: false}}",
        f"videos.folder={tmp_path_factory.mktemp('videos')}",
        f"auth.database=sqlite:///{tmp_path_factory.mktemp('accounts')}/accounts.db",
    )
    with Server(*options, *ONE_WORKER) as server:  # or no video is taken
        yield server


@pytest.fixture(scope="module", params=[Nginx, Caddy, HAProxy, Apache], ids=lambda kind: kind.__name__)
def proxy(
    request: pytest.FixtureRequest, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    with request.param(tmp_path_factory.mktemp("proxy"), server.port) as proxy:
        yield proxy


def test_every_address_on_a_page_works_through_a_proxy(proxy: Running) -> None:
    seen: set[str] = set()
    for page in ("/cams/", "/cams/cameras/cam1", "/cams/embed/cam1", "/cams/cameras/nobody"):
        text = get(proxy.port, page, {"Accept": "text/html"}).text
        addresses = _addresses(text)
        assert addresses, page
        seen |= addresses
        assert text.count("http://127.0.0.1") == text.count(f"{proxy.url}/cams/")
    assert len(seen) >= 15
    for address in seen:
        assert address.startswith("/cams/")
        is_socket = "/ws" in address  # of a camera that nothing is looked for in
        assert get(proxy.port, address.partition("#")[0]).status == (409 if is_socket else 200), address


@pytest.mark.parametrize(
    ("path", "status", "content_type"),
    [
        ("/cams/api/v1/cameras", 200, "application/json"),
        ("/cams/cameras/cam1/snapshot.jpg?width=160", 200, "image/jpeg"),
        ("/cams/?action=snapshot", 200, "image/jpeg"),
        ("/cams/api/cam1/latest.webp", 200, "image/webp"),
        ("/cams/healthz", 200, "application/json"),
        ("/cams/cameras/nobody/stream.mjpg", 404, "application/problem+json"),
        ("/favicon.ico", 200, "image/svg+xml; charset=utf-8"),
    ],
)
def test_answer_is_the_servers_through_a_proxy(
    proxy: Running, path: str, status: int, content_type: str
) -> None:
    answer = get(proxy.port, path)
    assert (answer.status, answer.headers["content-type"]) == (status, content_type)


def test_prefix_without_its_slash_leads_to_the_page(proxy: Running) -> None:
    answer = get(proxy.port, "/cams")
    assert answer.status == 301
    assert answer.headers["location"] in ("/cams/", f"{proxy.url}/cams/")


def test_unknown_camera_is_told_with_an_address_that_works(proxy: Running) -> None:
    detail = get(proxy.port, "/cams/cameras/nobody/stream.mjpg").json["detail"]
    assert "; /cams/api/v1/cameras lists" in detail


def test_cookie_is_for_the_server_alone(proxy: Running) -> None:
    with Viewer(proxy.port, "/cams/stream?key=mine", version="1.0") as viewer:
        viewer.parser.boundary_line = b"--boundarydonotcross\r\n"
        while not viewer.headers:
            viewer.read_some()
    assert "Path=/cams;" in viewer.headers["set-cookie"]


def test_wall_comes_through_a_proxy_to_pages_of_the_same_site_only(proxy: Running) -> None:
    path = "/cams/api/v1/wall"
    with Client.connect(proxy.port, {"Origin": proxy.url}, path=path) as client:
        assert client.status == 101
        client.watch({"id": 7, "camera": "cam2"})
        assert [client.picture().id for _ in range(3)] == [7, 7, 7]
    with Client.connect(proxy.port, {"Origin": "https://elsewhere.example"}, path=path) as client:
        assert client.status == 403


@pytest.fixture(scope="module")
def nginx(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with Nginx(tmp_path_factory.mktemp("nginx"), server.port) as nginx:
        yield nginx


@pytest.mark.browser
@pytest.mark.parametrize(
    ("path", "picture", "viewers"),
    [
        ("/cams/", '[data-camera="cam5"] canvas', 6),
        ("/cams/cameras/cam1", "#picture", 1),
        ("/cams/embed/cam1", "img", 1),
    ],
)
def test_pictures_move_in_a_browser_through_nginx(
    page: Page, server: Server, nginx: Nginx, path: str, picture: str, viewers: int
) -> None:
    strangers: list[str] = []
    prefixes = (f"{nginx.url}/cams/", f"ws://127.0.0.1:{nginx.port}/cams/", "blob:")
    for event in ("request", "websocket"):
        page.on(event, lambda asked: asked.url.startswith(prefixes) or strangers.append(asked.url))
    page.goto(nginx.url + path)
    assert page.evaluate(MOVES, picture) > 100
    assert server.has_viewers(viewers)
    page.goto("about:blank")
    assert server.has_viewers(0)
    assert strangers in ([], ["about:blank"])


def test_a_proxy_makes_pictures_hardly_older(server: Server, proxy: Running) -> None:
    with (
        Viewer(server.port, f"{STREAM}?extra_headers=1", version="1.0") as direct,
        Viewer(proxy.port, f"/cams{STREAM}?extra_headers=1", version="1.0") as proxied,
    ):
        read_all((direct, proxied), 30)
    added_s = _median_age_s(proxied) - _median_age_s(direct)
    assert added_s < ADDED_AGE_S


def _median_age_s(viewer: Viewer) -> float:
    """Return how old pictures are when they arrive, but for the first ones, which had waited for a viewer."""
    now = time.time() - time.monotonic()
    arrivals = list(zip(viewer.parts, viewer.arrived_at, strict=True))[5:]
    return statistics.median(now + at - float(part["X-Captured-At"]) for part, at in arrivals)


# Requests through proxies: large, and without an end.


def test_a_push_without_end_is_seen_at_once_through_a_proxy(server: Server, proxy: Running) -> None:
    """A proxy that waits for the end of a request never passes this one on."""
    picture = PICTURE.read_bytes()
    part = b"--x\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(picture), picture)
    before = server.camera("phone")["frames"]
    with socket.create_connection(("127.0.0.1", proxy.port), 10) as sock:
        sock.sendall(
            b"POST /cams/api/v1/cameras/phone/push?takeover=true HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Content-Type: multipart/x-mixed-replace; boundary=x\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for number in range(1, 4):
            sock.sendall(b"%x\r\n%b\r\n" % (len(part), part))
            count = before + number
            server.wait_for_camera(lambda info, count=count: info["frames"] >= count, 10, "phone")
        sock.sendall(b"5\r\n--x--\r\n0\r\n\r\n")
        assert sock.recv(12, socket.MSG_WAITALL) == b"HTTP/1.1 200"


def test_an_upload_larger_than_pictures_comes_through_a_proxy(server: Server, proxy: Running) -> None:
    size = 21 * 1024 * 1024
    announced = {"Tus-Resumable": "1.0.0", "Upload-Length": str(size), "Upload-Metadata": "filename YS5tcDQ="}
    begun = post(proxy.port, "/cams/api/v1/videos", b"", announced)
    assert begun.status == 201
    path = begun.headers["location"].removeprefix(proxy.url)
    assert path.startswith("/cams/api/v1/videos/")
    piece = {
        "Tus-Resumable": "1.0.0",
        "Upload-Offset": "0",
        "Content-Type": "application/offset+octet-stream",
    }
    answer = post(proxy.port, path, bytes(size - 1), piece, method="PATCH")
    assert answer.status == 204, answer.text
    assert answer.headers["upload-offset"] == str(size - 1)
    sock = socket.create_connection(("127.0.0.1", proxy.port), 10)
    with sock:
        sock.sendall(f"GET {path}/events HTTP/1.1\r\nHost: 127.0.0.1:{proxy.port}\r\n\r\n".encode())
        told = b""
        while b"\n\n" not in told.partition(b"event: video")[2]:
            told += sock.recv(65536) or pytest.fail(f"the events ended after {told!r}")
    assert get(proxy.port, path, method="DELETE").status == 204


# Who claims to be someone else.


def test_limit_per_address_counts_clients_behind_a_proxy_not_what_they_claim(
    server: Server, proxy: Running
) -> None:
    assert server.has_viewers(0)
    with ExitStack() as stack:
        for number in range(MAX_PER_ADDRESS):
            claim = {"X-Forwarded-For": f"192.0.2.{number}", "X-Real-IP": f"192.0.2.{number}"}
            assert _watch(stack, proxy.port, "127.0.0.9", f"/cams{STREAM}", claim) == 200
        for port, path in ((proxy.port, f"/cams{STREAM}"), (server.port, STREAM)):
            for claim in ({}, {"X-Forwarded-For": "192.0.2.99"}, {"X-Forwarded-For": "127.0.0.1"}):
                assert _watch(stack, port, "127.0.0.9", path, claim) == 503
        assert _watch(stack, proxy.port, "127.0.0.8", f"/cams{STREAM}", {}) == 200
    assert server.has_viewers(0)


def _watch(stack: ExitStack, port: int, source: str, path: str, headers: Mapping[str, str]) -> int:
    """Return the status with which a stream is answered; it is watched from `source` until the stack ends."""
    sock = socket.create_connection(("127.0.0.1", port), 10, source_address=(source, 0))
    stack.enter_context(sock)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{lines}\r\n".encode())
    return int(sock.recv(12, socket.MSG_WAITALL).split()[1])


def test_a_proxy_passes_on_no_claim_about_the_address(proxy: Running) -> None:
    text = get(proxy.port, "/cams/cameras/cam1", SPOOFED).text
    assert "evil" not in text
    assert f"{proxy.url}/cams/embed/cam1" in text


@pytest.mark.parametrize("more", [{}, {"X-Forwarded-Ssl": "on"}, {"SCRIPT_NAME": "/cameras"}])
def test_claims_of_untrusted_clients_have_no_effect(server: Server, more: dict[str, str]) -> None:
    answer = get(server.port, "/cameras/cam1", {**SPOOFED, **more}, source="127.0.0.9")
    assert answer.status == 200
    assert "evil" not in answer.text
    assert "https:" not in answer.text
    assert f"{server.url}/embed/cam1" in answer.text


def test_local_clients_are_not_trusted_unless_told_so() -> None:
    """gunicorn takes the scheme and the path from local clients' headers by default."""
    camera = "cameras.cam1={source: 'demo:', width: 320, height: 180}"
    claims = {**SPOOFED, "SCRIPT_NAME": "/cameras"}
    environment = {"FORWARDED_ALLOW_IPS": "*"}
    with Server("--set", camera, "--set", "auth.open=true", *NO_DETECTOR, environment=environment) as server:
        answer = server.get("/cameras/cam1", claims)
    assert answer.status == 200
    assert "evil" not in answer.text
    assert f"{server.url}/embed/cam1" in answer.text


def test_pages_at_both_addresses_may_open_websockets() -> None:
    camera = "cameras.cam1={source: 'demo:', width: 320, height: 180}"
    public = "server.public_url=https://home.example/cams"
    with Server("--set", camera, "--set", public, "--set", "auth.open=true", *NO_DETECTOR) as server:
        for path in ("/api/v1/wall", "/cams/api/v1/wall"):
            for origin, status in (
                ("https://home.example", 101),
                (server.url, 101),
                ("http://evil.example", 403),
                ("http://[", 403),
            ):
                with Client.connect(server.port, {"Origin": origin}, path=path) as client:
                    assert client.status == status, origin
