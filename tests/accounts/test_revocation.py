"""A server with accounts as people run it: how it starts, who watches, and when they have to stop."""

from __future__ import annotations

import base64
import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path
from threading import Thread
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from werkzeug.serving import make_server

from stream_server.accounts.store import Store
from stream_server.config import Config
from stream_server.engine import Engine
from stream_server.web.app import create_app
from tests.support.leaks import wait_until
from tests.support.server import NO_DETECTOR, SMALL_DEMO, Server, run_command
from tests.support.viewers import Viewer, read_all
from tests.support.websockets import Client

ENDS_TIMEOUT_S = 20.0
PASSWORD = "C0-correct horse"
QUICK = "scrypt:1024:8:1"
FOREVER = 10**9
STREAM = "/cameras/demo/stream.mjpg?fps=2"
"""Little enough for the sockets' buffers while a command runs."""


class Guarded(Server):
    """A server to whose database anybody may be added."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.database = f"sqlite:///{folder}/data/accounts.db"
        self._set = ("--set", f"auth.database={self.database}")
        self.folder = folder
        self.root = ""
        super().__init__(*SMALL_DEMO, *NO_DETECTOR, *self._set, *arguments)

    def add_token(self, name: str) -> str:
        with closing(Store.open(self.database)) as store:
            return store.add_token(name)

    def command(self, *arguments: str) -> str:
        """Run `stream-server ARGUMENTS` on the same database; return what it printed."""
        done = run_command(*arguments, *self._set)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def add_user(self, name: str, password: str = PASSWORD) -> None:
        with closing(Store.open(self.database, QUICK)) as store:
            store.add_user(name, password)

    def post(self, path: str, form: Mapping[str, str], cookie: str = "") -> tuple[int, str]:
        """Send a form; return the status and the session's cookie."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie, "Origin": self.url}
        try:
            connection.request("POST", path, urlencode(form), headers)
            answer = connection.getresponse()
            answer.read()
        finally:
            connection.close()
        return answer.status, (answer.getheader("Set-Cookie") or "").partition(";")[0]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Has an admin's token, with which tests look, and users come and go."""
    with Guarded(tmp_path_factory.mktemp("guarded")) as server:
        server.root = server.command("token", "add", "root", "--role", "admin")
        assert wait_until(lambda: server.get("/api/v1/cameras").status == 401)
        yield server


def _watch(port: int, path: str = STREAM, headers: Mapping[str, str] | None = None) -> Viewer:
    """Return a viewer that asked with these headers."""
    return Viewer(port, path, version="1.0", sock=_Asking(headers or {}))


class _Asking(socket.socket):
    """A socket that puts more headers into the request that goes through it."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__()
        self._lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()

    def sendall(self, data: bytes, flags: int = 0) -> None:  # type: ignore[override]
        super().sendall(data[:-2] + self._lines + b"\r\n", flags)


def _basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def _assert_ends(viewers: list[Viewer], since: float) -> None:
    read_all(viewers, FOREVER)
    assert time.monotonic() - since < ENDS_TIMEOUT_S
    cut = [viewer for viewer in viewers if not viewer.parser.is_at_boundary]
    assert not cut, [(v.status, v.was_reset, len(v.parts), len(v.parser._data)) for v in cut]


# Streams that run.


def test_stream_ends_soon_after_its_token_was_revoked(server: Guarded) -> None:
    tokens = {name: server.add_token(name) for name in ("kept", "gone")}
    with ExitStack() as stack:
        by_address, by_header, kept = (
            stack.enter_context(viewer)
            for viewer in (
                _watch(server.port, f"{STREAM}&token={tokens['gone']}"),
                _watch(server.port, headers={"X-Api-Token": tokens["gone"]}),
                _watch(server.port, headers={"Authorization": f"Bearer {tokens['kept']}"}),
            )
        )
        read_all([by_address, by_header, kept], 3)
        server.command("token", "revoke", "gone")
        _assert_ends([by_address, by_header], time.monotonic())
        kept.read(len(kept.parts) + 4)
    assert server.get(f"{STREAM}&token={tokens['gone']}").status == 401


def test_stream_ends_soon_after_its_token_expired(server: Guarded) -> None:
    store = Store.open(server.database)
    token = store.add_token("short", expires_at=time.time() + 3)
    with _watch(server.port, f"{STREAM}&token={token}") as viewer:
        viewer.read(1)
        ends_at = time.monotonic() + 3
        _assert_ends([viewer], ends_at)
        assert time.monotonic() > ends_at - 1
    store.close()


def test_one_who_reads_nothing_is_cut_off_too(server: Guarded) -> None:
    token = server.add_token("asleep")
    sock = _Asking({"X-Api-Token": token})
    with Viewer(server.port, f"{STREAM}&width=320", sock=sock, receive_bytes=4096):
        root = {"X-Api-Token": server.root}

        def viewers() -> int:
            return int(server.get("/api/v1/cameras/demo", root).json["viewers"])

        until = time.monotonic() + 5
        while viewers() == 0 and time.monotonic() < until:
            pass
        server.command("token", "revoke", "asleep")
        since = time.monotonic()
        while viewers() and time.monotonic() - since < ENDS_TIMEOUT_S:
            pass
        assert viewers() == 0


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Has a detector, and a camera that is sent its pictures."""
    more = ("--set", "detector.workers=1", "--set", "cameras.phone.source=push:")
    with Guarded(tmp_path_factory.mktemp("seeing"), *more) as server:
        server.root = server.add_token("root")
        assert wait_until(lambda: server.get("/api/v1/cameras").status == 401)
        yield server


