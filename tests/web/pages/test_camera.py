"""The page of one camera in a real browser: its boxes, switches, table, charts, and what is to be copied."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from stream_server.drawing.colours import class_colour
from tests.support.accessibility import violations
from tests.support.browser import WITHIN_MS
from tests.support.cameras.http import HTTPCamera
from tests.support.server import ONE_WORKER, Server, settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, WebSocketRoute

pytestmark = pytest.mark.browser

CAT, PERSON = 15, 0
"""Class ids of what the demo shows, beside a cup."""

COLOURS = """
() => {
  const canvas = document.getElementById("boxes");
  const options = { willReadFrequently: true };
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", options);
  copy.drawImage(canvas, 0, 0);
  const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
  const colours = {};
  for (let i = 0; i < data.length; i += 4) {
    if (data[i + 3] < 255) continue;
    const colour = `${data[i]},${data[i + 1]},${data[i + 2]}`;
    colours[colour] = (colours[colour] ?? 0) + 1;
  }
  return colours;
}
"""
"""How many pixels of which colour lie over the picture."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A demo that is analysed, one that is not, and a camera that nobody can reach."""
    with HTTPCamera() as gone:
        lost = gone.url
    cameras = settings(
        "cameras.demo={source: 'demo:', width: 640, height: 360, fps: 8}",
        "cameras.plain={source: 'demo:', width: 320, height: 180, fps: 4, detect: {enabled: false}}",
        f"cameras.lost={{source: '{lost}'}}",
    )
    with Server(*cameras, *ONE_WORKER) as server:
        server.wait_for_camera(lambda info: {"cat", "person"} <= set(info["objects"]), 30)
        yield server


def _open(page: Page, server: Server, camera: str = "demo") -> None:
    page.goto(f"{server.url}/cameras/{camera}")
    page.locator("stream-camera[data-state=live]").wait_for()


def _draws(page: Page, class_id: int) -> bool:
    blue, green, red = class_colour(class_id)
    return bool(page.evaluate(COLOURS).get(f"{red},{green},{blue}", 0) > 100)


def _wait(page: Page, fact: Callable[[], bool]) -> bool:
    """Return whether `fact` becomes true in time; pages move on meanwhile."""
    until = time.monotonic() + WITHIN_MS / 1000
    while time.monotonic() < until:
        if fact():
            return True
        page.wait_for_timeout(50)
    return False


