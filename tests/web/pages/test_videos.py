"""The page of videos in a real browser: it uploads, watches, fetches and deletes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.videos import probe, write_scenes
from tests.web.api.test_videos import Videos

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

DONE_WITHIN_MS = 60_000


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Videos]:
    folder = tmp_path_factory.mktemp("page")
    write_scenes(folder / "long.mp4", 2000)
    with Videos(folder, "detector.workers=1", "videos.max_bytes=9000000") as videos:
        yield videos


def test_video_is_uploaded_watched_and_fetched(page: Page, videos: Videos, tmp_path: Path) -> None:
    source = write_scenes(tmp_path / "street.mp4", 12)
    page.goto(videos.server.url)
    page.get_by_role("link", name="Videos").click()
    page.get_by_text("None yet.").wait_for()
    page.get_by_text("Options").click()
    page.get_by_label("csv").check()
    page.locator("#files").set_input_files(source)
    page.get_by_role("button", name="Start").click()
    card = page.locator(".video", has_text="street.mp4")
    card.locator(".state[data-state=done]").wait_for(timeout=DONE_WITHIN_MS)
    assert card.locator(".facts").inner_text().startswith("12 frames")
    with page.expect_download() as fetched:
        card.get_by_role("link", name="street.annotated.mp4").click()
    fetched.value.save_as(tmp_path / "fetched.mp4")
    assert len(probe(tmp_path / "fetched.mp4").times_s) == 12
    assert card.get_by_role("link", name="street.annotated.csv").count() == 1
    card.get_by_role("button", name="Delete").click()
    page.get_by_text("None yet.").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_upload_that_was_broken_off_goes_on_with_the_same_file(
    page: Page, videos: Videos, tmp_path: Path
) -> None:
    source = write_scenes(tmp_path / "again.mp4", 12)
    data = source.read_bytes()
    id = videos.begin("again.mp4", len(data))
    assert videos.append(id, 0, data[:1000]).status == 204
    page.goto(f"{videos.server.url}/videos")
    page.locator("#files").set_input_files(source)
    page.get_by_role("button", name="Start").click()
    card = page.locator(f"[data-video='{id}']")
    card.locator(".state[data-state=done]").wait_for(timeout=DONE_WITHIN_MS)
    assert page.locator(".video").count() == 1
    assert videos.ask("DELETE", f"/{id}").status == 204


def test_work_shows_how_far_it_is_and_is_cancelled(page: Page, videos: Videos) -> None:
    page.goto(f"{videos.server.url}/videos")
    page.get_by_label("or one on the server").fill("long.mp4")
    page.get_by_role("button", name="Start").click()
    card = page.locator(".video", has_text="long.mp4")
    card.locator(".facts", has_text="of 2000 frames").wait_for(timeout=DONE_WITHIN_MS)
    card.locator("progress[value]").wait_for()
    card.get_by_role("button", name="Cancel").click()
    page.get_by_text("None yet.").wait_for()
    assert videos.ask("GET").json == {"videos": []}


def test_what_is_missing_is_said(page: Page, videos: Videos) -> None:
    page.goto(f"{videos.server.url}/videos")
    page.get_by_role("button", name="Start").click()
    page.locator("#problem", has_text="choose a video first").wait_for()


def test_narrow_phone_needs_no_sideways_scrolling(page: Page, videos: Videos) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    page.goto(f"{videos.server.url}/videos")
    page.get_by_text("None yet.").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
