from __future__ import annotations

from pathlib import Path

import pytest

from detector.errors import ModelError
from detector.labels import find_class_ids, read_labels

LABELS = {0: "person", 1: "bicycle", 2: "car", 5: "traffic light"}


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("person", {0: "person"}),
        ("person\nbicycle\n", {0: "person", 1: "bicycle"}),
        ("person\r\n\r\n  traffic light \r\n", {0: "person", 2: "traffic light"}),
        ("Füße\n", {0: "Füße"}),
    ],
)
def test_line_number_is_the_class_id(tmp_path: Path, text: str, labels: dict[int, str]) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(text.encode())
    assert read_labels(path) == labels


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        (b"", "the file is empty"),
        (b"\n \n", "the file is empty"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"car\nbus\ncar\n", "'car' is there twice"),
    ],
)
def test_unusable_labels_are_refused(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "labels.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=reason) as caught:
        read_labels(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("wanted", "class_ids"), [([], []), (["car"], [2]), (("traffic light", "person"), [5, 0])]
)
def test_words_become_class_ids(wanted: list[str], class_ids: list[int]) -> None:
    assert find_class_ids(LABELS, wanted).tolist() == class_ids


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("persn", "did you mean 'person'?"),
        ("PERSON", "did you mean 'person'?"),
        ("traffic_light", "did you mean 'traffic light'?"),
        ("xyzzy", "its 4 classes are person, bicycle, car, traffic light"),
    ],
)
def test_unknown_word_is_refused_with_those_like_it(word: str, hint: str) -> None:
    with pytest.raises(ModelError) as caught:
        find_class_ids(LABELS, ["car", word])
    assert str(caught.value) == f"the model knows no class {word!r}; {hint}"
