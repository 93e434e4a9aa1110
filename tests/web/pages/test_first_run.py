"""The page of a server without a configured camera: cameras found, tested and added, or what to write."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from stream_server.accounts.store import Store
from stream_server.config import Config
from stream_server.engine import Engine
from stream_server.web.app import create_app
from tests.support.accessibility import violations
from tests.support.browser import tab
from tests.support.cameras.http import HTTPCamera
from tests.support.cameras.onvif import OnvifCamera
from tests.support.posts import post
from tests.support.server import NO_DETECTOR, Server

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from playwright.sync_api import Browser, Page

HERE, CAMERA = "127.2.0.1/16", "127.2.0.2"
"""Another network than the one in which tests/discovery/test_discovery.py searches."""
WEBCAM = "/dev/video63"
AT = f"{CAMERA}/16"
COMMAND = (sys.executable, "-m", "tests.support.cameras.onvif", HERE, WEBCAM)
PHONE = {"width": 320, "height": 640}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("first-run") / "config.yaml"


@pytest.fixture(scope="module")
def running(config: Path) -> Iterator[Server]:
    config.write_text("# ours\ncameras: {}\n")
    with Server("--config", str(config), *NO_DETECTOR, command=COMMAND) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    """A server without a camera, until the test adds one."""
    yield running
    for name in running.get("/api/v1/settings").json["cameras"]:
        assert running.get(f"/api/v1/settings/cameras/{name}", method="DELETE").status == 204


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab; Chromium says on the console what the server refuses."""
    with tab(browser, but_for="status of 422") as page:
        yield page


def cameras_in(config: Path) -> dict[str, Any]:
    cameras: dict[str, Any] = yaml.safe_load(config.read_text())["cameras"]
    return cameras


def wait_for_the_wall(page: Page, name: str) -> None:
    page.locator(f".tile[data-camera={name}] .state[data-state=online]").wait_for()
    assert page.locator(".first-run").count() == 0


# Adding.


@pytest.mark.browser
def test_the_demo_is_added_by_one_click(server: Server, page: Page, config: Path) -> None:
    page.goto(server.url)
    page.get_by_text("In the configuration file, config.yaml; a running server").wait_for()
    page.get_by_role("button", name="Add the demo").click()
    page.locator(".first-run").wait_for(state="detached")
    wait_for_the_wall(page, "demo")
    assert cameras_in(config) == {"demo": {"source": "demo:"}}
    assert config.read_text().startswith("# ours")


@pytest.mark.browser
def test_a_camera_of_the_network_asks_for_its_password_and_is_added(
    server: Server, page: Page, config: Path
) -> None:
    with HTTPCamera(authentication="digest", users={"admin": "sec#ret"}, host=CAMERA) as camera:
        url = camera.url.replace(CAMERA, "camera.invalid")
        with OnvifCamera(AT, password="sec#ret", streams={"main": url}) as onvif:
            page.goto(server.url)
            page.get_by_role("button", name="Search the network").click()
            add = page.get_by_role("button", name="Add Front Door X100")
            add.click()
            entry = page.locator("#network li")
            entry.get_by_text("asks for a user name and password").wait_for()
            assert len(onvif.authorizations) == 1, "who has no login does not try one"
            entry.get_by_label("User name").fill("admin")
            entry.get_by_label("Password").fill("wrong")
            add.click()
            entry.get_by_text("refuses the user name or password").wait_for()
            entry.get_by_label("Password").fill("sec#ret")
            entry.get_by_label("Password").press("Enter")
            page.locator(".first-run").wait_for(state="detached")
        wait_for_the_wall(page, "front-door-x100")
    added = cameras_in(config)["front-door-x100"]
    assert added == {
        "title": "Front Door X100",
        "source": camera.url,
        "username": "admin",
        "password": "sec#ret",
    }


@pytest.mark.browser
def test_a_camera_is_added_by_its_address(server: Server, page: Page, config: Path) -> None:
    with HTTPCamera(authentication="basic", users={"admin": "secret"}) as camera:
        page.goto(server.url)
        form = page.locator("#by-address")
        form.get_by_role("button", name="Test and add").click()
        form.get_by_text("Write the camera's address.").wait_for()
        form.get_by_label("Address").fill(camera.url)
        form.get_by_label("Name here").fill("Garden, north")
        form.get_by_role("button", name="Test and add").click()
        form.get_by_text("asks for a user name and password").wait_for()
        form.get_by_label("Address").fill(camera.url.replace("http://", "http://admin:secret@"))
        form.get_by_label("Name here").focus()
        assert form.get_by_label("Address").input_value() == camera.url, "a password is not to be read there"
        form.get_by_role("button", name="Test and add").click()
        page.locator(".first-run").wait_for(state="detached")
        wait_for_the_wall(page, "garden-north")
    assert cameras_in(config)["garden-north"]["username"] == "admin"
    assert cameras_in(config)["garden-north"]["title"] == "Garden, north"
    assert page.locator(".tile .name").inner_text() == "Garden, north"


@pytest.mark.browser
def test_a_camera_that_fails_its_test_is_not_added(server: Server, page: Page, config: Path) -> None:
    page.goto(server.url)
    page.get_by_role("button", name="Add HD Webcam").click()
    page.locator("#webcams .outcome.wrong").wait_for()
    assert WEBCAM in page.locator("#webcams").inner_text()
    assert not cameras_in(config)
    assert page.get_by_role("button", name="Add HD Webcam").is_enabled()


