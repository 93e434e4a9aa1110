"""The page on which regions are drawn, in Chromium: by mouse, finger and keyboard, saved by a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import numpy as np
import pytest
import yaml

from detector.detections import Detections
from stream_server.config.polygons import Point, Polygon, check_polygon
from stream_server.detection.regions import Regions
from tests.support.accessibility import violations
from tests.support.browser import WITHIN_MS, tab
from tests.support.leaks import wait_until
from tests.support.nginx import Nginx
from tests.support.server import NO_DETECTOR, SMALL_DEMO, Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

CONFIG = """\
detector: {workers: 1}
server: {trusted_proxies: [127.0.0.1]}
cameras:
  front:
    source: "demo:"  # to try things out
    width: 640
    height: 360
    fps: 8
    detect: {fps: 4}
"""
SQUARE = ((0.2, 0.2), (0.5, 0.2), (0.5, 0.6), (0.2, 0.6))
BOW_TIE = ((0.1, 0.1), (0.5, 0.5), (0.5, 0.1), (0.1, 0.5))
CLOSE_TO = 0.004
"""Parts of the picture by which a pointer's whole pixels may be off."""

PLACES = """
[".picture", "aside"].map((part) => document.querySelector(part).getBoundingClientRect())
  .map(({left, top, width}) => [left + scrollX, top + scrollY, width])
"""


class Site:
    """A server with a camera called front, and its configuration file."""

    def __init__(self, server: Server, config: Path) -> None:
        self.server = server
        self.config = config
        self.url = f"{server.url}/cameras/front/regions"

    def set(self, **detect: Sequence[Polygon] | None) -> None:
        """Let the camera have these regions, as another client of the API."""
        request = Request(
            f"{self.server.url}/api/v1/settings/cameras/front",
            json.dumps({"detect": detect}).encode(),
            {"Content-Type": "application/merge-patch+json"},
            method="PATCH",
        )
        with urlopen(request, timeout=10) as answer:
            assert answer.status == 200

    def written(self, kind: str) -> list[list[list[float]]]:
        """Return what the file says of regions."""
        camera = yaml.safe_load(self.config.read_text())["cameras"]["front"]
        found: list[list[list[float]]] = camera["detect"].get(kind, [])
        return found


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    config = tmp_path_factory.mktemp("regions") / "config.yaml"
    config.write_text(CONFIG)
    with Server("--config", str(config)) as server:
        assert wait_until(lambda: server.get("/readyz").status == 200, 30)
        yield Site(server, config)


@pytest.fixture
def site(running: Site) -> Site:
    """The server, with nothing drawn."""
    running.set(inside=None, ignore=None)
    return running


def _open(page: Page, site: Site) -> None:
    page.goto(site.url)
    page.locator("#picture[src^=blob]").wait_for()
    page.get_by_label("Live").uncheck()


def _on_picture(page: Page, point: Point) -> tuple[float, float]:
    box = page.locator("#drawing").bounding_box()
    assert box
    return box["x"] + point[0] * box["width"], box["y"] + point[1] * box["height"]


def _click(page: Page, *points: Point) -> None:
    for point in points:
        page.mouse.click(*_on_picture(page, point))


def _draw(page: Page, points: Polygon, button: str = "Draw region") -> None:
    page.get_by_role("button", name=button).click()
    _click(page, *points)
    page.get_by_role("button", name="Close shape").click()


def _drag(page: Page, start: Point, end: Point) -> None:
    page.mouse.move(*_on_picture(page, start))
    page.mouse.down()
    page.mouse.move(*_on_picture(page, end), steps=4)
    page.mouse.up()


def _save(page: Page) -> None:
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Saved. It is in effect.").wait_for()


def _assert_written(site: Site, kind: str, *polygons: Polygon) -> None:
    written = site.written(kind)
    assert [len(polygon) for polygon in written] == [len(polygon) for polygon in polygons]
    for found, expected in zip(written, polygons, strict=True):
        np.testing.assert_allclose(found, expected, atol=CLOSE_TO)


# Geometry.


