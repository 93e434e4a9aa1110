"""Take the pictures of all pages that README.md and docs/ show: docs/images/PAGE-SCREEN-THEME.jpg.

Starts servers with cameras of their own; needs what `make test` installs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.browser import chromium  # noqa: E402
from tests.support.pages import FIRST_RUN, PAGES, household, server_of  # noqa: E402

if TYPE_CHECKING:
    from playwright.sync_api import Browser

IMAGES = ROOT / "docs" / "images"
SCREENS = {"desktop": (1280, 800), "phone": (390, 844)}
THEMES = ("light", "dark")
QUALITY = 75
SETTLES_MS = 2500
"""Pictures move for ever, so nothing else says when a page shows what it has."""


def main() -> None:
    """Take them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("page", nargs="*", help=f"(default: all) {', '.join([*PAGES, FIRST_RUN])}")
    wanted = parser.parse_args().page or [*PAGES, FIRST_RUN]
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        if pages := [page for page in wanted if page != FIRST_RUN]:
            with household(Path(folder)) as server:
                shoot(browser, ((page, f"{server.url}{PAGES[page]}") for page in pages))
        if FIRST_RUN in wanted:
            with server_of(Path(folder), {}) as server:
                shoot(browser, [(FIRST_RUN, f"{server.url}/")])


def shoot(browser: Browser, addresses: Iterable[tuple[str, str]]) -> None:
    """Take a picture of each address on every screen, in every theme."""
    for name, address in addresses:
        for screen, (width, height) in SCREENS.items():
            for theme in THEMES:
                path = IMAGES / f"{name}-{screen}-{theme}.jpg"
                page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)
                page.goto(address)
                page.wait_for_timeout(SETTLES_MS)
                page.screenshot(path=path, type="jpeg", quality=QUALITY)
                page.close()
                print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