SOCKETS = [
    "/api/v1/wall",
    "/api/v1/cameras/demo/ws",
    "/api/v1/detect/ws",
    "/api/v1/cameras/phone/push",
    "/detect",
]


def test_every_websocket_ends_soon_after_its_token_was_revoked(seeing: Guarded) -> None:
    with closing(Store.open(seeing.database)) as store, ExitStack() as stack:
        shown = {"X-Api-Token": store.add_token("gone", "admin")}
        clients = [stack.enter_context(Client.connect(seeing.port, shown, path=path)) for path in SOCKETS]
        assert [client.status for client in clients] == [101] * len(SOCKETS)
        store.revoke_token("gone")
        ends = [client.wait_for_close() for client in clients]
    assert ends == [(1008, "what let you watch has ended")] * len(SOCKETS)


def test_wall_ends_soon_after_its_token_was_revoked(server: Guarded) -> None:
    token = server.add_token("wall")
    with Client.connect(server.port, {"X-Api-Token": token}) as client:
        assert client.status == 101
        client.watch({"id": 1, "camera": "demo"})
        client.picture()
        server.command("token", "revoke", "wall")
        since = time.monotonic()
        assert client.wait_for_close() == (1008, "what let you watch has ended")
        assert time.monotonic() - since < ENDS_TIMEOUT_S


@pytest.mark.parametrize("end", ["logout", "remove"])
def test_stream_of_a_page_ends_with_its_session(server: Guarded, end: str) -> None:
    server.add_user(end)
    status, cookie = server.post("/login", {"name": end, "password": PASSWORD})
    assert status == 303
    with _watch(server.port, headers={"Cookie": cookie}) as viewer:
        viewer.read(2)
        if end == "logout":
            server.post("/logout", {}, cookie)
        else:
            server.command("user", "remove", end)
        _assert_ends([viewer], time.monotonic())
    assert server.get("/api/v1/cameras", {"Cookie": cookie}).status == 401


def test_generator_ends_as_the_fan_out_does(tmp_path: Path) -> None:
    """On servers that keep their sockets."""
    address = f"sqlite:///{tmp_path}/accounts.db"
    store = Store.open(address)
    token = store.add_token("one")
    camera = {"source": "demo:", "width": 320, "height": 180, "fps": 10}
    config = Config.load(None, auth={"database": address}, cameras={"demo": camera}, detector={"workers": 0})
    with Engine(config) as engine:
        http_server = make_server("127.0.0.1", 0, create_app(engine), threaded=True)
        thread = Thread(target=http_server.serve_forever, daemon=True)
        thread.start()
        try:
            with urlopen(f"http://127.0.0.1:{http_server.port}{STREAM}&token={token}", timeout=10) as answer:
                assert answer.read(1000).startswith(b"--frame\r\n")
                store.revoke_token("one")
                since = time.monotonic()
                while answer.read1(1 << 20):
                    assert time.monotonic() - since < ENDS_TIMEOUT_S
        finally:
            http_server.shutdown()
            http_server.server_close()
            thread.join(30)
    store.close()


def test_who_watched_an_open_server_has_to_say_who_they_are_once_somebody_was_added(tmp_path: Path) -> None:
    with Guarded(tmp_path) as server, _watch(server.port) as viewer:
        viewer.read(2)
        server.command("token", "add", "first")
        _assert_ends([viewer], time.monotonic())
        assert server.get("/api/v1/cameras").status == 401


# Clients.