def test_what_is_sound_and_what_counts_is_as_on_the_server(page: Page, site: Site) -> None:
    random = np.random.default_rng(5)
    shapes = [random.random((corners, 2)).round(3).tolist() for corners in (3, 4, 4, 5, 5, 6) * 10]
    lower = random.random((200, 2)) * 0.5
    boxes = np.hstack((lower, lower + 0.05 + random.random((200, 2)) * 0.45)).round(3)
    page.goto(site.url)
    sound, counting = page.evaluate(
        """async ({shapes, boxes}) => {
          const {fault, counts} = await import("/static/regions/geometry.js");
          const sound = shapes.map((points) => !fault(points));
          const drawn = shapes.filter((_, at) => sound[at]).slice(0, 6);
          const regions = drawn.map((points, at) => ({kind: at < 5 ? "inside" : "ignore", points}));
          const named = boxes.map(([x_min, y_min, x_max, y_max]) => ({x_min, y_min, x_max, y_max}));
          return [sound, named.map((box) => counts(regions, box, [0.1, 0.15]))];
        }""",
        {"shapes": shapes, "boxes": boxes.tolist()},
    )
    assert sound == [_is_sound(points) for points in shapes]
    assert 5 < sum(sound) < 55
    chosen = [points for points, is_sound in zip(shapes, sound, strict=True) if is_sound][:6]
    regions = Regions(inside=chosen[:5], ignore=chosen[5:], min_wh=(0.1, 0.15))
    found = Detections(boxes.astype(np.float32), np.ones(200, np.float32), np.arange(200))
    kept = regions.keep(found, (1, 1)).class_ids.tolist()
    assert [at for at, counts in enumerate(counting) if counts] == kept
    assert 5 < len(kept) < 195


def _is_sound(points: Polygon) -> bool:
    try:
        check_polygon(points)
    except ValueError:
        return False
    return True


# Drawing.


def test_region_drawn_with_the_mouse_is_written_and_in_effect(page: Page, site: Site) -> None:
    site.server.wait_for_camera(lambda info: info["objects"], 30, "front")
    _open(page, site)
    page.get_by_text("Nothing is drawn: objects count everywhere.").wait_for()
    _draw(page, ((0.9, 0.02), (0.98, 0.02), (0.94, 0.08)))
    page.get_by_role("button", name="Region 1 3 points").wait_for()
    _save(page)
    _assert_written(site, "inside", ((0.9, 0.02), (0.98, 0.02), (0.94, 0.08)))
    assert 'source: "demo:"  # to try things out' in site.config.read_text()
    site.server.wait_for_camera(lambda info: info["detection_fps"] and not info["objects"], 30, "front")
    page.reload()
    page.get_by_role("button", name="Region 1 3 points").wait_for()
    assert page.get_by_role("button", name="Save").is_disabled()


def test_keyboard_alone_draws_changes_and_saves(page: Page, site: Site) -> None:
    _open(page, site)
    page.get_by_role("button", name="Draw mask").focus()
    page.keyboard.press("Enter")
    for keys in ("", *["Shift+ArrowRight"] * 5, *["Shift+ArrowDown"] * 5):
        if keys:
            page.keyboard.press(keys)
        if keys in ("", "Shift+ArrowRight", "Shift+ArrowDown"):
            page.keyboard.press("Space")
    page.keyboard.press("Backspace")
    page.get_by_role("status").filter(has_text="10 points are set").wait_for()
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    page.get_by_role("status").filter(has_text="Mask 1 is drawn").wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    focused = "document.activeElement.getAttribute('aria-label')"
    before = page.evaluate(focused)
    assert before.startswith("Point 2 of 11 of Mask 1, ")
    page.keyboard.press("Delete")
    page.keyboard.press("Insert")
    for _ in range(9):
        page.keyboard.press("Shift+ArrowUp")
    assert page.evaluate(focused).startswith("Point 3 of 11 of Mask 1, ")
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+y")
    page.get_by_role("button", name="Save").focus()
    page.keyboard.press("Enter")
    page.get_by_text("Saved. It is in effect.").wait_for()
    (mask,) = site.written("ignore")
    width, height = page.evaluate("[drawing.clientWidth, drawing.clientHeight]")
    assert mask[0] == [0.5, 0.5]
    np.testing.assert_allclose(mask[2], [0.5 + 50 / width, 0.5 - 180 / height], atol=CLOSE_TO)
    np.testing.assert_allclose(mask[-1], [0.5 + 100 / width, 0.5 + 100 / height], atol=CLOSE_TO)


