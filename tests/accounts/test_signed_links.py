"""Signed links: what they show, to whom, until when."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient

from stream_server.accounts import links
from stream_server.accounts.grants import Link
from stream_server.accounts.store import Store
from stream_server.config import Config
from stream_server.engine import Engine
from stream_server.errors import AccountsError
from stream_server.web.app import create_app
from tests.support.browser import MOVES
from tests.support.leaks import wait_until
from tests.support.server import NO_DETECTOR, SMALL_DEMO, Server, run_command
from tests.support.viewers import Viewer, read_all
from tests.support.websockets import Client

if TYPE_CHECKING:
    from playwright.sync_api import Page

URLS = "/api/v1/urls"
ENDS_TIMEOUT_S = 20.0
FOREVER = 10**9
SMALL = {"source": "demo:", "width": 320, "height": 180, "fps": 10, "detect": {"enabled": False}}
KEY = b"k" * 32
LINK = Link("embed", "front", 2_000_000_000, "token:1")


# What is signed.


def test_nothing_is_no_signature() -> None:
    assert links.read("", KEY) is None


@pytest.mark.parametrize(
    "link", [LINK, replace(LINK, camera="Küche.1", maker='user:1:"'), replace(LINK, expires_at=0)]
)
def test_what_was_signed_is_read(link: Link) -> None:
    text = links.sign(link, KEY)
    assert re.fullmatch(r"[\w.-]+", text)
    assert links.read(text, KEY) == link
    assert links.read(text, b"x" * 32) is None


def test_no_altered_signature_is_taken() -> None:
    text, chance = links.sign(LINK, KEY), random.Random(50)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=\ud800é \0"
    taken = []
    for _ in range(10_000):
        at, letter = chance.randrange(len(text)), chance.choice(alphabet)
        altered = chance.choice(
            (text[:at] + letter + text[at + 1 :], text[:at] + text[at + 1 :], text + letter, text[:at])
        )
        if altered != text and links.read(altered, KEY) is not None:
            taken.append(altered)
    assert taken == []


def test_other_parts_do_not_fit_a_signature() -> None:
    _, signature = links.sign(LINK, KEY).split(".")
    for other in (
        replace(LINK, kind="stream"),
        replace(LINK, camera="back"),
        replace(LINK, expires_at=2_100_000_000),
        replace(LINK, maker="token:2"),
    ):
        assert links.read(f"{links.sign(other, KEY).split('.')[0]}.{signature}", KEY) is None


def test_key_is_for_its_owner_alone_and_made_once(tmp_path: Path) -> None:
    key = links.key_beside(f"sqlite:///{tmp_path}/accounts.db")
    assert key is not None
    assert key.find() is None
    first = key.make()
    assert len(first) == 32
    assert key.make() == first
    key.replace()
    assert key.find() not in (None, first)
    assert [(path.name, path.stat().st_mode & 0o777) for path in tmp_path.iterdir()] == [("links.key", 0o600)]


def test_database_elsewhere_has_no_key() -> None:
    assert links.key_beside("postgresql://host/name") is None


def test_key_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "links.key").mkdir()
    key = links.key_beside(f"sqlite:///{tmp_path}/accounts.db")
    assert key is not None
    with pytest.raises(AccountsError, match=r"links\.key: cannot be used: Is a directory"):
        key.make()


# The application.


class Site:
    """An application with tokens: root, an admin's; front and back, of one camera each."""

    def __init__(self, engine: Engine, store: Store) -> None:
        self.app = create_app(engine)
        self.accounts = engine.accounts
        self.store = store
        self.tokens = {"root": store.add_token("root", "admin")}
        for name in ("front", "back"):
            self.tokens[name] = store.add_token(name, cameras=frozenset({name}))
        engine.accounts.refresh()

    def make(self, who: str = "front", **asked: object) -> Any:
        with self.app.test_client() as client:
            headers = {"X-Api-Token": self.tokens[who]}
            return client.post(URLS, json={"camera": "front", **asked}, headers=headers)

    def link(self, who: str = "front", **asked: object) -> str:
        answer = self.make(who, **asked)
        assert answer.status_code == 200, answer.text
        parts = urlsplit(answer.json["url"])
        return f"{parts.path}?{parts.query}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    address = f"sqlite:///{tmp_path_factory.mktemp('links')}/accounts.db"
    cameras = {"front": SMALL, "back": SMALL}
    config = Config.load(None, auth={"database": address}, cameras=cameras, detector={"workers": 0})
    with closing(Store.open(address)) as store, Engine(config) as engine:
        assert wait_until(lambda: all(p.camera.is_online for p in engine.pipelines.values()))
        yield Site(engine, store)