def _streams(page: Page) -> list[str]:
    """Return the list to which the streams that the page opens are added."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "stream.mjpg" in request.url else None)
    return asked


# Boxes, drawn in the page.


def test_boxes_have_the_colours_of_the_servers_own(page: Page, server: Server) -> None:
    _open(page, server)
    assert _wait(page, lambda: _draws(page, CAT) and _draws(page, PERSON))


def test_overlay_is_switched_without_reloading_the_stream(page: Page, server: Server) -> None:
    asked = _streams(page)
    _open(page, server)
    assert _wait(page, lambda: _draws(page, CAT))
    page.get_by_label("No boxes").check()
    assert page.evaluate(COLOURS) == {}
    page.get_by_label("Live boxes").check()
    assert _draws(page, CAT)
    assert len(asked) == 1
    page.get_by_label("Exact boxes").check()
    assert _wait(page, lambda: len(asked) == 2 and _draws(page, CAT))
    assert "overlay=exact" in asked[1]
    assert "boxes=false" in asked[1]


def test_classes_are_switched_at_once_and_remembered(page: Page, server: Server) -> None:
    _open(page, server)
    assert _wait(page, lambda: _draws(page, CAT) and _draws(page, PERSON))
    cat = page.get_by_role("checkbox", name=re.compile("^cat"))
    cat.focus()
    page.keyboard.press("Space")
    assert not _draws(page, CAT)
    assert _wait(page, lambda: _draws(page, PERSON))
    page.locator("#counts", has_text="1 more not shown").wait_for()
    assert page.locator("#detections .pick", has_text="cat").count() == 0
    _open(page, server)
    assert not cat.is_checked()
    assert _wait(page, lambda: _draws(page, PERSON))
    assert not _draws(page, CAT)
    cat.check()
    assert _wait(page, lambda: _draws(page, CAT))


def test_least_score_takes_effect_at_once_and_is_remembered(page: Page, server: Server) -> None:
    _open(page, server)
    assert _wait(page, lambda: _draws(page, CAT))
    page.get_by_label("Score of at least").fill("95")
    assert page.evaluate(COLOURS) == {}
    page.locator("#counts", has_text="Nothing found right now. (").wait_for()
    _open(page, server)
    assert page.locator("#score-text").inner_text() == "95 %"


def test_box_is_carried_as_the_tracker_does(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/docs")
    moved = page.evaluate(
        """async (module) => {
          const { Tracks } = await import(module);
          const box = (x) => ({ x_min: x, y_min: 0.2, x_max: x + 0.1, y_max: 0.4 });
          const at = (s) => new Date(1000 * s).toISOString();
          const tracks = new Tracks();
          const nothing = [tracks.at(null), tracks.in(1), tracks.all()];
          const followed = { track_id: 7, box_relative: box(0.5), speed_relative: { ...box(0), x_min: 0.1 },
            first_seen_at: at(90), seen_at: at(100), shown_until: at(103) };
          for (const [time, detections] of [[99.8, "a"], [99.9, "b"], [100, "c"]]) {
            tracks.hear({ captured_at: at(time), detections, tracks: [followed] });
          }
          const left = (s) => tracks.at(s).map(({ box_relative }) => box_relative.x_min);
          return { nothing, left: [98, 99.5, 100, 100.5, 102, 103.1].map(left),
            exact: [99.8004, 99.9, 101, null].map((s) => tracks.in(s)) };
        }""",
        f"{server.url}/static/camera/tracks.js",
    )
    assert moved["nothing"] == [[], None, []]
    assert moved["left"] == [pytest.approx(lefts) for lefts in ([0.4], [0.45], [0.5], [0.55], [0.6], [])]
    assert moved["exact"] == ["a", "b", None, "c"]


# What is found, from a WebSocket of the test's own.


def _track(
    number: int, label: str, class_id: int, box: tuple[float, ...], score: float = 0.9
) -> dict[str, Any]:
    now = datetime.now(timezone.utc).isoformat()
    sides = ("x_min", "y_min", "x_max", "y_max")
    return {
        "label": label, "class_id": class_id, "score": score, "track_id": number,
        "box_relative": dict(zip(sides, box, strict=True)), "speed_relative": dict.fromkeys(sides, 0.0),
        "first_seen_at": now, "seen_at": now, "shown_until": "2100-01-01T00:00:00Z",
    }  # fmt: skip


def _tell(page: Page, *tracks: dict[str, Any]) -> list[WebSocketRoute]:
    """Have the page told of these tracks, and of nothing else; return where more can be sent to it."""
    opened: list[WebSocketRoute] = []

    def talk(socket: WebSocketRoute) -> None:
        opened.append(socket)
        socket.send(_told(*tracks))

    page.route_web_socket(re.compile("/ws"), talk)
    page.route(re.compile("/(history|detections)"), lambda route: route.abort())
    return opened


def _told(*tracks: dict[str, Any]) -> str:
    return json.dumps(
        {"captured_at": datetime.now(timezone.utc).isoformat(), "detections": [], "tracks": tracks}
    )


@pytest.fixture
def troubled(browser: Browser) -> Iterator[Page]:
    """A tab that may complain: its requests are refused on purpose."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(2 * WITHIN_MS)
    yield page
    page.close()


def test_box_and_row_point_each_other_out(troubled: Page, server: Server) -> None:
    page = troubled
    _tell(
        page,
        _track(3, "car", 2, (0.1, 0.1, 0.9, 0.9)),
        _track(8, "dog", 17, (0.4, 0.4, 0.6, 0.6)),
    )
    _open(page, server)
    dog, car = (page.get_by_role("button", name=name, exact=True) for name in ("dog", "car"))
    dog.wait_for()
    page.locator("#stage").click()  # in the middle, which is in both: the smaller one
    page.get_by_role("button", name="dog", exact=True, pressed=True).wait_for()
    assert (dog.get_attribute("aria-pressed"), car.get_attribute("aria-pressed")) == ("true", "false")
    assert page.evaluate(COLOURS).get("255,255,255", 0) > 100
    car.focus()
    page.keyboard.press("Enter")
    assert (dog.get_attribute("aria-pressed"), car.get_attribute("aria-pressed")) == ("false", "true")
    page.keyboard.press("Enter")
    assert car.get_attribute("aria-pressed") == "false"