def test_home_assistant_finds_its_way_in(server: Guarded) -> None:
    """Its set-up asks without credentials, and again with Basic when the 401 says so (WWW-Authenticate)."""
    server.add_user("hass")
    first = server.get(STREAM)
    assert first.status == 401
    assert first.headers["www-authenticate"].lower().startswith(("basic", "bearer"))
    with _watch(server.port, headers=_basic("hass", PASSWORD)) as viewer:
        assert len(viewer.read(3)) >= 3


def test_websocket_is_refused_before_it_is_one(server: Guarded) -> None:
    for headers, status in (
        ({}, 401),
        ({"X-Api-Token": "sst_wrong"}, 401),
        ({"X-Api-Token": server.root, "Origin": "https://evil.example"}, 403),
        ({"X-Api-Token": server.root}, 101),
    ):
        with Client.connect(server.port, headers) as client:
            assert client.status == status, headers


def test_camera_not_to_be_seen_is_on_no_wall(server: Guarded) -> None:
    store = Store.open(server.database)
    token = store.add_token("elsewhere", cameras=frozenset({"garden"}))
    store.close()
    said = []
    for name in ("demo", "nope"):
        with Client.connect(server.port, {"X-Api-Token": token}) as client:
            client.watch({"id": 1, "camera": name})
            said.append(client.text()["reason"].replace(name, "X"))
    assert said == ["there is no camera 'X'"] * 2


def test_no_secret_is_in_the_log_or_an_answer(server: Guarded) -> None:
    token, canary = server.add_token("canary"), "sst_C0canary" + "x" * 35
    texts = []
    paths = (
        "/nothing?",
        "/api/v1/cameras/nobody?",
        "/cameras/demo/stream.mjpg?fps=0&",
        "/cameras/demo?",
        "/cameras/demo/stream.mjpg?token=x&",
    )
    for secret in (token, canary):
        for path in (f"{path}token={secret}" for path in paths):
            for accept in ("text/html", "application/json"):
                answer = server.get(path, {"Accept": accept})
                texts.append(answer.text + str(dict(answer.headers)))
    server.get("/api/v1/cameras", _basic("nobody", PASSWORD))
    server.post("/login", {"name": "nobody", "password": PASSWORD})
    server.wait_for_line("a wrong name or password came from 127.0.0.1")
    shown = "\n".join((*texts, *server.log))
    assert "C0" not in shown
    assert token not in shown
    assert not re.search(r"sst_\w{20}", shown)


# The start.


def test_server_that_others_reach_does_not_start_for_nobody(tmp_path: Path) -> None:
    database = ("--set", f"auth.database=sqlite:///{tmp_path}/accounts.db")
    done = run_command("run", "--host", "0.0.0.0", "--port", "0", *SMALL_DEMO, *NO_DETECTOR, *database)
    assert done.returncode == 2
    assert done.stderr == (
        "stream-server: server.host: other machines reach 0.0.0.0, and no user was added yet; add one with "
        "`stream-server user add NAME`, or let everyone in with --set auth.open=true\n"
    )


def test_server_that_others_reach_starts_for_somebody(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/data/accounts.db")
    token = store.add_token("one")
    store.close()
    with Guarded(tmp_path, "--host", "0.0.0.0") as server:
        assert server.get("/api/v1/cameras").status == 401
        assert server.get("/api/v1/status", {"X-Api-Token": token}).json["access"] == "accounts"


def test_server_that_is_open_to_all_says_so(tmp_path: Path) -> None:
    with Guarded(tmp_path, "--host", "0.0.0.0", "--set", "auth.open=true") as server:
        server.wait_for_line(r"WARNING EVERYONE who reaches 0\.0\.0\.0 may watch")
        assert server.get("/api/v1/status").json["access"] == "everyone"
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"] == []


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("broken", "the database of accounts cannot be used: file is not a database"),
        (None, "auth.database: expected the URL of a database"),
    ],
)
def test_server_does_not_start_with_accounts_it_cannot_read(
    tmp_path: Path, written: str | None, message: str
) -> None:
    file = tmp_path / "accounts.db"
    if written:
        file.write_text(written * 200)
    address = f"sqlite:///{file}" if written else "accounts"
    done = run_command("run", "--port", "0", *SMALL_DEMO, *NO_DETECTOR, "--set", f"auth.database={address}")
    assert done.returncode == 2
    assert done.stderr.startswith(f"stream-server: {message}")
    assert done.stderr.count("\n") == 1


def test_accounts_are_beside_the_configuration_file(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("cameras: {front: {source: 'demo:'}}\n")
    done = run_command("token", "add", "one", "--camera", "front", "--config", str(file))
    assert done.returncode == 0
    assert (tmp_path / "data" / "accounts.db").stat().st_mode & 0o777 == 0o600
