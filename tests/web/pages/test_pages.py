"""What holds for every page: nobody is kept out by its colours or its size, and nothing is cut off."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.accessibility import violations
from tests.support.pages import FIRST_RUN, PAGES, household, server_of
from tests.support.server import Server

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

CUT_OFF = """
() => [...document.querySelectorAll("body *")].filter((element) => {
  const style = getComputedStyle(element);
  const text = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  return text && style.overflowX !== "visible" && style.overflowX !== "auto" && style.overflowX !== "scroll"
    && element.scrollWidth > element.clientWidth + 1 && !element.closest(".visually-hidden");
}).map((element) => element.outerHTML.slice(0, 200))
"""
"""Returns the elements whose text does not fit, and cannot be scrolled to."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with household(tmp_path_factory.mktemp("household"), size_wh=(320, 180), detect_fps=1) as server:
        yield server


@pytest.fixture(scope="module")
def new_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server_of(tmp_path_factory.mktemp("new"), {}) as server:
        yield server


@pytest.fixture(params=[*PAGES, FIRST_RUN])
def address(request: pytest.FixtureRequest, server: Server, new_server: Server) -> str:
    """The address of a page."""
    name: str = request.param
    return f"{new_server.url}/" if name == FIRST_RUN else f"{server.url}{PAGES[name]}"


def _open(page: Page, address: str) -> None:
    answer = page.goto(address)
    assert answer is not None
    assert answer.ok
    page.locator("main h1, main h2").first.wait_for(state="attached")


def test_nobody_is_kept_out(page: Page, address: str) -> None:
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    _open(page, address)
    assert violations(page) == []
    page.emulate_media(color_scheme="dark")
    assert violations(page) == []
    links = page.locator("header nav a").all_inner_texts()
    assert links == ["Cameras", "Try it", "Videos", "Status", "Settings", "API"]


def test_all_fits_on_a_narrow_phone(page: Page, address: str) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    _open(page, address)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert page.evaluate(CUT_OFF) == []