def test_rows_stay_where_they_are(troubled: Page, server: Server) -> None:
    page = troubled
    first, second = _track(1, "cat", 16, (0, 0, 0.2, 0.2)), _track(2, "dog", 17, (0.5, 0, 0.7, 0.2))
    opened = _tell(page, first, second)
    _open(page, server)
    names = page.locator("#detections .pick")
    names.nth(1).wait_for()
    page.evaluate("window.row = document.querySelector('#detections tr')")
    opened[-1].send(_told(_track(3, "car", 2, (0, 0.5, 0.2, 0.7)), second | {"score": 0.99}, first))
    names.nth(2).wait_for()
    assert names.all_inner_texts() == ["cat", "dog", "car"]
    assert page.evaluate("window.row === document.querySelector('#detections tr')")
    page.locator("#detections td", has_text="99 %").wait_for()
    assert page.locator("#counts").inner_text() == "cat, dog, car"


def test_eighty_classes_fit_a_phone(troubled: Page, server: Server) -> None:
    page = troubled
    page.set_viewport_size({"width": 320, "height": 640})
    labels = [f"class number {number}" for number in range(80)]
    _tell(
        page, *(_track(n + 1, label, n, (n / 80, 0.1, n / 80 + 0.1, 0.9)) for n, label in enumerate(labels))
    )
    _open(page, server)
    page.locator(".chip").nth(79).wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert violations(page) == []


# The last minutes.


def test_charts_show_what_was_before_the_page_was_opened(page: Page, server: Server) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/history" in request.url else None)
    _open(page, server)
    objects = page.locator("#chart-objects")
    objects.locator("path").nth(1).wait_for(state="attached")  # flat: no size to be seen
    assert {"cat", "person"} <= set(objects.locator(".legend li").all_inner_texts())
    told = objects.locator("svg").get_attribute("aria-label") or ""
    assert re.search(r"^Objects, .*: .*(cat|person) now \d+, least \d+, most \d+", told), told
    for name, unit in (("latency", " ms"), ("fps", "")):
        told = page.locator(f"#chart-{name} svg").get_attribute("aria-label") or ""
        assert re.search(rf"now [\d.]+{unit}, least [\d.]+{unit}, most", told), told
    assert _wait(page, lambda: len(asked) > 1)
    assert "?since=" in asked[1]


# Cameras without detection, without pictures, and a server that was gone.


def test_camera_without_detection_offers_none(page: Page, server: Server) -> None:
    _open(page, server, "plain")
    assert page.get_by_text("Detection is off for this camera.").is_visible()
    for left_out in ("input[name=overlay]", "#score", "#chart-objects", "#save-boxes"):
        assert page.locator(left_out).count() == 0
    page.locator("#chart-fps path").wait_for(state="attached")
    page.locator("[data-fact=detection_fps]", has_text="off").wait_for()


def test_lost_camera_is_told_in_words(page: Page, server: Server) -> None:
    _open(page, server, "lost")
    page.locator("#state", has_text="offline: 127.0.0.1").wait_for()
    page.locator("#newest", has_text="No picture yet. The server tries to reach the camera again").wait_for()
    assert page.locator("#counts").inner_text() == "Nothing found right now."


def test_page_goes_on_after_the_server_was_killed(troubled: Page, server: Server) -> None:
    page = troubled
    _open(page, server)
    page.locator("#detections .pick", has_text="cat").wait_for()
    row = page.locator("#detections tr", has_text="cat")
    with page.expect_websocket():
        os.kill(server.web_worker, signal.SIGKILL)
    row.locator("td", has_text=re.compile(r"^#[12]$")).wait_for()  # numbers begin anew
    assert server.wait_for_camera(lambda info: info["viewers"] == 1)
    assert _wait(page, lambda: _draws(page, CAT))


# For everybody.


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("camera", ["demo", "plain", "lost"])
def test_nothing_is_in_the_way_of_anybody(page: Page, server: Server, camera: str, theme: Any) -> None:
    page.emulate_media(color_scheme=theme)
    _open(page, server, camera)
    if camera == "demo":
        page.locator("#chart-objects path").first.wait_for(state="attached")
        page.locator(".pick").first.click()
        page.locator("summary", has_text="Home Assistant").press("Enter")
    assert violations(page) == []


def test_picture_fills_the_screen(page: Page, server: Server) -> None:
    _open(page, server)
    page.get_by_role("button", name="Full screen").click()
    assert _wait(page, lambda: page.evaluate("document.fullscreenElement?.id") == "stage")
    assert _wait(page, lambda: _draws(page, CAT))
    page.evaluate("document.exitFullscreen()")


def test_lines_are_copied_and_it_is_said(page: Page, server: Server) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=server.url)
    _open(page, server)
    button = page.locator("#player-name + .line .copy")
    button.click()
    button.filter(has_text="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#player").inner_text()
