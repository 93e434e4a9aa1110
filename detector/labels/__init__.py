"""The words for a model's class numbers.

A model and a label file may count from 0, or from 1 where 0 is the background. Each says which; numbers are
moved by the difference, so that the first class of the one is the first of the other:

| the model's first class | .pbtxt, from 1 | lines, YAML, from 0 | lines after a first ??? or background |
|---|---|---|---|
| 0: Detection_PostProcess, YOLO, CenterNet | id - 1 | line | line - 1 |
| 1: TF OD API, RetinaNet, SavedModel of EfficientDet-Lite | id | line + 1 | line |
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from detector.errors import ModelError
from detector.heads import Head
from detector.labels.coco import COCO_80, COCO_91
from detector.labels.files import BUILT_IN, LabelMap, read_label_map
from detector.model_file import ModelFile

__all__ = ["LabelMap", "find_class_ids", "labels_for", "read_label_map"]

_LOG = logging.getLogger(__name__)


def labels_for(file: ModelFile, head: Head, inside: Mapping[int, str] | None = None) -> dict[int, str]:
    """Return the words by the class numbers that `head` gives.

    They come from the file's `labels_path`, else from the model file itself, else COCO's are taken for a
    model with as many classes, else they are `class 7`; none for a model that does not tell its classes.

    inside: words in the model file's own metadata, the first class 0.

    Raises ModelError for a file that cannot be read or has a class the model has not, and for a model that
    has numbers beside its classes (YOLO for poses: key points look like more classes).
    """
    if file.labels_path is not None:
        known = read_label_map(file.labels_path)
    elif inside:
        known = _words_inside(file, head, inside)
    else:
        return _guessed(file, head)
    known = _fitted(known, head.class_count)
    offset = known.first_class - head.first_class if file.label_offset is None else file.label_offset
    labels = {number - offset: word for number, word in known.words.items() if number >= offset}
    count = head.class_count
    if count is not None and labels and max(labels) >= count + head.first_class:
        raise ModelError(
            f"{file.labels_path or file.path}: {max(labels) + 1 - head.first_class} labels, "
            f"but the model has {count} classes"
        )
    return labels


def find_class_ids(labels: Mapping[int, str], wanted: Collection[str]) -> NDArray[np.int64]:
    """Return the ids (N,) of the labels in `wanted`; a word may stand for several.

    Raises ModelError for an unknown one, with those like it.
    """
    by_word: dict[str, list[int]] = {}
    for class_id, word in labels.items():
        by_word.setdefault(word, []).append(class_id)
    for word in wanted:
        if word not in by_word:
            raise ModelError(f"the model knows no class {word!r}; {_hint(word, list(by_word))}")
    return np.array([class_id for word in wanted for class_id in by_word[word]], np.int64)


def _words_inside(file: ModelFile, head: Head, inside: Mapping[int, str]) -> LabelMap:
    """Return the file's own words; it has one for each class, so that other numbers beside them betray it."""
    count, room = max(inside) + 1, head.class_count
    if room is not None and count < room:
        raise ModelError(
            f"{file.path}: it knows {count} labels, but its outputs have room for {room} classes; supported: "
            "models that find boxes, not poses or rotated boxes"
        )
    return LabelMap(inside, 0)


def _fitted(known: LabelMap, count: int | None) -> LabelMap:
    """Return COCO's labels in the numbering of a model with `count` classes, others as they are.

    Files come with 80 numbers or with 90, ten of them unused, and so do models.
    """
    words = list(known.words.values())
    if count == len(words) and max(known.words) >= count + known.first_class:
        return LabelMap(dict(enumerate(words)), 0)
    if count in (90, 91) and words == list(COCO_80.values()) and max(known.words) < 81:
        return LabelMap(COCO_91, 1)
    return known


def _guessed(file: ModelFile, head: Head) -> dict[int, str]:
    count, first = head.class_count, head.first_class
    if count is None:
        _LOG.warning("%s: no labels, so classes are shown as numbers; give a file as `labels`", file.path)
        return {}
    name = {80: "coco80", 90: "coco91", 91: "coco91"}.get(count)
    if name is None:
        _LOG.warning("%s: no labels, so its %d classes are shown as numbers", file.path, count)
        return {number: f"class {number}" for number in range(first, first + count)}
    _LOG.warning("%s: no labels; taking %s, since it has %d classes", file.path, name, count)
    # 91 are the ids 0 to 90, with the background: nothing to move.
    offset = 0 if count == 91 else BUILT_IN[name].first_class - first
    return {number - offset: word for number, word in BUILT_IN[name].words.items()}


def _hint(word: str, known: list[str]) -> str:
    if not known:
        return "it has no labels"
    near = difflib.get_close_matches(word.lower(), known, n=3)
    if near:
        return f"did you mean {' or '.join(repr(match) for match in near)}?"
    return f"its {len(known)} classes are {', '.join(known[:5])}{'…' if len(known) > 5 else ''}"
