"""The picture of a camera that gives none: its name, why, and when."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detector.detections import BGRImage
from stream_server.drawing.colours import GREY, WHITE
from stream_server.drawing.text import MIN_TEXT_PX, Colour, Pen, drawable, pen
from stream_server.media.encode import fit

BACKDROP: Colour = (40, 32, 28)


def message_picture(
    size_wh: tuple[int, int], title: str, reason: str, footer: str = "", *, background: BGRImage | None = None
) -> BGRImage:
    """Return the picture that viewers get while there is none: what it is about, why, and e.g. the time.

    title, reason, footer: written below one another in the middle, as large as they fit; what does not fit at
        the smallest size is cut, the reason first.
    background: the last picture, shown dimmed behind the text. Not modified.
    """
    canvas = _backdrop(size_wh, background)
    texts = (drawable(title), drawable(reason), drawable(footer))
    for text_px in _message_sizes(size_wh):
        rows, last = _message_rows(texts, text_px, size_wh[0])
        if _height(rows + last) <= 0.8 * size_wh[1]:
            break
    while len(rows) > 1 and _height(rows + last) > size_wh[1]:
        rows.pop()
    _write_centred(canvas, rows + last)
    return canvas


_Row = tuple[Pen, str, Colour]


def _backdrop(size_wh: tuple[int, int], picture: BGRImage | None) -> BGRImage:
    if picture is None:
        return np.full((size_wh[1], size_wh[0], 3), BACKDROP, np.uint8)
    return np.right_shift(fit(picture, size_wh), 2, dtype=np.uint8)


def _message_sizes(size_wh: tuple[int, int]) -> list[int]:
    largest = round(min(size_wh) / 16)
    sizes = {round(largest * shrink) for shrink in (1, 0.8, 0.65, 0.5)}
    return [*sorted((size for size in sizes if size > MIN_TEXT_PX), reverse=True), MIN_TEXT_PX]


def _message_rows(texts: tuple[str, str, str], text_px: int, width: int) -> tuple[list[_Row], list[_Row]]:
    """Return the rows of title and reason, which may be many, and the one of the footer."""
    title, reason, footer = texts
    title_pen, text_pen = pen(round(1.4 * text_px)), pen(text_px)
    width -= 2 * (width // 20)
    rows = [(title_pen, line, WHITE) for line in title_pen.wrap(title, width)]
    rows += [(text_pen, line, WHITE) for line in text_pen.wrap(reason, width)]
    return rows, [(text_pen, text_pen.cut(footer, width), GREY)] if footer else []


def _height(rows: Sequence[_Row]) -> int:
    return sum(writer.line_height for writer, _, _ in rows)


def _write_centred(canvas: BGRImage, rows: Sequence[_Row]) -> None:
    height, width = canvas.shape[:2]
    top = max(0, (height - _height(rows)) // 2)
    for writer, text, colour in rows:
        writer.write(canvas, text, (max(0, (width - writer.width(text)) // 2), top), colour)
        top += writer.line_height