@pytest.fixture
def client(site: Site) -> Iterator[FlaskClient]:
    with site.app.test_client() as client:
        yield client


@pytest.mark.parametrize(
    ("kind", "good_for"),
    [
        ("stream", {"/cameras/front/stream.mjpg"}),
        ("snapshot", {"/cameras/front/snapshot.jpg"}),
        ("embed", {"/embed/front", "/cameras/front/stream.mjpg", "/cameras/front/snapshot.jpg"}),
    ],
)
def test_link_is_good_for_what_it_leads_to_alone(
    site: Site, client: FlaskClient, kind: str, good_for: set[str]
) -> None:
    link = site.link(kind=kind)
    path, query = link.split("?")
    assert path in good_for
    statuses = {}
    for rule in site.app.url_map.iter_rules():
        if (
            "GET" in (rule.methods or ())
            and not rule.websocket
            and rule.rule.count("<") <= 1
            and "filename" not in rule.rule
        ):
            for camera in ("front", "back", "nobody"):
                asked = re.sub(r"<[^>]+>", camera, rule.rule)
                with client.head(f"{asked}?{query}") as answer:
                    statuses[asked] = answer.status_code
    for_all = {"/login", "/favicon.ico", "/healthz", "/readyz"}
    assert {asked for asked, status in statuses.items() if status < 400} - for_all == good_for
    assert {status for asked, status in statuses.items() if asked not in good_for | for_all} == {403}


def test_address_says_what_it_is_and_until_when(site: Site) -> None:
    answer = site.make(kind="snapshot", expires_in_s=3600).json
    assert answer["url"].startswith("http://localhost/cameras/front/snapshot.jpg?signature=")
    assert (answer["camera"], answer["kind"]) == ("front", "snapshot")
    assert datetime.fromisoformat(answer["expires_at"]).timestamp() == pytest.approx(
        time.time() + 3600, abs=5
    )


@pytest.mark.parametrize(
    ("asked", "status", "detail"),
    [
        ({"camera": "nobody"}, 404, "there is no camera 'nobody'; /api/v1/cameras lists those there are"),
        ({"camera": "back"}, 404, "there is no camera 'back'; /api/v1/cameras lists those there are"),
        ({"camera": 1}, 422, None),
        ({"kind": "clip"}, 422, None),
        ({"method": "POST"}, 422, None),
        ({"expires_in_s": 0}, 422, None),
        ({"expires_in_s": 367 * 86400}, 422, None),
        ({"path": "/"}, 422, None),
    ],
)
def test_wrong_wish_is_named(
    site: Site, asked: Mapping[str, object], status: int, detail: str | None
) -> None:
    answer = site.make(**asked)
    assert answer.status_code == status
    if detail:
        assert answer.json["detail"] == detail
    else:
        assert answer.json["field"] == next(iter(asked))


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_link_is_made_of_json_alone(site: Site, client: FlaskClient, kind: str) -> None:
    headers = {"X-Api-Token": site.tokens["front"]}
    answer = client.post(URLS, data='{"camera": "front"}', content_type=kind, headers=headers)
    assert answer.status_code == 415


