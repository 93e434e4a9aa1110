from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from detector.errors import ModelError
from detector.heads import ClassBase, Head, head_for
from detector.labels import LabelMap, find_class_ids, labels_for, read_label_map
from detector.labels.coco import COCO_80, COCO_91
from detector.model_file import ModelFile

LABELS = {0: "person", 1: "bicycle", 2: "car", 5: "traffic light"}

PBTXT = """
# the COCO classes, cut short
item {
  name: "/m/01g317"
  id: 1
  display_name: "person"
}
item {
  name: '/m/0199g', id: 2, display_name: 'bicycle'
  keypoints { id: 0 label: "handle" }
}
item: { id: 4 name: "mother's \\"bike\\"" }  # no display name; 3 is not there
"""
CORAL = '0  person\n1  bicycle\n3  mother\'s "bike"\n'
NUMBERED = '0: person\n1: bicycle\n3: mother\'s "bike"\n'
LINES = 'person\nbicycle\nn/a\nmother\'s "bike"\n'
BEHIND_BACKGROUND = '???\nperson\nbicycle\n???\nmother\'s "bike"\n'
YAML_NAMES = 'path: ../coco\nnames:\n  0: person\n  1: bicycle\n  2:\n  3: mother\'s "bike"\n'
YAML_LIST = '- person\n- bicycle\n-\n- mother\'s "bike"\n'

FROM_ZERO = {0: "person", 1: "bicycle", 3: 'mother\'s "bike"'}
FORMS = {
    "labels.pbtxt": (PBTXT, 1),
    "coral.txt": (CORAL, 0),
    "numbered.txt": (NUMBERED, 0),
    "lines.txt": (LINES, 0),
    "behind_background.txt": (BEHIND_BACKGROUND, 1),
    "data.yaml": (YAML_NAMES, 0),
    "list.yml": (YAML_LIST, 0),
}


@dataclass(frozen=True)
class Counts:
    """Only what labels ask of a head."""

    first_class: ClassBase = 0
    class_count: int | None = None

    def as_head(self) -> Head:
        return cast("Head", self)


def model_file(labels: Path | str | None = None, label_offset: int | None = None) -> ModelFile:
    path = None if labels is None else Path(labels)
    return ModelFile("model", Path("model.tflite"), path, label_offset=label_offset)


def written(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_text(FORMS[name][0], encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("person", {0: "person"}),
        ("person\nbicycle\n", {0: "person", 1: "bicycle"}),
        ("person\r\n\r\n  traffic light \r\n", {0: "person", 2: "traffic light"}),
        ("Füße\n", {0: "Füße"}),
        ("\ufeffperson\n", {0: "person"}),
        ("3 wheeler\ncar\n", {0: "3 wheeler", 1: "car"}),
        ("car\nbus\ncar\n", {0: "car", 1: "bus", 2: "car"}),
        ("90  toothbrush\n0  person\n", {0: "person", 90: "toothbrush"}),
        ("0:person\n1:traffic light\n", {0: "person", 1: "traffic light"}),
    ],
)
def test_line_number_or_the_number_before_it_is_the_class(
    tmp_path: Path, text: str, labels: dict[int, str]
) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(text.encode())
    assert read_label_map(path) == LabelMap(labels, 0)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (r"'caf\303\251'", "café"),
        (r"'caf\xc3\xa9'", "café"),
        (r"'caf\u00e9'", "café"),
        (r'"traffic" " light"', "traffic light"),
        (r"""'it\'s' " \"big\"" """, 'it\'s "big"'),
        (r"'tab\there\\n'", "tab\there\\n"),
        (r"'\1012'", "A2"),
    ],
)
def test_escapes_of_label_maps_are_understood(tmp_path: Path, text: str, word: str) -> None:
    path = tmp_path / "labels.pbtxt"
    path.write_text(f"item {{ id: 1 name: 'n0' display_name: {text} }}\nitem < id: 2 name: 'b' >")
    assert read_label_map(path).words == {1: word, 2: "b"}


WORDS = {0: "person", 1: "no", 3: "2001-01-01"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.json", '["person", "no", null, "2001-01-01"]'),
        ("labels.json", '\ufeff{"0": "person", "1": "no", "3": "2001-01-01"}'),
        ("labels.json", '{"person": 0, "no": 1, "2001-01-01": 3}'),
        ("labels.json", '[{"id": 3, "name": "2001-01-01"}, {"id": 0, "name": "person"}, '
         '{"id": 1, "name": "no"}]'),
        ("coco.json", '{"images": [], "categories": [{"id": 0, "name": "person", "supercategory": "x"}, '
         '{"id": 1, "name": "no"}, {"id": 3, "name": "2001-01-01"}]}'),
        ("config.json", '{"model_type": "detr", "id2label": {"0": "person", "1": "no", "3": "2001-01-01"}}'),
        ("labels.yaml", "[person, no, , 2001-01-01]".replace(", ,", ", ~,")),
        ("labels.yaml", "0: person\n1: no\n3: 2001-01-01"),
        ("data.yaml", "path: ../x\nnc: 4\nnames: {0: person, 1: no, 3: 2001-01-01}"),
        ("labels.txt", "0: person\r\n1: no\r\n3: 2001-01-01\r\n"),
        ("labels.csv", "id,name,colour\n0,person,red\n1,no,blue\n3,2001-01-01,green\n"),
    ],
)  # fmt: skip
def test_words_are_what_was_written_in_forms_of_other_programs(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode())
    assert read_label_map(path).words == WORDS


