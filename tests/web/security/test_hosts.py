"""By which names the server may be asked for."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from stream_server.config import Config
from stream_server.engine import Engine
from stream_server.errors import ConfigError
from stream_server.web.app import create_app
from tests.support.server import NO_DETECTOR, SMALL_DEMO, Server
from tests.support.websockets import Client


@pytest.fixture(scope="module")
def client() -> Iterator[FlaskClient]:
    config = Config.load(
        None,
        server={"public_url": "https://cams.example/x", "allowed_hosts": ["Second.Example."]},
        cameras={"demo": {"source": "demo:", "width": 320, "height": 180}},
        detector={"workers": 0},
    )
    with Engine(config) as engine, create_app(engine).test_client() as client:
        yield client


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "127.0.0.1:8080", "192.168.1.20", "[::1]:8080", "[fd00::1]", "raspberrypi:8080",
        "Raspberrypi.local:8080", "cams.localhost", "nas.lan", "nas.home.arpa", "nas.corp.internal",
        "cams.example", "CAMS.example.:443", "second.example:8080",
    ],
)  # fmt: skip
def test_server_answers_to_its_names(client: FlaskClient, host: str) -> None:
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


def test_client_that_names_no_host_is_answered(client: FlaskClient) -> None:
    assert client.get("/healthz", environ_overrides={"HTTP_HOST": ""}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example",
        "xlocal.example", "evil.example.", "sub.cams.example", "127.0.0.1:80:80", "[::1].evil.example",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "path",
    ["/", "/cameras/demo/stream.mjpg", "/cameras/demo/snapshot.jpg", "/metrics", "/static/embed.js", "/no"],
)
def test_pages_whose_name_was_led_here_read_nothing(client: FlaskClient, host: str, path: str) -> None:
    answer = client.get(path, headers={"Host": host})
    assert answer.status_code == 421
    assert "server.allowed_hosts" in answer.json["detail"]


def test_such_pages_watch_nothing_either() -> None:
    page = {"Host": "evil.example", "Origin": "http://evil.example"}
    with Server(*SMALL_DEMO, *NO_DETECTOR) as server:
        assert server.get("/cameras/demo/stream.mjpg", page).status == 421
        for host, status in (("evil.example", 421), ("127.0.0.1", 101)):
            sock = socket.create_connection(("127.0.0.1", server.port))
            with Client(sock, host=host, headers={"Origin": f"http://{host}"}) as client:
                client.open()
                assert client.status == status


@pytest.mark.parametrize(
    ("written", "kept"), [([], ()), (["*"], ("*",)), (["Cams.Example."], ("cams.example",))]
)
def test_names_are_kept_as_they_are_compared(written: list[str], kept: tuple[str, ...]) -> None:
    assert Config.load(None, server={"allowed_hosts": written}).server.allowed_hosts == kept


@pytest.mark.parametrize(
    "written", ["", "https://cams.example", "cams.example:80", "cams.example/x", "a b", "*.x"]
)
def test_what_is_no_name_is_refused(written: str) -> None:
    with pytest.raises(
        ConfigError, match=r"server\.allowed_hosts\.0: got .*, expected a name without scheme"
    ):
        Config.load(None, server={"allowed_hosts": [written]})
