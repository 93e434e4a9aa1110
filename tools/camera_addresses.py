"""Writes the addresses of common makers' cameras into docs/cameras.md from the table the server has.

python -m tools.camera_addresses          rewrites docs/cameras.md
python -m tools.camera_addresses --check  exit code 1 when docs/cameras.md is not current
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from stream_server.discovery import MAKERS

PAGE = Path(__file__).parent.parent / "docs" / "cameras.md"
BEGIN, END = "<!-- camera addresses: begin -->", "<!-- camera addresses: end -->"


def table() -> str:
    """Return the table as Markdown."""
    rows = [
        f"| {maker.name} | {' '.join(f'`{url}`' for url in maker.shown if url)} | {maker.note} |"
        for maker in MAKERS
    ]
    return "\n".join(("| camera | main stream, then a smaller one | to know |", "|---|---|---|", *rows))


def updated(page: str) -> str:
    """Return the text of the page with the table between its two markers made new."""
    block = f"{BEGIN}\n{table()}\n{END}"
    return re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: block, page, flags=re.DOTALL)


def main() -> None:
    """Rewrite or check the page."""
    old = PAGE.read_text(encoding="utf-8")
    new = updated(old)
    if "--check" in sys.argv:
        raise SystemExit(0 if new == old else "docs/cameras.md: the addresses are not current")
    PAGE.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
