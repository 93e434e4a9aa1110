"""The words for a model's class ids."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detector.errors import ModelError


def read_labels(path: Path) -> dict[int, str]:
    """Return the labels by class id from a UTF-8 file with one a line, the first for id 0.

    An empty line leaves its id out.

    Raises ModelError for a file that cannot be read, holds no label or one of them twice.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as exc:
        raise ModelError(f"{path}: cannot read the labels: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ModelError(f"{path}: expected labels in UTF-8, one a line") from exc
    labels = {class_id: line.strip() for class_id, line in enumerate(lines) if line.strip()}
    if not labels:
        raise ModelError(f"{path}: the file is empty; expected labels, one a line")
    words = list(labels.values())
    if twice := {word for word in words if words.count(word) > 1}:
        raise ModelError(f"{path}: the label {min(twice)!r} is there twice")
    return labels


def find_class_ids(labels: Mapping[int, str], wanted: Collection[str]) -> NDArray[np.int64]:
    """Return the ids (N,) of the labels in `wanted`.

    Raises ModelError for an unknown one, with those like it.
    """
    by_word = {word: class_id for class_id, word in labels.items()}
    for word in wanted:
        if word not in by_word:
            raise ModelError(f"the model knows no class {word!r}; {_hint(word, list(by_word))}")
    return np.array([by_word[word] for word in wanted], np.int64)


def _hint(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word.lower(), known, n=3)
    if near:
        return f"did you mean {' or '.join(repr(match) for match in near)}?"
    return f"its {len(known)} classes are {', '.join(known[:5])}{'…' if len(known) > 5 else ''}"
