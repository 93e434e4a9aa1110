"""axe-core in a page: what people who use a keyboard, a screen reader or weak eyes would stumble over."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

AXE = Path(__file__).parent / "axe" / "axe.min.js"

_RUN = """
async () => {
  const { violations } = await axe.run({ resultTypes: ["violations"] });
  return violations.flatMap(({ id, help, nodes }) => nodes.map(
    ({ target, failureSummary }) => `${id}: ${help}: ${target.join(" ")}: ${failureSummary}`));
}
"""


def violations(page: Page) -> list[str]:
    """Return what axe-core finds wrong with the page as it is now: WCAG 2 A and AA, and good practice."""
    page.evaluate(AXE.read_text(encoding="utf-8"))  # a script element would be against the page's policy
    found: list[str] = page.evaluate(_RUN)
    return found
