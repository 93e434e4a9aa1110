"""Debian's Chromium, driven by Playwright: fixtures and what tests look for in its pages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from detector.detections import BGRImage
from stream_server.drawing.colours import class_colour
from tests.support.needs import need, need_module

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
WITHIN_MS = 15_000
LEFT_EARLY = "WebSocket is closed before the connection is established"
"""What Chromium says where a page is left that was still opening one."""

MOVES = """
async (selector) => {
  const image = document.querySelector(selector);
  const context = new OffscreenCanvas(160, 90).getContext("2d", {willReadFrequently: true});
  const look = async () => {
    // Of the element itself Firefox draws the first picture again and again.
    const now = await createImageBitmap(image).catch(() => null);
    if (!now) return null;
    context.drawImage(now, 0, 0, 160, 90);
    return context.getImageData(0, 0, 160, 90).data;
  };
  let first = null;
  for (const until = performance.now() + 15000; performance.now() < until;) {
    await new Promise((next) => setTimeout(next, 100));
    const now = await look();
    first ??= now;
    let changed = 0;
    for (let i = 0; i < now?.length; i += 4) if (Math.abs(now[i] - first[i]) > 24) changed++;
    if (changed > 100) return changed;
  }
  return 0;
}
"""
"""Resolves once the picture that a selector finds has changed."""


def box_sides(image: BGRImage, found: dict[str, Any], reach_px: int) -> list[float]:
    """Return, for each side of a box, along which part of its middle half a line of its colour is seen."""
    is_line = np.abs(image.astype(int) - class_colour(found["class_id"])).max(axis=2) < 60
    x_min, y_min, x_max, y_max = (round(found["box"][side]) for side in ("x_min", "y_min", "x_max", "y_max"))
    columns = slice((3 * x_min + x_max) // 4, (x_min + 3 * x_max) // 4)
    rows = slice((3 * y_min + y_max) // 4, (y_min + 3 * y_max) // 4)
    horizontal = [
        is_line[max(0, y - reach_px) : y + reach_px, columns].any(axis=0).mean() for y in (y_min, y_max)
    ]
    vertical = [is_line[rows, max(0, x - reach_px) : x + reach_px].any(axis=1).mean() for x in (x_min, x_max)]
    return [float(part) for part in (*horizontal, *vertical)]


@contextmanager
def chromium(*options: str) -> Iterator[Browser]:
    """Run Chromium, with more options than all tests need."""
    path = need("chromium")
    playwright = need_module("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=[*CHROMIUM_OPTIONS, *options])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@contextmanager
def tab(browser: Browser, but_for: str | None = None) -> Iterator[Page]:
    """Open a tab; what it complains about fails the test, but for what has these words in it."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(WITHIN_MS)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type != "log" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    page.unroute_all(behavior="ignoreErrors")  # a request may be under way to a test's answer
    page.close()
    expected = (LEFT_EARLY, but_for or LEFT_EARLY)
    complaints = [text for text in complaints if not any(words in text for words in expected)]
    assert not complaints, complaints


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab; what it complains about fails the test."""
    with tab(browser) as page:
        yield page