@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_file_gives_the_same_words(tmp_path: Path, name: str) -> None:
    first = FORMS[name][1]
    found = read_label_map(written(tmp_path, name))
    assert found.first_class == first
    assert dict(found.words) == {number + first: word for number, word in FROM_ZERO.items()}


@pytest.mark.parametrize(
    ("text", "first_class"),
    [
        ("person\n", 0),
        ("background\nperson\n", 1),
        ("__background__\nperson\n", 1),
        ("1 person\n2 bicycle\n", 1),
        ("0 background\n1 person\n", 1),
        ("0 person\n1 background\n", 0),
    ],
)
def test_file_says_whether_its_first_class_is_0_or_1(tmp_path: Path, text: str, first_class: int) -> None:
    path = tmp_path / "labels.txt"
    path.write_text(text)
    found = read_label_map(path)
    assert found.first_class == first_class
    assert found.words[first_class] == "person"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("labels.txt", None, "No such file"),
        ("labels.txt", b"", "the file is empty"),
        ("labels.txt", b"\n \n", "the file is empty"),
        ("labels.txt", b"???\n", "the file is empty"),
        ("labels.txt", b"\xff\xfe\x00", "UTF-8"),
        ("labels.txt", b"0 car\n0 bus\n", "the number 0 is there twice"),
        ("labels.pbtxt", b"", "the file is empty"),
        ("labels.pbtxt", b"item { name: 'car' }", "the item 'car' has no id"),
        ("labels.pbtxt", b"item { id: one name: 'car' }", "the item 'car' has no id"),
        ("labels.pbtxt", b"item { id: 1 name: 'car'", "braces"),
        ("labels.pbtxt", b"item { id: 1 name: 'car' } }", "braces"),
        ("labels.pbtxt", b"item { id: 1 name: 'car }", "quotes do not match"),
        ("labels.yaml", b"", "expected a list"),
        ("labels.yaml", b"car", "expected a list"),
        ("labels.yaml", b"names: 3", "expected a list"),
        ("labels.yaml", b"names: {car: red}", "a number before each word"),
        ("labels.yaml", b"names: [[a]]", "a label is a list"),
        ("labels.yaml", b"- {id: 1}", "expected `id` and `name`"),
        ("labels.yaml", b"[" * 2000, "not YAML"),
        ("labels.yaml", b"? {a: b}\n: c", "not YAML"),
        ("labels.json", b"{", "not JSON"),
        ("labels.json", b'{"0": "a", "0": "b"}', "twice"),
        ("labels.json", b"[" * 100_000, "too deep"),
        ("labels.yaml", b"names: [", "not YAML"),
        ("labels.yaml", b"!!python/object/apply:os.getcwd []", "not YAML"),
    ],
)
def test_unusable_labels_are_refused(tmp_path: Path, name: str, content: bytes | None, reason: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=reason) as caught:
        read_label_map(path)
    assert str(path) in str(caught.value)


def test_cocos_labels_are_built_in() -> None:
    assert read_label_map(Path("coco80")) == LabelMap(COCO_80, 0)
    assert read_label_map(Path("coco91")) == LabelMap(COCO_91, 1)
    assert (len(COCO_80), COCO_80[0], COCO_80[79]) == (80, "person", "toothbrush")
    assert (len(COCO_91), COCO_91[1], COCO_91[13], COCO_91[90]) == (80, "person", "stop sign", "toothbrush")