@pytest.mark.browser
def test_where_nothing_can_be_written_there_are_lines_to_paste(browser: Browser) -> None:
    with (
        HTTPCamera(authentication="basic", users={"admin": "secret"}) as camera,
        Server(*NO_DETECTOR, command=COMMAND) as server,
    ):
        page = browser.new_page()
        page.goto(server.url)
        page.locator("#read-only").get_by_text("there is no configuration file").wait_for()
        form = page.locator("#by-address")
        form.get_by_label("Address").fill(camera.url)
        form.get_by_label("User name").fill("admin")
        form.get_by_label("Password").fill("secret")
        form.get_by_label("Name here").fill("front-door")
        form.get_by_role("button", name="Test and add").click()
        lines = page.locator("#lines")
        lines.wait_for()
        assert yaml.safe_load(lines.inner_text())["cameras"] == {
            "front-door": {
                "source": camera.url,
                "username": "admin",
                "password": {"env": "FRONT_DOOR_PASSWORD"},
            }
        }
        page.get_by_role("button", name="Add the demo").click()
        page.get_by_text("The lines to add are above.", exact=True).wait_for()
        assert yaml.safe_load(lines.inner_text())["cameras"] == {"demo": {"source": "demo:"}}
        page.close()


# Looking.


@pytest.mark.browser
def test_makers_are_searched_and_their_addresses_taken(server: Server, page: Page) -> None:
    page.goto(server.url)
    source = page.locator("#by-address").get_by_label("Address")
    page.get_by_text("Addresses of common cameras").first.click()
    page.get_by_label("Maker or program").fill("reolink")
    assert page.locator(".makers tbody tr:visible").count() == 1
    page.get_by_role("button", name="rtsp://ADDRESS/h264Preview_01_sub").click()
    assert source.input_value() == "rtsp://ADDRESS/h264Preview_01_sub"
    assert page.evaluate("String(getSelection())") == "ADDRESS"
    source.fill("192.168.1.20")
    page.get_by_role("button", name="rtsp://ADDRESS/h264Preview_01_main").click()
    assert source.input_value() == "rtsp://192.168.1.20/h264Preview_01_main"
    page.get_by_label("Maker or program").fill("no such")
    page.get_by_text("None of these.").wait_for()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_kept_out_and_nothing_is_cut_off(server: Server, page: Page, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    with OnvifCamera(AT, password="secret", scopes=["name/HIKVISION"]):
        page.goto(server.url)
        page.get_by_text("Addresses of common cameras").first.click()
        page.get_by_role("button", name="Search the network").click()
        page.get_by_role("button", name="Add HIKVISION").click()
    assert violations(page) == []
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    """An application of no camera, with a viewer and an admin, whose tokens are their names."""
    database = f"sqlite:///{tmp_path_factory.mktemp('accounts') / 'accounts.db'}"
    config = Config.parse({"auth": {"database": database}, "detector": {"workers": 0}})
    with closing(Store.open(database)) as store, Engine(config) as engine:
        tokens = {"viewer": store.add_token("viewer"), "admin": store.add_token("admin", "admin")}
        engine.accounts.refresh()
        client = create_app(engine).test_client()
        client.environ_base["tokens"] = tokens  # type: ignore[assignment]
        yield client


def bearer(client: FlaskClient, name: str) -> dict[str, str]:
    tokens: Any = client.environ_base["tokens"]
    return {"Authorization": f"Bearer {tokens[name]}"}


def test_a_viewer_is_told_whom_to_ask(client: FlaskClient) -> None:
    page = client.get("/", headers=bearer(client, "viewer")).text
    assert "ask whoever runs it" in page
    assert "first-run/page.js" not in page
    assert "Add your first camera" in client.get("/", headers=bearer(client, "admin")).text


def test_a_search_is_for_admins(client: FlaskClient) -> None:
    answer = client.post("/api/v1/discovery", headers=bearer(client, "viewer"))
    assert answer.status_code == 403


# The API.


def test_what_is_found(server: Server) -> None:
    with OnvifCamera(AT, streams={"main": "rtsp://{address}/main"}):
        status, found = discover(server)
    assert status == 200
    assert found["webcams"] == [{"source": WEBCAM, "name": "HD Webcam"}]
    assert found["onvif"] == [
        {
            "name": "Front Door X100",
            "address": CAMERA,
            "maker": None,
            "source_hints": [f"rtsp://{CAMERA}/main"],
            "are_told": True,
            "needs_password": False,
        }
    ]
    assert 0 < found["took_ms"] < 8000


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 400, "JSON"),
        (b'{"address": "camera.local"}', 422, "address"),
        (b'{"address": "10.0.0.1", "username": "admin"}', 422, "did not answer a search lately"),
        (b'{"adress": "10.0.0.1"}', 422, "adress"),
        (b" " * 20_000, 413, "too long"),
    ],
)
def test_what_is_wrong_is_said(server: Server, body: bytes, status: int, said: str) -> None:
    answered, problem = discover(server, body)
    assert answered == status
    assert said in problem["detail"]


def discover(server: Server, body: bytes = b"") -> tuple[int, dict[str, Any]]:
    answer = post(
        server.port, "/api/v1/discovery", body, {"Content-Type": "application/json"} if body else {}
    )
    return answer.status, json.loads(answer.body)
