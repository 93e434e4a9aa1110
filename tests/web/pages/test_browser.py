"""The pages in a real browser: the picture moves, the boxes are on it, and nothing complains."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from detector.detections import BGRImage
from tests.support.browser import MOVES, box_sides
from tests.support.cameras.http import HTTPCamera
from tests.support.server import ONE_WORKER, Server, settings

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

EXACT_PX = 8
"""How far a line may be from the API's newest box: the picture is up to an analysed frame older or newer."""
LIVE_PX = 16
"""The same for a box that the tracker carried on from there."""
PICTURE = """
async (image) => {
  for (let i = 0; i < 200 && !image.naturalWidth; i++) await new Promise((next) => setTimeout(next, 50));
  const canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  context.drawImage(document.getElementById("boxes"), 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/png").split(",")[1];
}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A demo that is analysed, and a camera that nobody can reach."""
    with HTTPCamera() as gone:
        lost = gone.url
    cameras = settings(
        "cameras.demo={source: 'demo:', width: 1280, height: 720, fps: 8}",
        f"cameras.lost={{source: '{lost}', detect: {{enabled: false}}}}",
    )
    with Server(*cameras, *ONE_WORKER) as server:
        server.wait_for_camera(lambda info: "cat" in info["objects"], 30)
        yield server


def _picture(page: Page) -> BGRImage:
    """Return what the camera's page shows now, the boxes over it, at the stream's size."""
    png = base64.b64decode(page.locator("#picture").evaluate(PICTURE))
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return np.asarray(image, np.uint8)


def _cat(server: Server) -> dict[str, Any]:
    detections = server.get("/api/v1/cameras/demo/detections").json["detections"]
    return next(found for found in detections if found["label"] == "cat")


def _wait_for_box(page: Page, server: Server, *, shown: bool, reach_px: int = EXACT_PX) -> None:
    """Look until the cat's box is on the picture, or is not."""
    sides: list[float] = []
    for _ in range(100):
        sides = box_sides(_picture(page), _cat(server), reach_px)
        if (min(sides) > 0.8) if shown else (max(sides) < 0.3):
            return
        page.wait_for_timeout(100)
    pytest.fail(f"the box is {'not ' if shown else ''}on the picture: {sides}")


def test_pictures_move_on_the_page_of_all_cameras(page: Page, server: Server) -> None:
    page.goto(server.url)
    assert page.evaluate(MOVES, '[data-camera="demo"] canvas') > 100
    page.get_by_text("1 of 2 online").wait_for()
    page.locator('[data-camera="demo"] .found', has_text="cat").wait_for()
    page.locator('[data-camera="lost"] .found', has_text="connection refused").wait_for()


def test_camera_is_one_click_away(page: Page, server: Server) -> None:
    page.goto(server.url)
    page.locator('[data-camera="demo"]').click()
    page.wait_for_url(f"{server.url}/cameras/demo")
    assert page.title() == "demo · stream-server"


def test_picture_moves_and_the_boxes_are_on_it(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/cameras/demo")
    assert page.evaluate(MOVES, "#picture") > 100
    page.get_by_label("Exact boxes").check()
    page.locator("stream-camera[overlay=exact]").wait_for()
    _wait_for_box(page, server, shown=True)


def test_overlay_switch_takes_the_boxes_away_and_back(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/cameras/demo")
    assert page.get_by_label("Live boxes").is_checked()
    _wait_for_box(page, server, shown=True, reach_px=LIVE_PX)
    page.get_by_label("No boxes").check()
    _wait_for_box(page, server, shown=False)
    page.get_by_label("Live boxes").check()
    _wait_for_box(page, server, shown=True, reach_px=LIVE_PX)


def test_picture_is_saved_with_boxes_and_without(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/cameras/demo")
    for link, boxes_drawn in (("Save picture", False), ("Save with boxes", True)):
        with page.expect_download() as saving:
            page.get_by_role("link", name=link).click()
        image = cv2.imread(str(saving.value.path()))
        assert image is not None
        sides = box_sides(np.asarray(image, np.uint8), _cat(server), LIVE_PX)
        assert (min(sides) > 0.8) == boxes_drawn


def test_detections_and_facts_are_filled_in(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/cameras/demo")
    page.locator("#detections td", has_text="cat").wait_for()
    page.locator("#detections td", has_text="%").first.wait_for()
    page.locator("[data-fact=size]", has_text="1280 × 720").wait_for()
    page.locator("[data-fact=viewers]", has_text="1").wait_for()
    assert page.locator("#state").inner_text() == "online"
    stream = f"{server.url}/cameras/demo/stream.mjpg"
    assert page.locator("#img").inner_text() == f'<img src="{stream}" alt="demo">'


def test_lost_camera_says_why(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/cameras/lost")
    page.locator("#state", has_text="connection refused").wait_for()
    page.locator("stream-camera[data-state=live]").wait_for()


def test_leaving_a_page_frees_its_viewer(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/cameras/demo")
    server.wait_for_camera(lambda info: info["viewers"] == 1)
    page.goto("about:blank")
    server.wait_for_camera(lambda info: info["viewers"] == 0)


def test_returning_by_the_back_button_shows_the_picture_again(page: Page, server: Server) -> None:
    page.goto(server.url)
    page.goto(f"{server.url}/cameras/demo")
    page.go_back()
    assert page.evaluate(MOVES, '[data-camera="demo"] canvas') > 100


@pytest.mark.parametrize("path", ["/", "/cameras/demo", "/cameras/lost"])
def test_narrow_phone_needs_no_sideways_scrolling(page: Page, server: Server, path: str) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    page.goto(server.url + path)
    page.locator(".state").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