def test_finger_draws_and_closes_at_the_first_point(browser: Browser, site: Site) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 700}, has_touch=True)
    page = context.new_page()
    page.set_default_timeout(WITHIN_MS)
    _open(page, site)
    page.get_by_role("button", name="Draw region").tap()
    for point in (*SQUARE, SQUARE[0]):
        page.touchscreen.tap(*_on_picture(page, point))
    page.get_by_role("button", name="Region 1 4 points").wait_for()
    page.get_by_role("button", name="Save").tap()
    page.get_by_text("Saved. It is in effect.").wait_for()
    np.testing.assert_allclose(site.written("inside")[0], SQUARE, atol=0.01)
    context.close()


def test_points_shapes_and_lines_are_dragged(page: Page, site: Site) -> None:
    site.set(inside=[SQUARE])
    _open(page, site)
    _drag(page, (0.35, 0.4), (0.45, 0.5))  # the shape
    _drag(page, (0.3, 0.3), (0.1, 0.1))  # its first point
    _drag(page, (0.6, 0.5), (0.8, 0.5))  # the line after its second
    _save(page)
    moved = ((0.1, 0.1), (0.6, 0.3), (0.8, 0.5), (0.6, 0.7), (0.3, 0.7))
    _assert_written(site, "inside", moved)
    _drag(page, (0.4, 0.5), (0.99, 0.5))  # no further than the picture
    _save(page)
    _assert_written(site, "inside", tuple((x + 0.2, y) for x, y in moved))


def test_each_step_is_undone_and_done_again(page: Page, site: Site) -> None:
    site.set(inside=[SQUARE])
    _open(page, site)
    _drag(page, (0.35, 0.4), (0.45, 0.5))
    page.get_by_label("What is in Region 1").select_option("is ignored")
    page.get_by_role("button", name="Mask 1 4 points").wait_for()
    page.get_by_role("button", name="Delete Mask 1").click()
    page.get_by_text("Nothing is drawn").wait_for()
    undo, redo = page.get_by_role("button", name="Undo"), page.get_by_role("button", name="Redo")
    for _ in range(3):
        undo.click()
    assert undo.is_disabled()
    assert page.get_by_role("button", name="Save").is_disabled()
    redo.click()
    redo.click()
    page.get_by_role("button", name="Mask 1 4 points").wait_for()
    _save(page)
    assert site.written("inside") == []
    _assert_written(site, "ignore", tuple((x + 0.1, y + 0.1) for x, y in SQUARE))


def test_shape_that_crosses_itself_is_refused_in_words(page: Page, site: Site) -> None:
    _open(page, site)
    _draw(page, BOW_TIE)
    page.get_by_role("alert").filter(has_text="The shape crosses itself").wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("Nothing is drawn").wait_for()
    _draw(page, SQUARE)
    _drag(page, SQUARE[0], (0.6, 0.5))
    page.get_by_role("button", name="Save").click()
    page.get_by_role("alert").filter(has_text="Region 1 crosses itself").wait_for()
    assert site.written("inside") == []
    page.get_by_role("button", name="Discard changes").click()
    page.get_by_text("Nothing is drawn").wait_for()


def test_what_counts_is_shown_before_it_is_saved(page: Page, site: Site) -> None:
    _open(page, site)
    page.locator("#seen", has_text="person").wait_for()
    before = page.locator("#seen").inner_text()
    assert before.startswith("Counts: ")
    assert "Does not" not in before
    _draw(page, ((0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99)), "Draw mask")
    page.locator("#seen", has_text=before.replace("Counts", "Does not count")).wait_for()
    assert page.locator("rect.found[data-counts=true]").count() == 0
    page.get_by_role("button", name="Discard changes").click()


