"""Cameras in the text of a configuration file: what changes there, and that nothing else does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_server.config.text import parse_yaml
from stream_server.errors import SettingsConflict
from stream_server.settings.yaml_editing import with_camera
from tests.support.paths import CHECKOUT

HOUSE = """\
# my house
server: {port:  8081}   # behind nginx

cameras:   # all of them
    # the door
    front:
        source: "0"     # a webcam
        width:
        detect:
            classes:
              - person   # most of all
              - car
            fps: 5  # is enough
    # the garden
    back: {source: 'demo:', stream: {fps:  15}}  # new

detector:
    workers: 1
"""


def changed_lines(before: str, after: str) -> tuple[list[str], list[str]]:
    """Return the lines that went and those that came."""
    old, new = before.splitlines(), after.splitlines()
    return [line for line in old if line not in new], [line for line in new if line not in old]


@pytest.mark.parametrize(
    ("name", "section", "went", "came"),
    [
        (
            "front",
            {"source": "0", "width": 640, "detect": {"classes": ["person", "car"], "fps": 5}},
            ["        width:"],
            ["        width: 640"],
        ),
        (
            "front",
            {"source": "0", "detect": {"classes": ["a, b"], "fps": 2.5, "weight": 2}, "stream": {"fps": 3}},
            [
                "        width:",
                "            classes:",
                "              - person   # most of all",
                "              - car",
                "            fps: 5  # is enough",
            ],
            [
                "            classes: ['a, b']",
                "            fps: 2.5  # is enough",
                "            weight: 2",
                "        stream: {fps: 3}",
            ],
        ),
        (
            "back",
            {"source": "demo:", "stream": {"fps": 10}},
            ["    back: {source: 'demo:', stream: {fps:  15}}  # new"],
            ["    back: {source: 'demo:', stream: {fps:  10}}  # new"],
        ),
        (
            "back",
            {"source": "a, b.mp4"},
            ["    back: {source: 'demo:', stream: {fps:  15}}  # new"],
            ["    back: {source: 'a, b.mp4'}  # new"],
        ),
        ("back", None, ["    back: {source: 'demo:', stream: {fps:  15}}  # new"], []),
        (
            "on",
            {"source": "rtsp://h/x", "password": "yes", "detect": {"inside": [[[0, 0.5], [1, 1], [0, 1]]]}},
            [],
            [
                "    'on':",
                "      source: rtsp://h/x",
                "      password: 'yes'",
                "      detect: {inside: [[[0, 0.5], [1, 1], [0, 1]]]}",
            ],
        ),
    ],
    ids=["scalar", "several", "in-braces", "shorter-braces", "removed", "added"],
)
def test_only_what_differs_is_written(
    name: str, section: dict[str, Any] | None, went: list[str], came: list[str]
) -> None:
    assert changed_lines(HOUSE, with_camera(HOUSE, name, section)) == (went, came)


def test_comments_stay_when_a_camera_goes() -> None:
    left = with_camera(HOUSE, "front", None)
    assert "    # the door\n    # the garden\n    back:" in left


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing yet",
        "server: {}\n# end\n",
        "cameras:\n# none\n",
        "cameras: {}  # none\n",
        "{}\n",
        '{"cameras": {"b": {"source": "0"}}}',
        "cameras: {b: {source: '0'}}",
        HOUSE,
    ],
)
def test_first_and_last_camera_come_and_go(text: str) -> None:
    added = with_camera(text, "a", {"source": "demo:"})
    assert parse_yaml(added, "")["cameras"]["a"] == {"source": "demo:"}
    assert [line for line in text.splitlines() if "#" in line and line not in added] in (
        [],
        ["cameras: {}  # none"],
    )
    removed = with_camera(added, "a", None)
    left = parse_yaml(removed, "")
    before = parse_yaml(text, "")
    assert (left.get("cameras") or {}) == (before.get("cameras") or {})


def test_ends_of_lines_stay() -> None:
    added = with_camera(HOUSE.replace("\n", "\r\n"), "a", {"source": "demo:"})
    assert added.count("\r\n") == added.count("\n")


def test_unchanged_camera_changes_no_character() -> None:
    section = parse_yaml(HOUSE, "")["cameras"]["front"]
    assert with_camera(HOUSE, "front", section) == HOUSE


@pytest.mark.parametrize("name", ["a", "b"])
@pytest.mark.parametrize(
    "text",
    [
        "cameras:\n  a: &a {source: '0', fps: 3}\n  b: *a\n",
        "cameras:\n  a: &a {source: '0', fps: 3}\n  b:\n    <<: *a\n    width: 20\n",
    ],
    ids=["alias", "merge"],
)
def test_what_others_refer_to_is_not_changed_for_them(text: str, name: str) -> None:
    with pytest.raises(SettingsConflict, match=f"cameras.{name}: .*change it by hand"):
        with_camera(text, name, {"source": "demo:"})


def test_key_that_was_merged_is_written_for_itself() -> None:
    text = "x: &x {fps: 3}\ncameras:\n  b:\n    <<: *x\n    source: '0'\n"
    assert with_camera(text, "b", {"source": "0", "fps": 4}) == text + "    fps: 4\n"


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=12)
values = st.one_of(
    words, st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False), st.lists(words, max_size=3)
)
sections = st.dictionaries(words, st.one_of(values, st.dictionaries(words, values, max_size=3)), max_size=5)


@pytest.mark.slow
@given(sections, sections)
@settings(max_examples=150, deadline=None, database=None)
def test_any_section_can_be_written(first: dict[str, Any], second: dict[str, Any]) -> None:
    text = with_camera(HOUSE, "new", first)
    text = with_camera(text, "new", second)
    assert parse_yaml(text, "")["cameras"]["new"] == second
    assert with_camera(text, "new", None) == HOUSE


def test_example_of_the_product_takes_a_camera_where_its_comments_show_one() -> None:
    text = (CHECKOUT / "config.yaml").read_text(encoding="utf-8")
    added = with_camera(text, "front", {"source": "demo:"})
    assert changed_lines(text, added) == ([], ["  front:", "    source: 'demo:'"])
