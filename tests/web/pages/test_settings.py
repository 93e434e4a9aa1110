"""The page on which cameras are added, changed and removed, in Chromium against a real server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest
import yaml

from stream_server.web.pages.settings import NAMES, camera_settings
from tests.support.accessibility import violations
from tests.support.browser import tab
from tests.support.cameras.rtsp import RTSPCamera
from tests.support.leaks import wait_until
from tests.support.nginx import Nginx
from tests.support.server import NO_DETECTOR, SMALL_DEMO, Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.browser

CONFIG = """\
# What looks at the house.
detector: {workers: 0}
server: {trusted_proxies: [127.0.0.1]}
cameras:
  front:
    source: "demo:"  # to try things out
    width: 320
    height: 180
    fps: 10
    detect: {fps: 2, score_thresholds: {person: 0.6, cat: 0.3}}
  gate:
    source: rtsp://127.0.0.1:1/stream1
    username: admin
    password: s3cret-of-the-gate
"""
SECRET = "s3cret-of-the-gate"
ODD = "p@ss/w:#1 ü%"


class Site:
    """A server and its configuration file."""

    def __init__(self, server: Server, file: Path) -> None:
        self.server = server
        self.file = file
        self.url = f"{server.url}/settings"

    @property
    def cameras(self) -> dict[str, Any]:
        """The cameras as the file has them."""
        found: dict[str, Any] = yaml.safe_load(self.file.read_text())["cameras"]
        return found


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    file = tmp_path_factory.mktemp("settings") / "config.yaml"
    file.write_text(CONFIG)
    with Server("--config", str(file)) as server:
        server.wait_for_camera(lambda info: info["state"] == "online", 30, "front")
        yield Site(server, file)


@pytest.fixture
def site(running: Site) -> Site:
    """The server, with its file as it was at first."""
    running.file.write_text(CONFIG)
    expected = yaml.safe_load(CONFIG)["cameras"]

    def is_as_before() -> bool:
        settings = running.server.get("/api/v1/settings").json
        front = settings["cameras"].get("front")
        return (
            list(settings["cameras"]) == list(expected)
            and front == expected["front"]
            and not settings["error"]
        )

    assert wait_until(is_as_before)
    return running


@pytest.fixture
def troubled(browser: Browser) -> Iterator[Page]:
    """A tab whose console may tell of answers that are errors."""
    with tab(browser, but_for="Failed to load resource") as page:
        yield page


def _row(page: Page, name: str) -> Locator:
    return page.locator(f"#{name}")


def _add(page: Page, name: str, kind: str) -> None:
    page.get_by_role("button", name="Add camera").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Kind").select_option(kind)


def _press(page: Page, button: str) -> None:
    page.get_by_role("dialog").get_by_role("button", name=button, exact=True).click()


def _status(page: Page, text: str) -> None:
    page.get_by_role("status").filter(has_text=text).first.wait_for()


# What there is to be set.


def test_form_has_every_setting_in_words() -> None:
    assert [setting.key for setting in camera_settings() if setting.key not in NAMES] == []
    assert set(NAMES) == {setting.key for setting in camera_settings()}
    by_key = {setting.key: setting for setting in camera_settings()}
    assert (by_key["stream.overlay"].widget, by_key["stream.overlay"].choices) == (
        "choice",
        ("live", "exact", "none"),
    )
    widgets = {
        "detect.classes": "list",
        "detect.score_thresholds": "scores",
        "fps": "number",
        "verify_tls": "switch",
    }
    assert {key: by_key[key].widget for key in widgets} == widgets
    assert by_key["fps"].bounds == "0.1 to 120"
    assert by_key["stream.fps"].default_words == "15"


# Adding, changing and removing.


def test_name_of_a_new_camera_follows_its_title(page: Page, site: Site) -> None:
    page.goto(site.url)
    page.get_by_role("button", name="Add camera").click()
    title, name = page.get_by_label("Title", exact=True), page.get_by_label("Name", exact=True)
    for text, expected in (
        ("Küche <1>", "kuche-1"),
        ("前門", "camera"),
        ("Großer Øst", "grosser-ost"),
        ("Front", "front-2"),
    ):
        title.fill(text)
        assert name.input_value() == expected
    name.fill("street")
    title.fill('"Straße" & <b>前門</b>')
    assert name.input_value() == "street"
    page.get_by_label("Kind").select_option("push")
    _press(page, "Save")
    _status(page, '"Straße" & <b>前門</b> is added.')
    assert _row(page, "street").locator(".name").inner_text() == '"Straße" & <b>前門</b>'
    assert site.cameras["street"] == {"title": '"Straße" & <b>前門</b>', "source": "push:"}
    page.get_by_role("button", name="Change", exact=False).last.click()
    assert title.input_value() == '"Straße" & <b>前門</b>'
    title.fill("")
    _press(page, "Save")
    _status(page, "street is changed.")
    assert site.cameras["street"] == {"source": "push:"}


def test_camera_is_added_while_others_go_on(page: Page, site: Site) -> None:
    with urlopen(f"{site.server.url}/cameras/front/stream.mjpg", timeout=10) as stream:
        assert stream.read(1000)
        began = site.server.camera("front")["frames"]
        page.goto(site.server.url)
        page.get_by_role("link", name="Settings").click()
        page.get_by_text("written to config.yaml").wait_for()
        _add(page, "yard", "demo")
        page.get_by_label("Width", exact=True).fill("320")
        page.get_by_label("Height", exact=True).fill("180")
        page.get_by_label("Look for objects").uncheck()
        _press(page, "Save")
        _status(page, "yard is added.")
        _row(page, "yard").locator("[data-state=online]").wait_for()
        frames = site.server.camera("front")["frames"]
        assert stream.read(100_000)
        assert site.server.camera("front")["viewers"] == 1
        assert site.server.camera("front")["frames"] >= frames > began
    assert site.cameras["yard"] == {
        "source": "demo:",
        "width": 320,
        "height": 180,
        "detect": {"enabled": False},
    }
    assert site.file.read_text().startswith("# What looks at the house.")


def test_network_camera_is_tried_then_added_and_its_password_never_shown(troubled: Page, site: Site) -> None:
    page = troubled
    answers: list[str] = []
    page.on(
        "response", lambda response: answers.append(response.text()) if "settings" in response.url else None
    )
    with RTSPCamera(username="anna", password="pass-of-the-barn") as camera:
        address = camera.url().partition("@")[2] or camera.url().partition("://")[2]
        page.goto(site.url)
        _add(page, "barn", "rtsp")
        page.get_by_label("Address").fill(f"rtsp://anna:wrong%2Fone@{address}")
        page.get_by_label("User name").focus()
        assert page.get_by_label("Address").input_value() == f"rtsp://{address}"
        assert page.get_by_label("User name").input_value() == "anna"
        assert page.get_by_label("Password", exact=True).input_value() == "wrong/one"
        _press(page, "Test")
        page.get_by_role("alert").filter(has_text="password").wait_for()
        page.get_by_label("Password", exact=True).fill("pass-of-the-barn")
        _press(page, "Test")
        found = re.compile(r"Found 320×240 at [23]\d fps, H\.264")
        page.get_by_role("status").filter(has_text=found).wait_for()
        _press(page, "Save")
        _row(page, "barn").locator("[data-state=online]").wait_for()
    assert site.cameras["barn"] == {
        "source": f"rtsp://{address}",
        "username": "anna",
        "password": "pass-of-the-barn",
    }
    assert "pass-of-the-barn" not in page.content() + "".join(answers)
    assert len(answers) > 3


def test_change_writes_what_was_changed_and_no_more(page: Page, site: Site) -> None:
    page.goto(f"{site.url}#gate")
    dialog = page.get_by_role("dialog", name="Change gate")
    dialog.get_by_label("Password", exact=True).wait_for()
    assert (
        dialog.get_by_label("Password", exact=True).get_attribute("placeholder") == "stored, stays as it is"
    )
    dialog.get_by_label("User name").fill("root")
    _press(page, "Save")
    _status(page, "gate is changed.")
    assert site.cameras["gate"] == {
        "source": "rtsp://127.0.0.1:1/stream1",
        "username": "root",
        "password": SECRET,
    }
    page.get_by_role("button", name="Change gate").click()
    dialog.get_by_label("Password", exact=True).fill(ODD)
    _press(page, "Save")
    dialog.wait_for(state="hidden")
    assert site.cameras["gate"]["password"] == ODD
    page.get_by_role("button", name="Change front").click()
    page.get_by_label("Objects to look for").fill("person, cat")
    page.get_by_text("Advanced").click()
    page.get_by_label("Least score by object").fill("cat: 0.4")
    page.get_by_label("Stream: boxes").select_option("exact")
    _press(page, "Save")
    _status(page, "front is changed.")
    assert site.file.read_text().startswith(CONFIG[: CONFIG.index("    detect:")])
    front = site.cameras["front"]
    assert front["detect"] == {"fps": 2, "score_thresholds": {"cat": 0.4}, "classes": ["person", "cat"]}
    assert front["stream"] == {"overlay": "exact"}


def test_what_the_server_refuses_is_said_at_its_field(troubled: Page, site: Site) -> None:
    page = troubled
    page.goto(site.url)
    page.get_by_role("button", name="Change front").click()
    page.get_by_label("Frames per second", exact=True).fill("fast")
    page.get_by_text("Advanced").click()
    page.get_by_label("Stream: JPEG quality").fill("101")
    page.get_by_text("Advanced").click()
    _press(page, "Save")
    field = page.get_by_label("Frames per second", exact=True)
    page.get_by_text("got 'fast', expected a number, 0.1 to 120").wait_for()
    page.get_by_text("got 101, expected 1 to 100").wait_for()
    assert field.get_attribute("aria-invalid") == "true"
    assert field.evaluate("field => field === document.activeElement")
    page.get_by_role("alert").filter(has_text="See what is marked above.").wait_for()
    assert not violations(page)
    field.fill("5")
    assert field.get_attribute("aria-invalid") is None
    page.get_by_label("Stream: JPEG quality").fill("")
    _press(page, "Save")
    _status(page, "front is changed.")
    assert site.cameras["front"]["fps"] == 5


def test_name_that_is_none_or_taken_is_refused(page: Page, site: Site) -> None:
    page.goto(site.url)
    _add(page, "the front", "demo")
    _press(page, "Save")
    page.get_by_text("Expected a name of letters").wait_for()
    page.get_by_label("Name", exact=True).fill("front")
    _press(page, "Save")
    page.get_by_text("There is a camera of this name.").wait_for()
    _press(page, "Cancel")
    page.get_by_role("dialog", name="Leave without saving?").get_by_role("button", name="Stay").click()
    page.get_by_role("dialog", name="Add camera").wait_for()
    page.keyboard.press("Escape")
    _press(page, "Leave")
    page.get_by_role("dialog").wait_for(state="hidden")
    assert list(site.cameras) == ["front", "gate"]


def test_network_is_searched_on_click(page: Page, site: Site) -> None:
    page.goto(site.url)
    _add(page, "new", "rtsp")
    page.get_by_role("button", name="Search the network").click()
    page.get_by_text("Searching the network …").wait_for()
    page.locator("#search-said", has_text="answered").wait_for()


def test_camera_is_turned_off_and_on(page: Page, site: Site) -> None:
    page.goto(site.url)
    page.get_by_role("button", name="Turn off front").click()
    _row(page, "front").locator("[data-state=off]").wait_for()
    assert site.cameras["front"]["enabled"] is False
    page.get_by_role("button", name="Turn on front").click()
    _row(page, "front").locator("[data-state=online]").wait_for()
    assert site.file.read_text() == CONFIG


def test_removal_asks_first(page: Page, site: Site) -> None:
    page.goto(site.url)
    page.get_by_role("button", name="Remove gate").click()
    question = page.get_by_role("dialog", name="Remove gate?")
    question.get_by_role("button", name="Keep").click()
    question.wait_for(state="hidden")
    assert "gate" in site.cameras
    page.get_by_role("button", name="Remove gate").click()
    question.get_by_role("button", name="Remove").click()
    _row(page, "gate").wait_for(state="detached")
    _status(page, "gate is removed.")
    assert list(site.cameras) == ["front"]


def test_page_follows_the_file(page: Page, site: Site) -> None:
    page.goto(site.url)
    _row(page, "front").wait_for()
    site.file.write_text(CONFIG.replace("fps: 10", "fps: 0"))
    page.locator("#error", has_text="cameras.front.fps: got 0, expected 0.1 to 120").wait_for()
    _row(page, "front").locator("[data-state=online]").wait_for()
    site.file.write_text(
        CONFIG.replace("{trusted", "{threads: 9, trusted") + '  pond: {source: "demo:", width: 64}\n'
    )
    _row(page, "pond").wait_for()
    page.locator("#error").wait_for(state="hidden")
    page.locator("#restart", has_text="server.threads").wait_for()


def test_cameras_of_the_command_line_are_explained(page: Page) -> None:
    with Server(*SMALL_DEMO, *NO_DETECTOR) as server:
        page.goto(f"{server.url}/settings")
        page.get_by_text("From the command line, not to be changed here.").wait_for()
        page.get_by_text("Nothing can be changed here").wait_for()
        assert page.get_by_role("button", name="Add camera").is_disabled()
        assert page.get_by_role("button", name="Remove demo").count() == 0
        assert not violations(page)
        page.goto("about:blank")


# For everybody, everywhere.


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 320)])
def test_nothing_is_in_anybodys_way(page: Page, site: Site, scheme: Any, width: int) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 700})
    page.goto(site.url)
    _row(page, "gate").locator("[data-state=offline]").wait_for()
    assert not violations(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_role("button", name="Change front").click()
    page.get_by_text("Advanced").click()
    assert not violations(page)
    assert page.evaluate(
        "document.querySelector('.fields').scrollWidth <= document.querySelector('.fields').clientWidth"
    )


def test_page_works_below_a_prefix(page: Page, site: Site, tmp_path: Path) -> None:
    with Nginx(tmp_path, site.server.port) as nginx:
        page.goto(f"{nginx.url}/cams/settings#new=push:")
        page.get_by_label("Name", exact=True).fill("phone")
        _press(page, "Save")
        _row(page, "phone").wait_for()
        assert site.cameras["phone"] == {"source": "push:"}
        page.get_by_role("link", name="Regions of phone").click()
        page.get_by_role("heading", name="Regions of phone").wait_for()
        page.goto("about:blank")
