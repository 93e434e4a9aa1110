"""What is drawn, checked by what it means: which pixels changed, and to which colour."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from detector.detections import BGRImage, Detections
from stream_server.drawing import text as lettering
from stream_server.drawing.annotate import Style, annotate, text_size
from stream_server.drawing.colours import class_colour
from stream_server.drawing.message import message_picture
from stream_server.drawing.text import MIN_TEXT_PX, drawable, pen

LABELS = {0: "person", 2: "car", 16: "dog"}
NO_LABELS = Style(labels=False)

Box = tuple[float, float, float, float]


def _grey(width: int, height: int) -> BGRImage:
    image = np.full((height, width, 3), 120, np.uint8)
    image.setflags(write=False)
    return image


def _found(
    *boxes: Box, class_ids: Sequence[int] = (), scores: Sequence[float] = (), track_ids: Sequence[int] = ()
) -> Detections:
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores or [0.87] * count, np.float32),
        np.array(class_ids or [0] * count, np.int64),
        np.array(track_ids or [0] * count, np.int64),
    )


def _changed(before: BGRImage, after: BGRImage) -> NDArray[np.bool_]:
    return np.asarray((before != after).any(axis=2))


def _bounds(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Return the left, top, right and bottom pixels of what is true."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])


def test_nothing_found_is_an_equal_copy() -> None:
    image = _grey(64, 48)
    drawn = annotate(image, Detections.none(), LABELS)
    assert np.array_equal(drawn, image)
    assert drawn is not image
    assert drawn.flags.writeable


def test_input_is_untouched() -> None:
    image, found = _grey(640, 480), _found((10.2, 10.2, 200, 200))
    before = found.boxes.copy()
    annotate(image, found, LABELS, caption=("front",))
    assert np.all(image == 120)
    assert np.array_equal(found.boxes, before)


@pytest.mark.parametrize("size_wh", [(160, 120), (640, 480), (1280, 720), (3840, 2160)])
def test_box_lies_on_its_edges_in_its_colour(size_wh: tuple[int, int]) -> None:
    width, height = size_wh
    left, top, right, bottom = width // 4, height // 4, width // 2, height // 2
    drawn = annotate(
        _grey(*size_wh), _found((left, top, right, bottom), class_ids=[2]), LABELS, style=NO_LABELS
    )
    middle = ((left + right) // 2, (top + bottom) // 2)
    for x, y in ((left, middle[1]), (right, middle[1]), (middle[0], top), (middle[0], bottom)):
        assert tuple(drawn[y, x]) == class_colour(2)
    assert tuple(drawn[middle[1], middle[0]]) == (120, 120, 120)
    assert tuple(drawn[0, 0]) == (120, 120, 120)


@pytest.mark.parametrize("grey", [0, 120, 255])
def test_box_is_seen_on_any_background(grey: int) -> None:
    image = np.full((480, 640, 3), class_colour(2) if grey == 120 else (grey,) * 3, np.uint8)
    drawn = annotate(image, _found((100, 100, 300, 300), class_ids=[2]), LABELS, style=NO_LABELS)
    row = drawn[200, 90:110].astype(int)
    assert np.abs(np.diff(row, axis=0)).sum(axis=1).max() > 150


@pytest.mark.parametrize(
    "box",
    [(0, 0, 640, 480), (-50, -50, 30, 30), (600, 440, 900, 900), (-900, 100, 900, 140)],
    ids=["whole picture", "upper left", "lower right", "wider than the picture"],
)
def test_boxes_over_the_edge_show_their_line_inside(box: Box) -> None:
    drawn = annotate(_grey(640, 480), _found(box), LABELS, style=NO_LABELS)
    left, top, right, bottom = np.clip(box, 0, (639, 479, 639, 479)).astype(int)
    x, y = (left + right) // 2, (top + bottom) // 2
    for pixel in (drawn[y, left], drawn[y, right], drawn[top, x], drawn[bottom, x]):
        assert tuple(pixel) == class_colour(0)


@pytest.mark.parametrize(
    "box",
    [(700, 100, 800, 200), (100, -90, 200, 0), (50, 50, 50, 90), (90, 50, 50, 90)],
    ids=["right of it", "above it", "no width", "inside out"],
)
def test_boxes_outside_or_without_area_are_left_out(box: Box) -> None:
    image = _grey(640, 480)
    assert np.array_equal(annotate(image, _found(box), LABELS), image)


def test_label_is_a_field_of_the_class_colour_with_text_above_the_box() -> None:
    image = _grey(1280, 720)
    drawn = annotate(image, _found((300, 300, 600, 600), class_ids=[16]), LABELS)
    left, top, right, bottom = _bounds(_changed(image, drawn)[: 300 - 3])[0:4]
    assert left == pytest.approx(299, abs=3)
    assert bottom == 296
    field = drawn[top : bottom + 1, left : right + 1].reshape(-1, 3)
    share = (field == class_colour(16)).all(axis=1).mean()
    assert 0.4 < share < 0.95
    assert field.sum(axis=1).min() < 60


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((200, 200, 300, 300), "above"),
        ((200, 2, 300, 300), "below"),
        ((-20, -20, 700, 500), "inside"),
        ((600, 200, 640, 300), "above"),
        ((-60, 200, 10, 300), "above"),
    ],
)
def test_label_stays_whole_inside_the_picture(box: Box, expected: str) -> None:
    image = _grey(640, 480)
    without = annotate(image, _found(box), LABELS, style=NO_LABELS)
    left, top, right, bottom = _bounds(_changed(without, annotate(image, _found(box), LABELS)))
    middle = (top + bottom) / 2
    assert {"above": middle < box[1], "below": middle > box[3], "inside": box[1] < middle < box[3]}[expected]
    writer = pen(text_size((640, 480)))
    assert right - left + 1 == pytest.approx(writer.width("person 87 %"), abs=10)
    assert bottom - top + 1 == pytest.approx(writer.line_height, abs=4)


@pytest.mark.parametrize(
    ("style", "track_id", "text"),
    [
        (Style(), 3, "person 87 % #3"),
        (Style(), 0, "person 87 %"),
        (Style(scores=False), 3, "person #3"),
        (Style(scores=False, track_ids=False), 3, "person"),
    ],
)
def test_label_says_what_the_style_asks_for(style: Style, track_id: int, text: str) -> None:
    assert _label_width(_found((9, 99, 90, 200), track_ids=[track_id]), style) == pen(18).width(text)


def test_class_without_a_name_shows_its_number() -> None:
    assert _label_width(_found((9, 99, 90, 200), class_ids=[77]), Style()) == pen(18).width("77 87 %")


def test_label_has_one_line() -> None:
    found = _found((9, 99, 90, 200), class_ids=[77])
    drawn = [annotate(_grey(640, 480), found, {77: name}) for name in ("two lines", " two\n\tlines\x00")]
    assert np.array_equal(drawn[0], drawn[1])


def _label_width(found: Detections, style: Style) -> int:
    image = _grey(1280, 684)
    without = annotate(image, found, LABELS, style=NO_LABELS)
    left, _, right, _ = _bounds(_changed(without, annotate(image, found, LABELS, style=style)))
    return right - left + 1


def test_best_box_is_on_top() -> None:
    same = (100, 100, 200, 200)
    drawn = annotate(
        _grey(640, 480), _found(same, same, class_ids=[2, 16], scores=[0.9, 0.4]), LABELS, style=NO_LABELS
    )
    assert tuple(drawn[150, 100]) == class_colour(2)


@pytest.mark.parametrize("size_wh", [(16, 16), (160, 120), (33, 200), (1920, 1080)])
@pytest.mark.parametrize(
    "name",
    ["", "é 中 Привет 🙂", "word " * 40, "x" * 3000, "two\nlines\tand\x00more", "%s%n{}"],
    ids=["empty", "unicode", "words", "one word", "control", "formats"],
)
def test_any_label_fits_any_picture(size_wh: tuple[int, int], name: str) -> None:
    image = _grey(*size_wh)
    width, height = size_wh
    for box in ((0, 0, width, height), (width - 9, height - 9, width, height)):
        drawn = annotate(image, _found(box, track_ids=[123456]), {0: name}, caption=(name, name))
        assert drawn.shape == image.shape
        assert _changed(image, drawn).any()


def test_many_boxes_of_many_classes_are_drawn() -> None:
    corners = np.random.default_rng(4).uniform(-100, 1300, (300, 2, 2))
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)
    found = Detections(boxes, np.linspace(1, 0, 300, dtype=np.float32), np.arange(300) - 5)
    assert annotate(_grey(1280, 720), found, {}).shape == (720, 1280, 3)


def test_colours_are_stable_and_far_apart() -> None:
    assert class_colour(0) == (63, 159, 255)
    assert class_colour(96) == class_colour(0)
    colours = np.array([[class_colour(class_id) for class_id in range(80)]], np.float32) / 255
    lab = cv2.cvtColor(colours, cv2.COLOR_BGR2Lab)[0]
    apart = [float(np.linalg.norm(a - b)) for a, b in itertools.combinations(lab, 2)]
    assert min(apart) > 12


@pytest.mark.parametrize("size_wh", [(160, 120), (640, 480), (1280, 720), (3840, 2160), (720, 1280)])
def test_text_is_readable_and_small_at_every_size(size_wh: tuple[int, int]) -> None:
    assert max(MIN_TEXT_PX, min(size_wh) / 45) <= text_size(size_wh) <= max(MIN_TEXT_PX, min(size_wh) / 30)
    assert pen(text_size(size_wh)).width("person 87 % #3") < 0.75 * size_wh[0]


def test_caption_is_white_on_dimmed_picture_at_the_lower_left() -> None:
    image = _grey(1280, 720)
    drawn = annotate(
        image, Detections.none(), LABELS, caption=("front-door", "2026-01-01 12:00:00", "14.9 fps")
    )
    left, top, right, bottom = _bounds(_changed(image, drawn))
    assert (left, bottom) == (0, 719)
    assert top > 680
    assert right < 640
    strip = drawn[top:, : right + 1]
    assert strip.max() > 240
    assert np.median(strip) == 30


def test_caption_breaks_between_its_pieces_where_the_picture_is_narrow() -> None:
    image = _grey(160, 120)
    pieces = ("front-door", "2026-01-01 12:00:00", "14.9 fps")
    drawn = annotate(image, Detections.none(), LABELS, caption=pieces)
    lines = (120 - _bounds(_changed(image, drawn))[1]) / pen(text_size((160, 120))).line_height
    assert lines == len(pen(text_size((160, 120))).join(pieces, 160)) >= 2


@pytest.mark.parametrize(
    ("pieces", "width", "expected"),
    [
        ([], 100, []),
        (["a"], 1000, ["a"]),
        (["front", "door"], 1000, ["front  door"]),
        (["front", "door"], 60, ["front", "door"]),
        (["wide" * 30, "b"], 60, ["wid..", "b"]),
    ],
)
def test_pieces_are_joined_into_lines(pieces: list[str], width: int, expected: list[str]) -> None:
    lines = pen(18).join(pieces, width)
    assert len(lines) == len(expected)
    for line, wanted in zip(lines, expected, strict=True):
        assert line[:3] == wanted[:3]
        assert pen(18).width(line) <= width


def test_words_wider_than_the_line_are_broken_and_none_is_lost() -> None:
    text = "offline: " + "rtsp-address-without-any-space" * 5 + " refused it"
    lines = pen(14).wrap(text, 150)
    assert all(pen(14).width(line) <= 150 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", ""), ("person", "person"), ("é 中", "e ?"), ("a\nb\x00c", "a b c")],
)
def test_text_without_unicode_fonts_is_ascii(
    monkeypatch: pytest.MonkeyPatch, text: str, expected: str
) -> None:
    monkeypatch.setattr(lettering, "_DRAWS_UNICODE", False)
    assert drawable.__wrapped__(text) == expected


@pytest.mark.skipif(not lettering._DRAWS_UNICODE, reason="this OpenCV draws ASCII only")
def test_unicode_labels_are_drawn_as_such() -> None:
    image, found = _grey(640, 480), _found((100, 100, 300, 300))
    drawn = [annotate(image, found, {0: name}) for name in ("中", "国", "?")]
    assert all(_changed(a, b).any() for a, b in itertools.combinations(drawn, 2))


@pytest.mark.parametrize("size_wh", [(16, 16), (160, 120), (640, 480), (1280, 720), (3840, 2160), (240, 640)])
@pytest.mark.parametrize("reason", ["", "stalled: no picture for 10 s", "refused " * 100, "x" * 400])
def test_message_has_the_size_and_text_within_it(size_wh: tuple[int, int], reason: str) -> None:
    plain = message_picture(size_wh, "", "")
    picture = message_picture(size_wh, "front-door", reason, "2026-01-01 12:00:00 UTC")
    assert (picture.shape[1], picture.shape[0]) == size_wh
    assert np.all(plain == plain[0, 0])
    assert picture.max() > (200 if size_wh[0] >= 160 else 100)


@pytest.mark.parametrize("size_wh", [(160, 120), (1280, 720)])
@pytest.mark.parametrize("reason", ["stalled: no picture for 10 s", "i" * 150])
def test_message_keeps_clear_of_the_edges(size_wh: tuple[int, int], reason: str) -> None:
    picture = message_picture(size_wh, "front-door", reason, "12:00:00")
    left, top, right, bottom = _bounds(picture.max(axis=2) > 150)
    assert left > 0.04 * size_wh[0]
    assert right < 0.96 * size_wh[0]
    assert top > 0.08 * size_wh[1]
    assert bottom < 0.92 * size_wh[1]


@pytest.mark.parametrize("size_wh", [(160, 120), (1280, 720)])
def test_message_shows_all_it_is_given(size_wh: tuple[int, int]) -> None:
    parts = ("front-door", "stalled: no picture for 10 s", "12:00:00")
    has_text = message_picture(size_wh, *parts).max(axis=2) > 150
    for missing in range(3):
        fewer = message_picture(size_wh, *(part if i != missing else "" for i, part in enumerate(parts)))
        assert (fewer.max(axis=2) > 150).sum() < has_text.sum()


def test_long_reason_never_pushes_out_title_or_time() -> None:
    size_wh, reason = (160, 120), "cannot open it " * 60
    rows = [message_picture(size_wh, title, reason, time) for title in ("A", "W") for time in ("1", "8")]
    assert _changed(rows[0], rows[1]).any()
    assert _changed(rows[0], rows[2]).any()


def test_message_shows_the_last_picture_dimmed() -> None:
    last = _grey(640, 480)
    picture = message_picture((1280, 720), "front", "offline", background=last)
    assert tuple(picture[10, 640]) == (30, 30, 30)
    assert tuple(picture[10, 10]) == (0, 0, 0)
    assert np.all(last == 120)
