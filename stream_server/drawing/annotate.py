"""What is drawn into pictures: boxes with labels, a caption, and the picture of a camera that gives none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from detector.detections import BGRImage, Detections
from stream_server.drawing.text import MIN_TEXT_PX, Colour, Pen, drawable, pen
from stream_server.media.encode import fit

BLACK: Colour = (0, 0, 0)
WHITE: Colour = (255, 255, 255)
GREY: Colour = (190, 190, 190)
BACKDROP: Colour = (40, 32, 28)

PALETTE_SIZE = 96
_MAX_LABEL_LETTERS = 32


@dataclass(frozen=True, slots=True)
class Style:
    """What is written at a box: a label at all, and in it the score and the track's number."""

    labels: bool = True
    scores: bool = True
    track_ids: bool = True


DEFAULT_STYLE = Style()


def annotate(
    image: BGRImage,
    detections: Detections,
    labels: Mapping[int, str],
    *,
    caption: Sequence[str] = (),
    style: Style = DEFAULT_STYLE,
) -> BGRImage:
    """Return a copy of `image` with the boxes drawn on it, the best ones on top.

    image: (H, W, 3) uint8, BGR. Not modified.
    detections: boxes in pixels of `image`; what lies outside is left out.
    labels: names of the class ids; a class without one shows its number.
    caption: pieces of the line at the lower left (camera, time, frame rate), broken between pieces where the
        picture is narrow.
    """
    canvas = image.copy()
    line_px = line_width((canvas.shape[1], canvas.shape[0]))
    marks = _marks(detections, labels, style, canvas, line_px)
    for mark in reversed(marks):
        _draw_box(canvas, mark, line_px)
    if style.labels:
        for mark in reversed(marks):
            _draw_label(canvas, mark)
    if caption:
        _draw_caption(canvas, caption)
    return canvas


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


def class_colour(class_id: int) -> Colour:
    """Return the colour of a class; the same one in every picture and every run."""
    return _palette()[class_id % PALETTE_SIZE]


def line_width(size_wh: tuple[int, int]) -> int:
    """Return how thick the line of a box is in a picture of `size_wh`, in pixels."""
    return max(1, round(min(size_wh) / 280))


def text_size(size_wh: tuple[int, int]) -> int:
    """Return how large labels are in a picture of `size_wh`, in pixels from one line to the next."""
    return max(MIN_TEXT_PX, round(min(size_wh) / 38))


@lru_cache(maxsize=1)
def _palette() -> tuple[Colour, ...]:
    """Return colours of which each is as far as can be, in CIELAB, from all before it.

    Only vivid ones of middle lightness, which stand out from bright and dark pictures. The first 20 are 33
    apart or more, the first 80 still 15 (a just noticeable difference is about 2.3).
    """
    steps = np.linspace(0, 1, 9, dtype=np.float32)
    colours = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    lab = cv2.cvtColor(colours, cv2.COLOR_BGR2Lab)[0]
    is_vivid = (lab[:, 0] > 50) & (lab[:, 0] < 92) & (np.hypot(lab[:, 1], lab[:, 2]) > 40)
    colours, lab = colours[0, is_vivid], lab[is_vivid]
    chosen = [int(np.abs(colours - (0.25, 0.625, 1)).sum(axis=1).argmin())]  # class 0, mostly persons: orange
    distances = np.full(len(lab), np.inf)
    while len(chosen) < PALETTE_SIZE:
        distances = np.minimum(distances, np.linalg.norm(lab - lab[chosen[-1]], axis=1))
        chosen.append(int(distances.argmax()))
    return tuple((int(blue), int(green), int(red)) for blue, green, red in 255 * colours[chosen])


def _text_on(colour: Colour) -> Colour:
    """Return black or white, whichever has more contrast on `colour` (by its Rec. 601 luma)."""
    blue, green, red = colour
    return BLACK if 0.114 * blue + 0.587 * green + 0.299 * red > 110 else WHITE