# Others, and what goes wrong.


def test_what_others_save_is_shown_but_never_over_ones_own(page: Page, site: Site) -> None:
    _open(page, site)
    site.set(inside=[SQUARE])
    page.get_by_role("button", name="Region 1 4 points").wait_for()
    _draw(page, ((0.6, 0.6), (0.9, 0.6), (0.9, 0.9)))
    site.set(inside=None)
    page.get_by_role("alert").filter(has_text="were changed elsewhere meanwhile").wait_for()
    page.get_by_role("button", name="Region 2 3 points").wait_for()
    page.get_by_role("button", name="Discard changes").click()
    page.get_by_text("Nothing is drawn").wait_for()


def test_nothing_is_said_where_nothing_changed(page: Page, site: Site) -> None:
    with page.expect_response(lambda answer: answer.url.endswith("/api/v1/settings")) as asked:
        page.goto(site.url)
    assert asked.value.ok
    page.get_by_text("Nothing is drawn").wait_for()
    with page.expect_response(lambda answer: answer.url.endswith("/api/v1/settings")):
        pass  # by then what came first was taken
    assert page.get_by_text("changed elsewhere").count() == 0


def test_unsaved_drawing_is_guarded(page: Page, site: Site) -> None:
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    _open(page, site)
    _draw(page, SQUARE)
    page.get_by_role("link", name="To the camera").click()
    page.wait_for_url("**/cameras/front")
    assert asked == ["beforeunload"]
    assert site.written("inside") == []


def test_camera_of_the_command_line_is_explained(browser: Browser) -> None:
    no_picture_yet = "status of 503"
    with Server(*SMALL_DEMO, *NO_DETECTOR) as server, tab(browser, but_for=no_picture_yet) as page:
        page.goto(f"{server.url}/cameras/demo/regions")
        page.get_by_text("This camera comes from the command line").wait_for()
        page.get_by_text("There is no detector that could look.").wait_for()
        _draw(page, SQUARE)
        page.locator("#arguments", has_text="--set 'cameras.demo.detect.inside=[[[0.2,0.2").wait_for()
        assert page.get_by_role("button", name="Save").is_disabled()
        assert not violations(page)
        page.get_by_role("button", name="Discard changes").click()
        page.goto("about:blank")


def test_server_that_is_gone_is_said_to_be(page: Page, site: Site) -> None:
    _open(page, site)
    page.get_by_role("button", name="New picture").click()
    page.evaluate("() => { window.fetch = () => Promise.reject(new TypeError('Failed to fetch')); }")
    _draw(page, SQUARE)
    page.get_by_role("button", name="Save").click()
    page.get_by_role("alert").filter(has_text="Not saved: The server does not answer.").wait_for()
    page.get_by_role("button", name="New picture").click()
    page.locator("#seen", has_text="The server does not answer.").wait_for()
    page.get_by_role("button", name="Discard changes").click()


# For everybody, everywhere.


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 320)])
def test_nothing_is_in_anybodys_way_or_jumps(page: Page, site: Site, scheme: Any, width: int) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    _open(page, site)
    page.locator("#seen", has_text="Counts").wait_for()
    places = page.evaluate(PLACES)
    page.get_by_role("button", name="Draw region").click()
    assert page.evaluate(PLACES) == places
    assert not violations(page)
    page.get_by_role("button", name="Cancel").click()
    _draw(page, SQUARE)
    assert not violations(page)
    assert page.evaluate(PLACES) == places
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_role("button", name="Discard changes").click()


def test_page_works_below_a_prefix(page: Page, site: Site, tmp_path: Path) -> None:
    with Nginx(tmp_path, site.server.port) as nginx:
        page.goto(f"{nginx.url}/cams/cameras/front/regions")
        page.locator("#picture[src^=blob]").wait_for()
        _draw(page, SQUARE)
        _save(page)
        _assert_written(site, "inside", SQUARE)
        page.goto("about:blank")
