"""The page about the server's health in Chromium, with a server that has a camera too many."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.accessibility import violations
from tests.support.browser import WITHIN_MS
from tests.support.nginx import Nginx
from tests.support.server import ONE_WORKER, SMALL_DEMO, Server, settings
from tests.support.viewers import Viewer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

pytestmark = pytest.mark.browser

REFUSED = "127.0.0.1:9: connection refused"
HIDE = """
(hidden) => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    gate = "cameras.gate.source=rtsp://anna:Gartentor-99@127.0.0.1:9/live"
    with Server(*SMALL_DEMO, *ONE_WORKER, *settings(gate, "server.trusted_proxies=[127.0.0.1]")) as server:
        server.wait_for_camera(lambda info: info["state"] == "offline", 30, "gate")
        server.wait_for_camera(lambda info: bool(info["objects"]), 30)
        yield server


@pytest.fixture
def troubled(browser: Browser) -> Iterator[Page]:
    """A tab whose console may complain: it tells of requests that fail."""
    page = browser.new_page()
    page.set_default_timeout(WITHIN_MS)
    yield page
    page.close()


def _open(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/status")
    page.locator("#cameras tr").first.wait_for()


def test_what_is_wrong_comes_first_with_what_to_do(page: Page, server: Server) -> None:
    page.goto(server.url)
    page.get_by_role("link", name="Status").click()
    page.get_by_text("1 of 2 cameras shows no picture.").wait_for()
    trouble = page.locator("#troubles [data-level=error]")
    assert REFUSED in trouble.inner_text()
    assert "nothing listens at port 9" in trouble.inner_text()
    assert trouble.get_by_role("link", name="Settings of gate").get_attribute("href") == "/settings#gate"
    assert "Gartentor-99" not in page.content()


def test_all_parts_are_shown_to_all_people(page: Page, server: Server) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    _open(page, server)
    page.locator("#cameras tr", has_text="gate").get_by_text(REFUSED).wait_for()
    for row in ("Detect: at the detector", "Send: until all viewers have it"):
        page.locator("#stages tr", has_text=row).locator("svg[aria-label]").wait_for()
    page.locator("#processes tr", has_text="detector 1").wait_for()
    page.locator("#workers tr", has_text="Worker 1").wait_for()
    page.get_by_text("centernet-mobilenetv3 on LiteRT").wait_for()
    assert page.get_by_role("meter", name="Memory").evaluate("(meter) => meter.value") > 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert violations(page) == []


def test_viewers_come_and_go_and_what_stays_is_not_made_anew(page: Page, server: Server) -> None:
    _open(page, server)
    page.get_by_text("Nobody watches now.").wait_for()
    page.evaluate("document.querySelector('#cameras tr').mine = true")
    with Viewer(server.port, "/cameras/demo/stream.mjpg?width=160&overlay=none") as viewer:
        viewer.read(2)
        row = page.locator("#viewers tr")
        row.get_by_text("overlay none, 160 wide").wait_for()
        assert "127.0.0.1" in row.inner_text()
    page.get_by_text("Nobody watches now.").wait_for()
    assert row.count() == 0
    assert page.evaluate("document.querySelector('#cameras tr').mine") is True


def test_log_is_followed_filtered_and_held(page: Page, server: Server) -> None:
    _open(page, server)
    lines = page.locator("#log li:visible")
    lines.get_by_text(f"camera gate: offline: {REFUSED}").first.wait_for()
    assert page.locator("#log").get_by_text("camera demo: online").is_visible()
    page.get_by_label("Show").select_option("warnings and worse")
    assert page.locator("#log").get_by_text("camera demo: online").is_hidden()
    assert set(lines.locator("strong").all_inner_texts()) == {"warning"}
    page.get_by_label("Show").select_option("everything")
    page.get_by_role("button", name="Pause").click()
    before = lines.count()
    lines_more(page)
    page.locator("#log-held", has_text=" new").wait_for()
    assert lines.count() == before
    page.get_by_role("button", name="Pause").click()
    lines.get_by_text("nobody has this password").first.wait_for()
    assert page.locator("#log-held").inner_text() == ""
    at_end = "(list) => list.scrollHeight - list.scrollTop - list.clientHeight < 24"
    assert page.locator("#log").evaluate(at_end)


def lines_more(page: Page) -> None:
    """Add a line to each answer from now on: one that is on its way already passes unchanged."""

    def answer(route: Route) -> None:
        status = route.fetch().json()
        after = int(route.request.url.rpartition("=")[2])
        line = {
            "number": after + 1,
            "at": status["now"],
            "level": "ERROR",
            "text": "nobody has this password",
        }
        status["log"] = [line]
        route.fulfill(body=json.dumps(status), content_type="application/json")

    page.route("**/api/v1/status*", answer)


def test_nothing_is_asked_while_nobody_looks(page: Page, server: Server) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.install()
    _open(page, server)
    page.evaluate(HIDE, True)
    page.wait_for_load_state("networkidle")
    before = len(asked)
    page.clock.fast_forward("10:00")
    assert len(asked) == before
    with page.expect_request("**/api/v1/status*"):
        page.evaluate(HIDE, False)
    with page.expect_request("**/api/v1/status*"):
        page.clock.fast_forward("00:02")


def test_lost_server_is_said_and_found_again(troubled: Page, server: Server) -> None:
    _open(troubled, server)
    troubled.context.set_offline(True)
    troubled.get_by_text("The server does not answer since").wait_for()
    assert troubled.title().startswith("✕")
    assert troubled.locator("#cameras tr").count() == 2
    troubled.context.set_offline(False)
    troubled.get_by_text("1 of 2 cameras shows no picture.").wait_for()


def test_clock_that_differs_from_this_device_is_said(page: Page, server: Server) -> None:
    page.add_init_script("const now = Date.now; Date.now = () => now() - 185000;")
    _open(page, server)
    page.get_by_text("the server's clock is 3 min 5 s ahead of this device's").wait_for()


def test_ended_login_is_said(troubled: Page, server: Server) -> None:
    _open(troubled, server)
    troubled.route("**/api/v1/status*", lambda route: route.fulfill(status=401, body="{}"))
    troubled.get_by_text("Your login has ended.").wait_for()
    link = troubled.get_by_role("link", name="Log in again")
    assert link.get_attribute("href") == "/login?next=/status"


def test_page_works_below_a_prefix(page: Page, server: Server, tmp_path: Path) -> None:
    asked: list[str] = []
    with Nginx(tmp_path, server.port) as nginx:
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{nginx.url}/cams/status")
        page.locator("#cameras a", has_text="demo").wait_for()
        assert page.locator("#cameras a", has_text="demo").get_attribute("href") == "/cams/cameras/demo"
        page.goto("about:blank")
    assert all(url.startswith((f"{nginx.url}/cams/", "about:")) for url in asked)