BOXES, SCORES, CLASSES, COUNT = (1, 10, 4), (1, 10), (1, 10), (1,)
FAMILIES: dict[str, tuple[tuple[int, int] | None, dict[str, tuple[int | None, ...]], int]] = {
    "centernet": ((512, 512), {"logits": (1, 128, 128, 4), "distances": (1, 128, 128, 4)}, 0),
    "tf-od": (
        None,
        {
            "detection_boxes": BOXES,
            "detection_scores": SCORES,
            "detection_classes": CLASSES,
            "num_detections": COUNT,
        },
        1,
    ),
    "retinanet": (
        None,
        {
            "detection_boxes": BOXES,
            "detection_scores": SCORES,
            "detection_classes": CLASSES,
            "num_detections": COUNT,
            "image_info": (1, 4, 2),
        },
        1,
    ),
    "tflite-detection": (
        (300, 300),
        {
            "TFLite_Detection_PostProcess": BOXES,
            "TFLite_Detection_PostProcess:1": CLASSES,
            "TFLite_Detection_PostProcess:2": SCORES,
            "TFLite_Detection_PostProcess:3": COUNT,
        },
        0,
    ),
    "efficientdet-lite": (
        None,
        {"output_0": BOXES, "output_1": SCORES, "output_2": CLASSES, "output_3": COUNT},
        1,
    ),
    "yolov5": ((640, 640), {"output_0": (1, 25200, 9)}, 0),
    "yolov8": ((640, 640), {"output_0": (1, 8, 8400)}, 0),
    "yolov10": ((640, 640), {"output_0": (1, 300, 6)}, 0),
    "yolox": ((640, 640), {"output_0": (1, 8400, 9)}, 0),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", FORMS)
def test_first_class_of_every_family_is_the_first_word_of_every_form(
    tmp_path: Path, family: str, name: str
) -> None:
    input_wh, outputs, first = FAMILIES[family]
    labels = labels_for(model_file(written(tmp_path, name)), head_for(input_wh, outputs))
    assert labels == {number + first: word for number, word in FROM_ZERO.items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_words_inside_a_model_begin_with_its_first_class(family: str) -> None:
    input_wh, outputs, first = FAMILIES[family]
    labels = labels_for(model_file(), head_for(input_wh, outputs), {0: "person", 3: "bicycle"})
    assert labels == {first: "person", first + 3: "bicycle"}


def test_numbers_beside_the_classes_are_no_classes() -> None:
    pose = head_for((640, 640), {"output_0": (1, 56, 8400)})  # a person and 17 key points, 3 numbers each
    with pytest.raises(
        ModelError, match=r"model\.tflite: it knows 1 labels, but .* 52 classes; .* not poses"
    ):
        labels_for(model_file(), pose, {0: "person"})


def test_offset_given_by_the_user_is_taken_as_it_is(tmp_path: Path) -> None:
    path = written(tmp_path, "labels.pbtxt")
    head = Counts(first_class=0).as_head()
    assert labels_for(model_file(path, label_offset=0), head)[1] == "person"
    assert labels_for(model_file(path, label_offset=1), head)[0] == "person"
    assert labels_for(model_file(path, label_offset=2), head) == {0: "bicycle", 2: 'mother\'s "bike"'}
    assert labels_for(model_file(label_offset=-1), head, {0: "car"}) == {1: "car"}


@pytest.mark.parametrize(
    ("name", "count", "first", "last"),
    [
        ("coco80", 80, "person", (79, "toothbrush")),
        ("coco91", 80, "person", (79, "toothbrush")),
        ("coco80", 90, "person", (89, "toothbrush")),
        ("coco91", 90, "person", (89, "toothbrush")),
        ("coco91", None, "person", (89, "toothbrush")),
    ],
)
def test_cocos_gaps_follow_the_models(
    name: str, count: int | None, first: str, last: tuple[int, str]
) -> None:
    labels = labels_for(model_file(name), Counts(class_count=count).as_head())
    assert labels[0] == first
    assert max(labels.items()) == last


@pytest.mark.parametrize(
    ("head", "labels"),
    [
        (Counts(class_count=None), {}),
        (Counts(class_count=2), {0: "class 0", 1: "class 1"}),
        (Counts(class_count=2, first_class=1), {1: "class 1", 2: "class 2"}),
        (Counts(class_count=80), COCO_80),
        (Counts(class_count=80, first_class=1), {number + 1: word for number, word in COCO_80.items()}),
        (Counts(class_count=90), {number - 1: word for number, word in COCO_91.items()}),
        (Counts(class_count=90, first_class=1), COCO_91),
        (Counts(class_count=91), COCO_91),
    ],
)
def test_model_without_labels_gets_what_its_number_of_classes_suggests(
    head: Counts, labels: dict[int, str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert labels_for(model_file(), head.as_head()) == labels
    assert "model.tflite: no labels" in caplog.text


def test_label_of_a_class_the_model_has_not_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("a\nb\nc\n")
    assert len(labels_for(model_file(path), Counts(class_count=3).as_head())) == 3
    assert len(labels_for(model_file(path), Counts(class_count=3, first_class=1).as_head())) == 3
    with pytest.raises(ModelError, match=r"labels\.txt: 3 labels, but the model has 2 classes"):
        labels_for(model_file(path), Counts(class_count=2).as_head())


@pytest.mark.parametrize(
    ("wanted", "class_ids"), [([], []), (["car"], [2]), (("traffic light", "person"), [5, 0])]
)
def test_words_become_class_ids(wanted: list[str], class_ids: list[int]) -> None:
    assert find_class_ids(LABELS, wanted).tolist() == class_ids


def test_word_may_stand_for_several_classes() -> None:
    assert find_class_ids({0: "car", 1: "bus", 2: "car"}, ["car"]).tolist() == [0, 2]


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
