"""The page of all cameras in Chromium: the grid, the order, full screen, and cameras that come and go."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.accessibility import violations
from tests.support.browser import MOVES
from tests.support.cameras.http import HTTPCamera
from tests.support.leaks import wait_until
from tests.support.server import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.browser

Choose = Callable[[tuple[int, int], list[float]], dict[str, Any]]

DEMO = "{source: 'demo:', width: 640, height: 360, fps: 5, detect: {enabled: false}}"
SEEN = "{source: 'demo:', width: 640, height: 360, fps: 5, detect: {fps: 2}}"
ALL = ("seen", "yard", "gate", "lost")
GAP = 8
GRID = """
async (box) => (await import(location.href)).chooseGrid(box)
"""
NOTE_SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const { sources } of list.getEntries()) window.shifts.push(...sources.map(({ node }) => `${node}`));
}).observe({ type: "layout-shift", buffered: true });
"""
"""Notes in `shifts` what the browser saw jump."""
NAMES = "tiles => tiles.map(({ dataset }) => dataset.camera)"


class Site:
    """A server, and the file that says which cameras it has."""

    def __init__(self, server: Server, file: Path, lost: str) -> None:
        self.server = server
        self.url = server.url
        self._file = file
        self._lost = lost

    def has(self, *names: str) -> None:
        """Let these be the cameras from now on: `seen` is analysed, `lost` cannot be reached."""
        write(self._file, names, self._lost)

        def names_now() -> list[str]:
            return [camera["name"] for camera in self.server.get("/api/v1/cameras").json["cameras"]]

        assert wait_until(lambda: names_now() == [*names]), names_now()


def write(file: Path, names: tuple[str, ...], lost: str) -> None:
    sources = {"seen": SEEN, "lost": f"{{source: '{lost}', detect: {{enabled: false}}}}"}
    lines = [f"  {name}: {sources.get(name, DEMO)}\n" for name in names]
    file.write_text("detector: {workers: 1}\ncameras:\n" + "".join(lines), encoding="utf-8")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    file = tmp_path_factory.mktemp("wall") / "config.yaml"
    with HTTPCamera() as gone:
        lost = gone.url
    write(file, ALL, lost)
    with Server("--config", str(file)) as server:
        server.wait_for_camera(lambda info: "cat" in info["objects"], 30, "seen")
        yield Site(server, file, lost)


def names(page: Page) -> list[str]:
    """Return the cameras in their order on the page."""
    found: list[str] = page.locator(".tile").evaluate_all(NAMES)
    return found


def tile(page: Page, name: str) -> Locator:
    return page.locator(f'[data-camera="{name}"].tile')


def open_wall(page: Page, site: Site) -> None:
    page.goto(site.url)
    page.get_by_text("3 of 4 online").wait_for()


# The grid.


@pytest.fixture(scope="module")
def choose(browser: Browser, site: Site) -> Iterator[Choose]:
    """Chooses the grid for a box and the pictures' ratios, as the page does."""
    page = browser.new_page()
    page.goto(f"{site.url}/static/wall/layout.js")

    def choose(size: tuple[int, int], ratios: list[float]) -> dict[str, Any]:
        box = {"width": size[0], "height": size[1], "ratios": ratios, "gap": GAP}
        grid: dict[str, Any] = page.evaluate(GRID, {**box, "lines": {"compact": 56, "beside": 36}})
        return grid

    yield choose
    page.close()


@pytest.mark.parametrize(
    ("count", "size", "columns", "is_compact"),
    [
        (1, (1264, 740), 1, False),
        (2, (1264, 740), 2, False),
        (2, (360, 740), 1, False),
        (4, (1264, 740), 2, False),
        (9, (1264, 740), 3, False),
        (16, (2544, 1370), 4, False),
        (16, (304, 560), 1, True),  # a phone: it is scrolled
        (64, (3824, 2100), 8, False),
    ],
)
def test_grid_is_the_one_that_shows_pictures_largest(
    choose: Choose, count: int, size: tuple[int, int], columns: int, is_compact: bool
) -> None:
    grid = choose(size, [16 / 9] * count)
    assert (grid["columns"], grid["isCompact"]) == (columns, is_compact)
    assert columns * grid["tileWidth"] + (columns - 1) * GAP <= size[0]