def test_link_is_no_way_to_more(site: Site, client: FlaskClient) -> None:
    path, query = site.link("root", kind="embed").split("?")
    assert client.post(f"{URLS}?{query}", json={"camera": "front"}).status_code == 401
    assert client.post(f"{path}?{query}").status_code == 405
    assert client.post(f"/api/v1/cameras/front/push?{query}", data=b"x").status_code == 401


def test_link_of_nobody_and_old_ones_are_refused(site: Site, client: FlaskClient) -> None:
    key = links.key_beside(site.accounts._auth.database.get_secret_value())  # type: ignore[union-attr]
    assert key is not None
    now = int(time.time())
    maker = site.store.tokens()[1].id
    good = Link("snapshot", "front", now + 60, f"token:{maker}")
    for link, status in (
        (good, 200),
        (replace(good, expires_at=now - 1), 403),
        (replace(good, expires_at=now - 300), 403),
        (replace(good, maker="token:999"), 403),
        (replace(good, maker="open"), 403),
        (replace(good, maker=""), 403),
    ):
        path = f"/cameras/front/snapshot.jpg?signature={links.sign(link, key.make())}"
        assert client.get(path).status_code == status, link
    assert client.get(f"/cameras/front/snapshot.jpg?signature={'x' * 9000}").status_code == 403


def test_link_lasts_no_longer_than_the_token_that_made_it(site: Site) -> None:
    ends_at = time.time() + 1000
    site.tokens["short"] = site.store.add_token("short", cameras=frozenset({"front"}), expires_at=ends_at)
    expires_at = datetime.fromisoformat(site.make("short").json["expires_at"]).timestamp()
    assert expires_at == pytest.approx(ends_at, abs=1)


def test_link_of_a_page_is_its_users(site: Site, client: FlaskClient) -> None:
    """It outlives the session, and ends with the password."""
    site.store.add_user("anna", "correct horse")
    assert client.post("/login", data={"name": "anna", "password": "correct horse"}).status_code == 303
    answer = client.post(
        URLS, json={"camera": "front", "expires_in_s": 31536000}, headers={"Origin": "http://localhost"}
    )
    assert answer.json is not None
    link = answer.json["url"]
    assert (
        client.post(URLS, json={"camera": "front"}, headers={"Origin": "https://evil.example"}).status_code
        == 403
    )
    client.post("/logout")
    assert client.head(link).status_code == 200
    site.store.set_password("anna", "another one")
    site.accounts.refresh()
    assert client.head(link).status_code == 403


def test_link_ends_with_what_its_maker_may_see(site: Site, client: FlaskClient) -> None:
    site.tokens["gone"] = site.store.add_token("gone")
    link = site.link("gone")
    assert client.head(link).status_code == 200
    site.store.revoke_token("gone")
    site.accounts.refresh()
    assert client.head(link).status_code == 403


def test_all_links_are_revoked_at_once_and_new_ones_work(site: Site, client: FlaskClient) -> None:
    old = site.link()
    database = site.accounts._auth.database
    assert database is not None
    done = run_command("urls", "revoke-all", "--set", f"auth.database={database.get_secret_value()}")
    assert (done.returncode, done.stderr) == (0, "Revoked all links.\n")
    assert client.head(old).status_code == 403
    assert client.head(site.link()).status_code == 200


def test_nothing_to_revoke_is_told(tmp_path: Path) -> None:
    done = run_command("urls", "revoke-all", "--set", f"auth.database=sqlite:///{tmp_path}/accounts.db")
    assert (done.returncode, done.stderr) == (2, "stream-server: there are no links yet\n")
    assert list(tmp_path.iterdir()) == []


def test_page_offers_links_where_they_are_needed(site: Site, client: FlaskClient, tmp_path: Path) -> None:
    page = client.get("/cameras/front", headers={"X-Api-Token": site.tokens["front"]}).text
    assert "Copy link" in page
    config = Config.load(None, auth={"database": f"sqlite:///{tmp_path}/x.db"}, cameras={"front": SMALL})
    with Engine(config) as engine, create_app(engine).test_client() as other:
        assert "Copy link" not in other.get("/cameras/front").text
        answer = other.post(URLS, json={"camera": "front"})
        assert (answer.status_code, answer.json and answer.json["detail"][:22]) == (
            409,
            "there are no accounts ",
        )


