"""Text in pictures: how large it gets, how it is broken into lines, and writing it."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2

from detector.detections import BGRImage

Colour = tuple[int, int, int]
"""Blue, green, red, 0..255."""

MIN_TEXT_PX = 10
"""The smallest text that can be read; below, letters run together."""

# OpenCV 5 draws Unicode, in a font of its own, where a Hershey font is asked for; OpenCV 4 only ASCII.
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_DRAWS_UNICODE = int(cv2.__version__.split(".")[0]) >= 5


@dataclass(frozen=True, slots=True)
class Pen:
    """Writes text of one size: the font's scale and stroke, and the pixels above and below the baseline."""

    scale: float
    stroke: int
    ascent: int
    descent: int
    padding: int

    @property
    def line_height(self) -> int:
        """Height of a line in pixels, padding included."""
        return self.ascent + self.descent + 2 * self.padding

    def width(self, text: str) -> int:
        """Return the width of `text` in pixels, padding included."""
        return int(cv2.getTextSize(text, _FONT, self.scale, self.stroke)[0][0]) + 2 * self.padding

    def write(self, image: BGRImage, text: str, left_top: tuple[int, int], colour: Colour) -> None:
        """Write `text` into `image`, the upper left corner of its line at `left_top`."""
        baseline = (left_top[0] + self.padding, left_top[1] + self.padding + self.ascent)
        cv2.putText(image, text, baseline, _FONT, self.scale, colour, self.stroke, cv2.LINE_AA)

    def cut(self, text: str, width: int) -> str:
        """Return `text`, or as much of it, and two dots, as `width` pixels hold."""
        if self.width(text) <= width:
            return text
        kept = _most(len(text), lambda count: self.width(text[:count] + "..") <= width)
        return text[:kept] + ".." if kept else ""

    def join(self, pieces: Sequence[str], width: int, gap: str = "  ") -> list[str]:
        """Return the pieces as lines of at most `width` pixels; one that is wider by itself is cut."""
        lines: list[str] = []
        for piece in pieces:
            if lines and self.width(longer := lines[-1] + gap + piece) <= width:
                lines[-1] = longer
            else:
                lines.append(self.cut(piece, width))
        return lines

    def wrap(self, text: str, width: int) -> list[str]:
        """Return `text` as lines of at most `width` pixels, broken inside words only where one is wider."""
        return self.join([part for word in text.split() for part in self._split(word, width)], width, " ")

    def _split(self, word: str, width: int) -> list[str]:
        parts = []
        while self.width(word) > width and len(word) > 1:
            kept = max(1, _most(len(word), lambda count, word=word: self.width(word[:count]) <= width))  # type: ignore[misc]
            parts.append(word[:kept])
            word = word[kept:]
        return [*parts, word]


@lru_cache(maxsize=256)
def pen(text_px: int) -> Pen:
    """Return the pen for text of about `text_px` pixels from one line to the next."""
    scale, stroke = text_px / 30, max(1, round(text_px / 9))
    (_, ascent), descent = cv2.getTextSize("Ag|", _FONT, scale, stroke)
    return Pen(scale, stroke, ascent, descent, padding=max(1, round(text_px / 8)))


@lru_cache(maxsize=1024)
def drawable(text: str) -> str:
    """Return the first 500 letters on one line; what OpenCV cannot draw becomes `e` for `é`, else `?`."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text[:500]).split())
    if _DRAWS_UNICODE or text.isascii():
        return text
    letters = (c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return "".join(letters).encode("ascii", "replace").decode("ascii")


def _most(limit: int, fits: Callable[[int], bool]) -> int:
    """Return the largest count from 1 to `limit` that fits, or 0; what fits, fits with less too."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
