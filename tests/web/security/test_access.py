"""Who may ask for what: every route, every way to say who one is, and who must not get in without."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from stream_server.accounts.rate_limit import Tries
from stream_server.accounts.store import Store
from stream_server.config import Config
from stream_server.engine import Engine
from stream_server.web.app import create_app
from stream_server.web.context import KEY
from stream_server.web.security.access import NEEDS, Need
from stream_server.web.security.credentials import COOKIE
from tests.support.leaks import wait_until
from tests.support.patience import cheaply

PASSWORD = "correct horse"
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
IMG = {"Accept": "image/avif,image/webp,image/*,*/*;q=0.8"}
SMALL = {"source": "demo:", "width": 320, "height": 180, "fps": 10, "detect": {"enabled": False}}


class People:
    """An application with users and tokens: `app`, and the tokens by name.

    root: an admin's. viewer: of all cameras. front, back, back-admin: of one camera. none: of none there is.
    Users: anna, an admin; bert, who may see the front.
    """

    def __init__(self, app: Flask, store: Store) -> None:
        self.app = app
        self.store = store
        front = frozenset({"front"})
        store.add_user("anna", PASSWORD)
        store.add_user("bert", PASSWORD, "viewer", front)
        self.tokens = {
            "root": store.add_token("root", "admin"),
            "viewer": store.add_token("viewer"),
            "front": store.add_token("front", cameras=front),
            "back": store.add_token("back", cameras=frozenset({"back"})),
            "back-admin": store.add_token("back-admin", "admin", frozenset({"back"})),
            "none": store.add_token("none", cameras=frozenset({"gone"})),
            "expired": store.add_token("expired", "admin", expires_at=time.time() - 1),
            "revoked": store.add_token("revoked", "admin"),
        }
        store.revoke_token("revoked")

    def bearer(self, name: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[name]}"}


def _config(folder: Path, **server: object) -> Config:
    return Config.load(
        None,
        server=server,
        auth={"database": f"sqlite:///{folder}/accounts.db"},
        cameras={"front": SMALL, "back": SMALL},
        detector={"workers": 0},
    )


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    folder = tmp_path_factory.mktemp("people")
    config = _config(folder, max_viewers_per_token=2)
    with closing(Store.open(f"sqlite:///{folder}/accounts.db")) as store, Engine(config) as engine:
        people = People(create_app(engine), store)
        engine.accounts.refresh()
        assert wait_until(lambda: all(p.camera.is_online for p in engine.pipelines.values()))
        yield people


@pytest.fixture
def client(people: People) -> Iterator[FlaskClient]:
    with people.app.test_client() as client:
        yield client


@pytest.fixture
def open_client(tmp_path: Path) -> Iterator[FlaskClient]:
    """The client of a server on 127.0.0.1 to which nobody was added."""
    with Engine(_config(tmp_path)) as engine, create_app(engine).test_client() as client:
        yield client


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


# Every route.


def _rules(app: Flask) -> list[Rule]:
    return list(app.url_map.iter_rules())


def test_every_route_is_in_the_table_and_nothing_else_is(people: People) -> None:
    assert {rule.endpoint for rule in _rules(people.app)} == set(NEEDS)


def test_route_that_is_not_in_the_table_is_for_nobody(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(NEEDS, "api.list_cameras")  # type: ignore[arg-type]
    for headers in ({}, people.bearer("root")):
        answer = people.app.test_client().get("/api/v1/cameras", headers=headers)
        assert answer.status_code == 403
        assert answer.json is not None
        assert answer.json["detail"] == "nothing says who may ask for this"


def test_only_what_shows_no_camera_is_for_all() -> None:
    assert {endpoint for endpoint, need in NEEDS.items() if need is Need.NOTHING} == {
        "static", "pages.icon", "login.page", "login.log_in", "login.log_out",
        "health.healthz", "health.readyz",
    }  # fmt: skip


def _ask(app: Flask, rule: Rule, camera: str, headers: Mapping[str, str]) -> int:
    """Return the status with which a route is answered; of pictures and streams the headers are asked for."""
    values = {"camera": camera, "extension": "jpg", "filename": "style.css", "video": "0", "name": "0"}
    path = re.sub(r"<(?:[^<>]*:)?(\w+)>", lambda match: values[match[1]], rule.rule)
    method = min((rule.methods or {"GET"}) - {"OPTIONS", "HEAD"})
    is_safe = method == "GET" and not rule.websocket
    scheme = "ws" if rule.websocket else "http"
    with app.test_client().open(
        path, method="HEAD" if is_safe else method, base_url=f"{scheme}://localhost", headers=dict(headers)
    ) as answer:
        return answer.status_code


REFUSED = {401, 403, 404}


def _expected(rule: Rule, who: str) -> int:
    """Return with which status `who` is refused a route about the front camera, 0 for no refusal."""
    need, sees_front = NEEDS[rule.endpoint], who in ("front", "viewer", "root")
    of_first = rule.endpoint.startswith(("ustreamer.", "compat."))  # each sees the first of its own
    if need is Need.NOTHING:
        return 0
    if not who:
        return 401
    if need in (Need.ADMIN, Need.CAMERA_ADMIN) and who not in ("root", "back-admin"):
        return 403
    if need in (Need.ADMIN, Need.ALL_CAMERAS) and who not in ("root", "viewer"):
        return 403
    if ("camera" in rule.arguments and not sees_front) or (of_first and who == "none"):
        return 404
    if "video" in rule.arguments:
        return 404  # there is none
    return 0


def test_each_route_is_for_whom_the_table_says(people: People) -> None:
    """Every route x who asks: nobody, who may see no camera, the other, this one, all, and an admin."""
    wrong = []
    for rule in _rules(people.app):
        for who in ("", "none", "back", "back-admin", "front", "viewer", "root"):
            if rule.endpoint == "login.log_in":
                continue  # 403 is its word for a wrong password
            status = _ask(people.app, rule, "front", people.bearer(who) if who else {})
            if (status if status in REFUSED else 0) != _expected(rule, who):
                wrong.append((rule.rule, who, status))
    assert wrong == []


@pytest.mark.parametrize(
    "path",
    [
        "/cameras/{}", "/embed/{}", "/cameras/{}/stream.mjpg", "/cameras/{}/snapshot.jpg?width=160",
        "/api/{}", "/api/{}/latest.png", "/api/v1/cameras/{}", "/api/v1/cameras/{}/detections",
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", [{}, BROWSER, IMG])
def test_forbidden_camera_looks_like_one_there_is_not(
    people: People, client: FlaskClient, path: str, kind: dict[str, str]
) -> None:
    headers = {**people.bearer("back"), **kind}
    forbidden, missing = (client.get(path.format(name), headers=headers) for name in ("front", "nobod"))
    assert forbidden.status_code == missing.status_code == 404
    if kind is not IMG:
        assert forbidden.text.replace("front", "nobod") == missing.text
    assert {name for name, _ in forbidden.headers} == {name for name, _ in missing.headers}


def test_lists_show_what_may_be_seen(people: People, client: FlaskClient) -> None:
    listed = client.get("/api/v1/cameras", headers=people.bearer("back")).json
    assert listed is not None
    assert [camera["name"] for camera in listed["cameras"]] == ["back"]
    page = client.get("/", headers=people.bearer("back")).text
    assert 'data-camera="back"' in page
    assert "front" not in page


def test_first_camera_is_the_first_that_may_be_seen(people: People, client: FlaskClient) -> None:
    for path, status in (("/?action=snapshot_0", 200), ("/?action=snapshot_1", 404), ("/snapshot", 200)):
        assert client.get(path, headers=people.bearer("back")).status_code == status
    assert "counted from 0" in client.get("/?action=snapshot_1", headers=people.bearer("back")).text
    assert client.get("/?action=snapshot_1", headers=people.bearer("viewer")).status_code == 200


def test_what_is_wrong_with_cameras_is_told_to_who_may_see_them(people: People, client: FlaskClient) -> None:
    assert client.get("/readyz").json == {"status": "ready"}
    assert client.get("/readyz", headers=people.bearer("front")).json == {"status": "ready"}
    assert client.get("/readyz", headers=people.bearer("viewer")).json == {"status": "ready", "troubles": []}


def test_scope_that_is_too_small_is_told(people: People, client: FlaskClient) -> None:
    answer = client.get("/metrics", headers=people.bearer("front"))
    assert answer.status_code == 403
    assert answer.json is not None
    assert answer.json["detail"] == "this is about all cameras, front may see some"


# Ways to say who one is.

SNAPSHOT = "/cameras/front/snapshot.jpg"
API = "/api/v1/cameras"


@pytest.mark.parametrize(
    "show",
    [
        lambda token: {"headers": {"Authorization": f"Bearer {token}"}},
        lambda token: {"headers": {"Authorization": f"bearer {token}"}},
        lambda token: {"headers": {"X-Api-Token": token}},
        lambda token: {"headers": {"doods-auth-key": token}},
        lambda token: {"headers": basic("", token)},
        lambda token: {"headers": basic("homeassistant", token)},
        lambda token: {"query_string": {"token": token}},
    ],
)
def test_token_is_taken_in_each_form(people: People, client: FlaskClient, show: Any) -> None:
    assert client.get(SNAPSHOT, **show(people.tokens["front"])).status_code == 200
    for name in ("expired", "revoked"):
        assert client.get(SNAPSHOT, **show(people.tokens[name])).status_code == 401
    assert client.get(SNAPSHOT, **show(people.tokens["back"])).status_code == 404
    assert client.get(SNAPSHOT, **show("x" * 47)).status_code in (401, 429)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic " + base64.b64encode(b"no colon").decode()},
        {"Authorization": 'Digest username="anna"'},
        {"Authorization": "uid=admin"},
        {"X-Api-Token": ""},
        {"X-Api-Token": "uid=admin"},
    ],
)
def test_what_is_worth_nothing_is_answered_401(client: FlaskClient, headers: dict[str, str]) -> None:
    answer = client.get(API, headers=headers)
    assert answer.status_code == 401
    assert answer.content_type == "application/problem+json"
    schemes = [value.split()[0].lower() for value in answer.headers.get_all("WWW-Authenticate")]
    assert schemes == ["basic", "bearer"]


@pytest.mark.parametrize("secret", ["", "admin", "sst_" + "x" * 43])
def test_page_whose_session_is_over_makes_no_browser_ask(client: FlaskClient, secret: str) -> None:
    client.set_cookie(COOKIE, secret)
    answer = client.get(API)
    assert answer.status_code == 401
    assert answer.headers.get_all("WWW-Authenticate") == ['Bearer realm="stream-server cameras"']


def test_hash_of_a_token_is_no_token(people: People, client: FlaskClient) -> None:
    for token in people.store.tokens():
        assert client.get(API, headers={"X-Api-Token": token.hash}).status_code == 401


@pytest.mark.parametrize(
    ("name", "password", "statuses"),
    [
        ("anna", PASSWORD, (200, 200)),
        ("bert", PASSWORD, (200, 404)),
    ],
)
def test_users_use_basic(client: FlaskClient, name: str, password: str, statuses: tuple[int, int]) -> None:
    found = [
        client.get(f"/cameras/{camera}/snapshot.jpg", headers=basic(name, password)).status_code
        for camera in ("front", "back")
    ]
    assert tuple(found) == statuses


@pytest.mark.slow
def test_wrong_passwords_are_few(client: FlaskClient) -> None:
    statuses = []
    for number in range(100):
        name = ("anna", "nobody")[number % 2]
        headers = {**basic(name, f"wrong{number}"), "X-Forwarded-For": f"192.0.2.{number}"}
        answer = client.get(API, headers=headers, environ_base={"REMOTE_ADDR": "10.0.0.9"})
        statuses.append(answer.status_code)
        if answer.status_code == 429:
            assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert statuses[:2] == [401, 401]
    assert statuses.count(401) < 20
    assert set(statuses) == {401, 429}


def test_token_in_the_address_is_for_looking_only(people: People, client: FlaskClient) -> None:
    token = people.tokens["root"]
    assert client.get(f"{API}?token={token}").status_code == 200
    assert client.post("/logout", query_string={"token": token}).status_code == 303  # for all, and no session
    with people.app.test_request_context(f"/x?token={token}", method="POST"):
        from stream_server.accounts.grants import NOBODY
        from stream_server.web.security.credentials import identify

        assert identify(people.app.extensions["stream_server"].accounts) is NOBODY


def test_person_is_shown_the_way_to_log_in(client: FlaskClient) -> None:
    answer = client.get("/cameras/front?x=1", headers=BROWSER)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/login?next=/cameras/front?x%3D1")
    for path, headers in (
        ("/api/v1/cameras", BROWSER),
        ("/cameras/front/stream.mjpg", IMG),
        ("/embed/front", {**BROWSER, "Sec-Fetch-Dest": "iframe"}),
    ):
        assert client.get(path, headers=headers).status_code == 401


def test_worthless_token_is_not_passed_on_in_an_address(people: People, client: FlaskClient) -> None:
    answer = client.get("/cameras/front", query_string={"token": people.tokens["revoked"]}, headers=BROWSER)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/login?next=/cameras/front")


# Sessions.


def _log_in(
    client: FlaskClient, name: str = "anna", password: str = PASSWORD, address: str = "127.0.0.1", **more: Any
) -> TestResponse:
    form = {"name": name, "password": password, "next": more.pop("next", "/cameras/front")}
    return client.post("/login", data=form, environ_base={"REMOTE_ADDR": address}, **more)


def test_login_leads_back_and_logout_ends_it(client: FlaskClient) -> None:
    assert "<title>Log in" in client.get("/login?next=/cameras/front").text
    answer = _log_in(client)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/cameras/front")
    cookie = answer.headers["Set-Cookie"]
    for attribute in ("HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=604800"):
        assert attribute in cookie
    assert "Secure" not in cookie
    page = client.get("/cameras/front", headers=BROWSER)
    assert page.status_code == 200
    assert "Log out" in page.text
    assert "anna" in page.text
    secret = client.get_cookie(COOKIE)
    assert client.post("/logout").headers["Location"] == "/login"
    assert client.get_cookie(COOKIE) is None
    assert secret is not None
    client.set_cookie(COOKIE, secret.value)
    assert client.get("/cameras/front", headers=BROWSER).status_code == 302


def test_session_is_another_after_each_login(people: People, client: FlaskClient) -> None:
    client.set_cookie(COOKIE, "sst_" + "planted" * 6)
    seen = []
    for _ in range(2):
        assert _log_in(client).status_code == 303
        cookie = client.get_cookie(COOKIE)
        assert cookie is not None
        seen.append(cookie.value)
    assert "planted" not in seen[0]
    first, second = seen
    for secret, status in ((first, 401), (second, 200)):
        with people.app.test_client() as other:
            other.set_cookie(COOKIE, secret)
            assert other.get(API).status_code == status


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("", "/"),
        ("/cameras/front?x=1", "/cameras/front?x=1"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example/", "/"),
        ("/\tx", "/"),
        ("/ok\r\nSet-Cookie: a=b", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
def test_login_leads_to_pages_of_ours_only(client: FlaskClient, asked: str, shown: str) -> None:
    assert _log_in(client, next=asked).headers["Location"] == shown
    assert client.get("/login", query_string={"next": asked}).headers["Location"] == shown


def test_wrong_name_and_wrong_password_look_alike(client: FlaskClient) -> None:
    client.application.extensions[KEY].accounts._tries = Tries(lambda: 1000.0)  # however slow passwords are
    answers = [_log_in(client, name, "wrong", "10.0.0.3") for name in ("anna", "nobody")]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert answers[0].text == answers[1].text
    assert "Name or password is wrong." in answers[0].text
    assert "Set-Cookie" not in answers[0].headers
    again = _log_in(client, "nobody", "wrong", "10.0.0.3")
    assert again.status_code == 429
    assert "Too many tries. Wait " in again.text
    assert int(again.headers["Retry-After"]) >= 1


def test_cookie_is_for_https_and_the_prefix_alone_where_that_is_known(tmp_path: Path) -> None:
    config = _config(tmp_path, public_url="https://home.example/cams")
    with closing(Store.open(f"sqlite:///{tmp_path}/accounts.db")) as store:
        store.add_user("anna", PASSWORD)
    with Engine(config) as engine, create_app(engine).test_client() as client:
        location = client.get("/", headers=BROWSER).headers["Location"]
        answer = _log_in(client, next="/cams/cameras/front")
        outside = _log_in(client, next="/cameras/front")
    assert location == "/cams/login?next=/cams/"
    assert answer.headers["Location"] == "/cams/cameras/front"
    assert outside.headers["Location"] == "/cams/"
    assert "Secure" in answer.headers["Set-Cookie"]
    assert "Path=/cams" in answer.headers["Set-Cookie"]
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=")


# Other sites' pages.


@pytest.mark.parametrize(
    ("headers", "is_refused"),
    [
        ({}, False),
        ({"Origin": "http://localhost"}, False),
        ({"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Origin": "http://evil.example"}, True),
        ({"Origin": "http://localhost:81"}, True),
        ({"Origin": "http://localhost.evil.example"}, True),
        ({"Origin": "null"}, True),
        ({"Origin": ""}, True),
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Sec-Fetch-Site": "same-site"}, True),
    ],
)
@pytest.mark.parametrize("path", ["/login", "/logout"])
def test_forms_of_other_sites_do_nothing(
    client: FlaskClient, path: str, headers: dict[str, str], is_refused: bool
) -> None:
    answer = client.post(path, data={"name": "x"}, headers=headers, environ_base={"REMOTE_ADDR": "10.1.0.1"})
    detail = (answer.json or {}).get("detail") if answer.content_type.endswith("json") else None
    assert (detail == "this was sent by a page of another site") is is_refused


def test_getting_changes_nothing(client: FlaskClient) -> None:
    _log_in(client)
    assert client.get("/logout").status_code == 405
    assert client.get(API).status_code == 200


def test_other_sites_may_not_post_even_where_they_may_embed(tmp_path: Path) -> None:
    config = _config(tmp_path, embed_origins=["*"])
    with Engine(config) as engine, create_app(engine).test_client() as client:
        assert client.post("/logout", headers={"Origin": "https://other.example"}).status_code == 403


# Without accounts.


def test_this_machine_gets_in_as_long_as_there_is_nobody(open_client: FlaskClient, tmp_path: Path) -> None:
    assert open_client.get(API).status_code == 200
    assert open_client.get(API, headers=basic("any", "thing")).status_code == 200
    assert open_client.get("/login").headers["Location"] == "/"
    assert (open_client.get("/api/v1/status").json or {})["access"] == "this machine"
    assert "Log out" not in open_client.get("/").text
    with closing(Store.open(f"sqlite:///{tmp_path}/accounts.db")) as store:
        store.add_token("one")
    assert wait_until(lambda: open_client.get(API).status_code == 401)


@pytest.mark.parametrize(
    "header", ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Server"]
)
def test_proxy_that_nobody_named_lets_nobody_in(open_client: FlaskClient, header: str) -> None:
    answer = open_client.get(API, headers={header: "192.0.2.7"})
    assert answer.status_code == 403
    assert answer.json is not None
    assert "server.trusted_proxies" in answer.json["detail"]
    assert "stream-server user add" in answer.json["detail"]
    assert open_client.get("/healthz", headers={header: "192.0.2.7"}).status_code == 200


def test_named_proxy_is_let_in_for_clients_of_this_machine_alone(tmp_path: Path) -> None:
    config = _config(tmp_path, trusted_proxies=["127.0.0.1"])
    with Engine(config) as engine, create_app(engine).test_client() as client:
        assert client.get(API, headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 200
        assert client.get(API, headers={"X-Forwarded-For": "192.0.2.7"}).status_code == 403
        other = client.get(
            API, headers={"X-Forwarded-For": "127.0.0.1"}, environ_base={"REMOTE_ADDR": "127.0.0.9"}
        )
        assert other.status_code == 403


def test_names_of_other_servers_are_refused_first(open_client: FlaskClient, people: People) -> None:
    assert open_client.get(API, headers={"Host": "evil.example"}).status_code == 421
    with people.app.test_client() as client:
        assert client.get(API, headers={"Host": "evil.example", **people.bearer("root")}).status_code == 421


def test_nobody_gets_in_while_the_database_cannot_be_read(tmp_path: Path) -> None:
    with closing(Store.open(f"sqlite:///{tmp_path}/accounts.db")) as store:
        known = store.add_token("known")
    with Engine(_config(tmp_path)) as engine, create_app(engine).test_client() as client:
        (tmp_path / "accounts.db").write_text("broken")
        assert client.get(API, headers={"X-Api-Token": known}).status_code == 200
        assert wait_until(lambda: client.get(API, headers={"X-Api-Token": "sst_other"}).status_code == 503)
        assert client.get(API).status_code == 401


# Limits and headers.


def test_viewers_of_a_token_are_limited(people: People, client: FlaskClient) -> None:
    stream = "/cameras/front/stream.mjpg"
    watching = [client.get(stream, headers=people.bearer("viewer")) for _ in range(2)]
    refused = client.get(stream, headers=people.bearer("viewer"))
    other = client.get(stream, headers=people.bearer("front"))
    assert [answer.status_code for answer in (*watching, other)] == [200, 200, 200]
    assert refused.status_code == 503
    assert "server.max_viewers_per_token" in refused.text
    for answer in (*watching, other):
        answer.close()


@pytest.mark.parametrize("path", ["/", "/login", "/nothing", API, "/static/style.css"])
def test_answers_say_what_pages_may_use(people: People, client: FlaskClient, path: str) -> None:
    with client.get(path, headers=people.bearer("root")) as answer:
        assert "microphone=()" in answer.headers["Permissions-Policy"]
        assert "Strict-Transport-Security" not in answer.headers


def test_asking_who_asks_is_cheap(people: People, client: FlaskClient) -> None:
    """For a token (its hash is looked up in memory) and for a known password."""
    for headers in (people.bearer("root"), basic("anna", PASSWORD)):
        client.get("/api/v1/status", headers=headers)
        with people.app.test_request_context("/api/v1/status", headers=headers):
            from stream_server.web.security.access import check_access

            with cheaply(0.2):
                for _ in range(200):
                    assert check_access() is None