@pytest.mark.parametrize("shown", ["token", "signature"])
def test_embed_page_passes_on_what_lets_it_in(site: Site, client: FlaskClient, shown: str) -> None:
    if shown == "token":
        path, value = f"/embed/front?token={site.tokens['front']}", site.tokens["front"]
    else:
        path = site.link(kind="embed")
        (value,) = parse_qs(urlsplit(path).query)["signature"]
    assert f'{shown}="{value}"' in client.get(path).text


# A running server.


class Served(NamedTuple):
    """A server, the token of somebody who may watch, and where that is kept."""

    server: Server
    token: str
    store: Store
    database: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    database = f"sqlite:///{tmp_path_factory.mktemp('served')}/accounts.db"
    with closing(Store.open(database)) as store:
        token = store.add_token("root", "admin")
        with Server(*SMALL_DEMO, *NO_DETECTOR, "--set", f"auth.database={database}") as server:
            yield Served(server, token, store, database)


def _made(server: Server, token: str, kind: str, expires_in_s: int) -> str:
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=10)) as connection:
        body = json.dumps({"camera": "demo", "kind": kind, "expires_in_s": expires_in_s})
        connection.request("POST", URLS, body, {"X-Api-Token": token, "Content-Type": "application/json"})
        answer = connection.getresponse()
        assert answer.status == 200
        url: str = json.loads(answer.read())["url"]
    assert url.startswith(server.url)
    return url.removeprefix(server.url)


def test_what_runs_ends_soon_after_its_link_expired(served: Served) -> None:
    running, token, *_ = served
    path = _made(running, token, "embed", 3)
    query = path.partition("?")[2]
    ends_at = int(time.time()) + 3
    with (
        Viewer(running.port, f"/cameras/demo/stream.mjpg?fps=5&{query}", version="1.0") as viewer,
        Client.connect(running.port, {}, path=f"/api/v1/wall?{query}") as wall,
    ):
        wall.watch({"id": 1, "camera": "demo"})
        wall.picture()
        read_all([viewer], FOREVER)
        assert 2 <= time.time() - ends_at + 3 <= 3 + ENDS_TIMEOUT_S
        assert viewer.parser.is_at_boundary
        assert wall.wait_for_close() == (1008, "what let you watch has ended")
        assert time.time() < ends_at + ENDS_TIMEOUT_S
    assert running.get(path).status == 403
    shown = "\n".join(running.log) + running.get("/metrics", {"X-Api-Token": token}).text
    assert query.partition("=")[2] not in shown


def test_what_runs_ends_when_all_links_are_revoked(served: Served) -> None:
    running, token, _, database = served
    path = _made(running, token, "stream", 300)
    with Viewer(running.port, path, version="1.0") as viewer:
        viewer.read(2)
        key = links.key_beside(database)
        assert key is not None
        key.replace()
        since = time.monotonic()
        read_all([viewer], FOREVER)
        assert time.monotonic() - since < ENDS_TIMEOUT_S


@pytest.mark.browser
def test_link_of_the_page_shows_the_camera_to_who_has_it(served: Served, page: Page) -> None:
    running, _, store, _ = served
    if not store.users():
        store.add_user("anna", "correct horse")
    page.goto(f"{running.url}/cameras/demo")
    page.get_by_label("Name").fill("anna")
    page.get_by_label("Password").fill("correct horse")
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("button", name="Copy link").click()
    page.locator("#link-state").get_by_text("works until").wait_for()
    url = page.get_by_label("Link", exact=True).input_value()
    page.context.clear_cookies()
    page.goto(url)
    assert page.evaluate(MOVES, "stream-camera img") > 100
    assert page.locator("stream-camera").get_attribute("data-state") == "live"