def test_upright_pictures_stand_beside_each_other(choose: Choose) -> None:
    assert choose((1264, 740), [9 / 16] * 3)["columns"] == 3
    assert choose((1264, 740), [16 / 9] * 3)["columns"] == 2


@pytest.mark.parametrize("size", [(1280, 800), (2560, 1440), (390, 844)])
def test_all_is_in_view_and_nothing_moves_while_it_loads(
    page: Page, site: Site, size: tuple[int, int]
) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.add_init_script(NOTE_SHIFTS)
    open_wall(page, site)
    for player in page.locator("stream-camera").all():
        player.and_(page.locator("[data-state=live]")).wait_for()
    wall = page.locator(".wall").bounding_box()
    assert wall is not None
    assert wall["x"] >= 0
    assert wall["x"] + wall["width"] <= size[0]
    if size[0] > 400:
        assert page.evaluate("document.documentElement.scrollHeight") <= size[1]
    assert page.evaluate("window.shifts") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_bars_nobody(page: Page, site: Site, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    open_wall(page, site)
    assert violations(page) == []
    page.locator(".move").first.focus()
    assert violations(page) == []


# Tiles.


def test_tiles_say_how_cameras_are_and_what_they_show(page: Page, site: Site) -> None:
    open_wall(page, site)
    tile(page, "seen").get_by_text("1 cat").wait_for()
    assert tile(page, "seen").locator(".state").inner_text() == "online"
    tile(page, "lost").locator(".reason", has_text="connection refused").wait_for()
    assert tile(page, "lost").locator(".state").inner_text() == "offline"
    page.get_by_role("link", name="yard").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/cameras/yard")


def test_pictures_are_as_wide_as_their_tiles(page: Page, site: Site) -> None:
    asked: list[dict[str, int]] = []

    def note(message: str | bytes) -> None:
        wishes = json.loads(message)
        if "cameras" in wishes:
            asked.append({wish["camera"]: wish["width"] for wish in wishes["cameras"]})

    page.on("websocket", lambda socket: socket.on("framesent", note))
    open_wall(page, site)
    assert wait_until(lambda: page.evaluate(MOVES, '[data-camera="yard"] canvas') > 100)
    assert asked[-1] == dict.fromkeys(ALL, 640)
    page.set_viewport_size({"width": 620, "height": 500})
    expect_wish(page, asked, 320)
    page.set_viewport_size({"width": 2560, "height": 1440})
    expect_wish(page, asked, 1280)


def expect_wish(page: Page, asked: list[dict[str, int]], width: int) -> None:
    """Wait until each camera is asked for in this width; Playwright tells what was sent when it is called."""

    def is_asked() -> bool:
        return bool(page.title()) and asked[-1] == dict.fromkeys(ALL, width)

    assert wait_until(is_asked), asked[-1]


def test_streams_are_shown_where_websockets_fail(page: Page, site: Site) -> None:
    page.route_web_socket("**/wall", lambda socket: socket.close())
    page.goto(site.url)
    assert page.evaluate(MOVES, '[data-camera="yard"] canvas') > 100


def test_cameras_come_and_go_without_a_reload(page: Page, site: Site) -> None:
    open_wall(page, site)
    page.evaluate("window.isSame = true")
    try:
        site.has("seen", "gate", "lost", "attic")
        tile(page, "attic").wait_for()
        tile(page, "yard").wait_for(state="detached")
        assert page.evaluate(MOVES, '[data-camera="attic"] canvas') > 100
        assert page.evaluate(MOVES, '[data-camera="gate"] canvas') > 100
        page.get_by_text("3 of 4 online").wait_for()
    finally:
        site.has(*ALL)
    tile(page, "yard").wait_for()
    assert page.evaluate("window.isSame")


# The order.


def centre(found: Locator) -> tuple[float, float]:
    box = found.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_order_dragged_by_mouse_is_kept(page: Page, site: Site) -> None:
    open_wall(page, site)
    page.mouse.move(*centre(tile(page, "seen")))
    page.mouse.down()
    page.mouse.move(*centre(tile(page, "gate")), steps=5)
    page.mouse.up()
    moved = ["yard", "gate", "seen", "lost"]
    assert names(page) == moved
    assert page.url.rstrip("/") == site.url, "the click that ends a drag opens nothing"
    page.reload()
    tile(page, "seen").wait_for()
    assert names(page) == moved
    page.locator('[data-camera="seen"] .name').click()
    page.wait_for_url("**/cameras/seen")


def test_order_dragged_by_finger_is_kept(page: Page, site: Site) -> None:
    open_wall(page, site)
    touch = page.context.new_cdp_session(page)
    (x, y), (to_x, to_y) = centre(tile(page, "lost").locator(".move")), centre(tile(page, "seen"))
    steps = [(x + (to_x - x) * step / 4, y + (to_y - y) * step / 4) for step in range(1, 5)]
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for at_x, at_y in steps:
        point = {"x": at_x, "y": at_y}
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert names(page) == ["lost", "seen", "yard", "gate"]
    page.reload()
    assert names(page) == ["lost", "seen", "yard", "gate"]


def test_order_changed_by_keys_is_told_and_kept(page: Page, site: Site) -> None:
    open_wall(page, site)
    told = page.locator("#announcement")
    page.get_by_role("button", name="Move seen").focus()
    page.keyboard.press("Enter")
    assert told.inner_text().startswith("seen is taken up, at place 1 of 4.")
    page.keyboard.press("ArrowRight")
    assert told.inner_text() == "seen: place 2 of 4"
    page.keyboard.press("ArrowDown")
    assert names(page) == ["yard", "gate", "lost", "seen"]
    page.keyboard.press("Escape")
    assert names(page) == [*ALL]
    page.keyboard.press("Enter")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    assert told.inner_text() == "seen is put down, at place 4 of 4."
    page.keyboard.press("ArrowLeft")
    page.reload()
    assert names(page) == ["yard", "gate", "lost", "seen"]


@pytest.mark.parametrize(
    ("kept", "shown"),
    [
        ('["gone", "gate", "seen"]', ["gate", "seen", "yard", "lost"]),
        ('{"no": "list"}', [*ALL]),
        ("no JSON", [*ALL]),
    ],
)
def test_order_of_other_cameras_does_no_harm(page: Page, site: Site, kept: str, shown: list[str]) -> None:
    page.add_init_script(f"localStorage.setItem('wall-order', {json.dumps(kept)})")
    open_wall(page, site)
    assert names(page) == shown


# Full screen.


def test_one_camera_fills_the_screen_and_the_others_are_not_watched(page: Page, site: Site) -> None:
    open_wall(page, site)
    assert site.server.has_viewers(4)
    page.get_by_role("link", name="yard").focus()
    page.keyboard.press("f")
    page.locator('.tile[data-camera="yard"]:fullscreen').wait_for()
    assert site.server.has_viewers(1)
    assert page.evaluate(MOVES, '[data-camera="yard"] canvas') > 100
    page.keyboard.press("f")
    page.locator(".tile:fullscreen").wait_for(state="detached")
    assert site.server.has_viewers(4)
    tile(page, "gate").hover()
    page.get_by_role("button", name="Full screen: gate").click()
    page.locator('.tile[data-camera="gate"]:fullscreen').wait_for()


def test_wall_fills_the_screen(page: Page, site: Site) -> None:
    open_wall(page, site)
    page.get_by_role("button", name="Full screen", exact=True).click()
    page.locator(".wall:fullscreen").wait_for()
    assert site.server.has_viewers(4)
    assert page.evaluate("document.querySelector('.wall').scrollHeight <= innerHeight")
    page.keyboard.press("f")
    page.locator(".wall:fullscreen").wait_for(state="detached")