@dataclass(frozen=True, slots=True)
class _Mark:
    """What is drawn for one object: the outermost pixels of its box's line, its text and its colour."""

    left: int
    top: int
    right: int
    bottom: int
    text: str
    colour: Colour


def _marks(
    detections: Detections, labels: Mapping[int, str], style: Style, canvas: BGRImage, line_px: int
) -> list[_Mark]:
    """Return the marks of the objects of which at least a part lies in the picture, brought into it."""
    height, width = canvas.shape[:2]
    outside = (line_px - 1) / 2
    marks = []
    # One by one: a dozen NumPy calls for all at once take 0.15 ms when an image has just passed the caches.
    for index, (left, top, right, bottom) in enumerate(detections.boxes.tolist()):
        if max(left, 0) < min(right, width) and max(top, 0) < min(bottom, height):
            class_id = int(detections.class_ids[index])
            mark = _Mark(
                min(max(round(left - outside), 0), width - 1),
                min(max(round(top - outside), 0), height - 1),
                min(round(right + outside), width - 1),
                min(round(bottom + outside), height - 1),
                _label(detections, index, labels.get(class_id, str(class_id)), style),
                class_colour(class_id),
            )
            marks.append(mark)
    return marks


def _label(detections: Detections, index: int, name: str, style: Style) -> str:
    text = drawable(name)
    if len(text) > _MAX_LABEL_LETTERS:
        text = text[: _MAX_LABEL_LETTERS - 2] + ".."
    if style.scores:
        text += f" {100 * float(detections.scores[index]):.0f} %"
    if style.track_ids and (track_id := int(detections.track_ids[index])):
        text += f" #{track_id}"
    return text


def _draw_box(canvas: BGRImage, mark: _Mark, line_px: int) -> None:
    """Draw a line of `line_px` between two black ones, so that it is seen on any colour."""
    # Nested lines of one pixel take a quarter of the time of a thick one, and keep the corners sharp.
    for inset in range(-1, line_px + 1):
        upper_left, lower_right = (
            (mark.left + inset, mark.top + inset),
            (mark.right - inset, mark.bottom - inset),
        )
        cv2.rectangle(canvas, upper_left, lower_right, mark.colour if 0 <= inset < line_px else BLACK)


def _draw_label(canvas: BGRImage, mark: _Mark) -> None:
    """Draw a label above its box, below where there is no room above, inside where there is none at all."""
    height, width = canvas.shape[:2]
    field = _label_field(mark.text, mark.colour, text_size((width, height)), width)
    left = max(0, min(mark.left, width - field.shape[1]))
    top = mark.top - field.shape[0]
    if top < 0:
        below = mark.bottom + 1
        top = below if below + field.shape[0] <= height else mark.top
    place = canvas[top : top + field.shape[0], left : left + field.shape[1]]
    place[:] = field[: place.shape[0]]


@lru_cache(maxsize=256)
def _label_field(text: str, colour: Colour, text_px: int, max_width: int) -> BGRImage:
    """Return a label by itself, read-only. Most are drawn into several frames; each time saves 7 µs."""
    writer = pen(text_px)
    field = np.full((writer.line_height, min(writer.width(text), max_width), 3), colour, np.uint8)
    writer.write(field, text, (0, 0), _text_on(colour))
    field.setflags(write=False)
    return field


def _draw_caption(canvas: BGRImage, pieces: Sequence[str]) -> None:
    height, width = canvas.shape[:2]
    writer = pen(text_size((width, height)))
    lines = writer.join([drawable(piece) for piece in pieces], width)[: max(1, height // writer.line_height)]
    top = max(0, height - len(lines) * writer.line_height)
    strip = canvas[top:, : min(width, max(map(writer.width, lines)))]
    strip >>= 2
    for row, line in enumerate(lines):
        writer.write(canvas, line, (0, top + row * writer.line_height), WHITE)


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
