"""A server without accounts is for who asks on its own machine, not for who comes through a proxy there."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.support.proxies import Proxy
from tests.support.server import NO_DETECTOR, Server

CAMERAS = "/api/v1/cameras"
PROXIES = ["nginx", "haproxy", "caddy", "apache2"]
STRANGER = "203.0.113.9"
EMBEDDING = "http://home.example"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from _running(tmp_path_factory.mktemp("untrusting"), "--set", f"server.embed_origins=[{EMBEDDING}]")


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Whose proxies are on this machine, and named."""
    yield from _running(tmp_path_factory.mktemp("trusting"), "--set", "server.trusted_proxies=[127.0.0.1]")


def _running(folder: Path, *more: str) -> Iterator[Server]:
    (folder / "config.yaml").write_text("cameras: {front: {source: 'push:'}}\n")
    with Server("--config", str(folder / "config.yaml"), *NO_DETECTOR, *more) as server:
        yield server


def _ask(port: int, headers: dict[str, str], host: str = "127.0.0.1", *, version: str = "1.1") -> list[int]:
    """Return the status of who looks at the cameras, and of who adds one."""
    camera = json.dumps({"source": "push:"}).encode()
    statuses = []
    for method, path, body in (("GET", CAMERAS, None), ("PUT", "/api/v1/settings/cameras/back", camera)):
        connection = HTTPConnection(host, port, timeout=10)
        connection._http_vsn_str = f"HTTP/{version}"  # type: ignore[attr-defined]
        connection.request(method, path, body, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        answer.read()
        statuses.append(answer.status)
        connection.close()
    return statuses


def _own_address() -> str:
    """Return an address of this machine by which others reach it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((STRANGER, 9))  # of UDP: nothing is sent
        except OSError:
            pytest.skip("this machine is in no network")
        address: str = sock.getsockname()[0]
        return address


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8080", "LOCALHOST.", "cams.localhost", "[::1]:1"])
def test_who_asks_on_the_machine_itself_gets_in(server: Server, host: str) -> None:
    assert _ask(server.port, {"Host": host}) in ([200, 201], [200, 200])


def test_client_of_an_old_kind_gets_in(server: Server) -> None:
    assert _ask(server.port, {}, version="1.0")[0] == 200


@pytest.mark.parametrize(
    "header",
    [
        "Via", "X-Real-IP", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Server",
        "X-Client-IP", "True-Client-IP", "CF-Connecting-IP", "CF-Ray", "X-Cluster-Client-Ip",
        "X-Original-URI", "X-Envoy-External-Address", "Tailscale-User-Login", "X-Amzn-Trace-Id",
        "X-NginX-Proxy", "X-SSL", "X-HTTPS", "X-Host", "X-Remote-Addr", "X-Varnish", "Remote-User",
        "Fly-Region",
    ],
)  # fmt: skip
@pytest.mark.parametrize("value", [STRANGER, "127.0.0.1"])
def test_who_shows_a_proxys_header_does_not(server: Server, header: str, value: str) -> None:
    assert _ask(server.port, {header: value}) == [403, 403]


@pytest.mark.parametrize("key", ["Origin", "Referer"])
@pytest.mark.parametrize("address", ["https://cams.example", "http://192.168.1.20:8080/settings", "http://["])
@pytest.mark.parametrize("site", [{}, {"Sec-Fetch-Site": "same-origin"}])
def test_page_that_came_from_elsewhere_does_not(
    server: Server, key: str, address: str, site: dict[str, str]
) -> None:
    """A proxy put our name in place of the one that its client's browser asked for."""
    assert _ask(server.port, {key: address, **site}) == [403, 403]


@pytest.mark.parametrize("key", ["Origin", "Referer"])
def test_page_that_came_from_this_machine_does(server: Server, key: str) -> None:
    headers = {key: server.url, "Sec-Fetch-Site": "same-origin"}
    assert _ask(server.port, headers) in ([200, 201], [200, 200])


@pytest.mark.parametrize(
    "headers",
    [
        {"Referer": "http://blog.example/", "Sec-Fetch-Site": "cross-site"},
        {"Referer": "http://blog.example/", "Origin": "http://blog.example", "Sec-Fetch-Site": "cross-site"},
        {"Origin": EMBEDDING},
    ],
)
def test_page_of_another_site_may_show_pictures_and_change_nothing(
    server: Server, headers: dict[str, str]
) -> None:
    assert _ask(server.port, headers) == [200, 403]


@pytest.mark.parametrize("host", ["203.0.113.1", "192.168.1.20:8080", "cams", "cams.lan", "127.0.0.1.lan"])
def test_who_asks_for_another_name_than_this_machines_own_does_not(server: Server, host: str) -> None:
    assert _ask(server.port, {"Host": host}) == [403, 403]


@pytest.mark.parametrize("kind", PROXIES)
def test_stranger_gets_nothing_through_a_proxy_that_was_told_nothing(
    server: Server, kind: str, tmp_path: Path
) -> None:
    with Proxy(kind, tmp_path, server.port) as proxy:
        assert _ask(proxy.port, {}, _own_address()) == [403, 403]


@pytest.mark.parametrize("kind", ["nginx", "caddy", "apache2"])  # HAProxy shows in nothing but the name
def test_stranger_gets_nothing_by_asking_for_localhost(server: Server, kind: str, tmp_path: Path) -> None:
    with Proxy(kind, tmp_path, server.port) as proxy:
        assert _ask(proxy.port, {"Host": "localhost"}, _own_address()) == [403, 403]


@pytest.mark.parametrize("kind", PROXIES)
def test_stranger_gets_nothing_through_a_proxy_that_is_trusted(
    trusting: Server, kind: str, tmp_path: Path
) -> None:
    with Proxy(kind, tmp_path, trusting.port) as proxy:
        assert _ask(proxy.port, {}, _own_address()) == [403, 403]


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": STRANGER},
        {"X-Forwarded-For": f"127.0.0.1, {STRANGER}"},
        {"X-Forwarded-For": f"{STRANGER}, 127.0.0.1"},
        {"X-Forwarded-For": "unknown"},
        {"X-Forwarded-For": ""},
        {"X-Forwarded-Proto": "https"},
        {"Via": "1.1 home"},
        {"X-Real-IP": STRANGER},
        {"X-Forwarded-For": "127.0.0.1", "X-Real-IP": STRANGER},
        {"X-Forwarded-For": "127.0.0.1", "CF-Connecting-IP": STRANGER},
        {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "192.168.1.20"},
        {"X-Forwarded-For": "127.0.0.1", "Host": "192.168.1.20"},
    ],
)
def test_trusted_proxy_lets_in_whose_address_is_loopback_alone(
    trusting: Server, headers: dict[str, str]
) -> None:
    assert _ask(trusting.port, headers) == [403, 403]


@pytest.mark.parametrize("headers", [{}, {"X-Forwarded-For": "127.0.0.1", "Via": "1.1 here"}])
def test_client_on_this_machine_gets_in_by_a_trusted_proxy_too(
    trusting: Server, headers: dict[str, str]
) -> None:
    assert _ask(trusting.port, headers) in ([200, 201], [200, 200])


def test_server_behind_a_proxy_says_that_it_needs_a_user(trusting: Server) -> None:
    trusting.wait_for_line("WARNING nobody gets in through a proxy: no user was added yet")
