"""The real operator in a real file: its names, its order and its class numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detector import load_detector
from detector.model_file import ModelFile
from tests.support.models import postprocessed

pytestmark = pytest.mark.tensorflow

LABELS = {
    "labels.pbtxt": "".join(
        f"item {{ id: {number} name: '{word}' }}" for number, word in enumerate(postprocessed.CLASSES, 1)
    ),
    "labels.txt": "\n".join(postprocessed.CLASSES),
    "behind_background.txt": "\n".join(("???", *postprocessed.CLASSES)),
}


@pytest.mark.parametrize("is_reversed", [True, False])
def test_objects_are_found_with_their_words(tmp_path: Path, is_reversed: bool) -> None:
    path = postprocessed.convert(tmp_path / "model.tflite", is_reversed=is_reversed)
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:4, 4:] = (0, 255, 0)  # BGR: green, upper right
    picture[4:, :4] = (191, 0, 0)  # blue, lower left, three quarters bright
    for name, text in LABELS.items():
        (tmp_path / name).write_text(text)
        with load_detector(ModelFile("model", path, tmp_path / name)) as detector:
            found = detector.detect(picture)
            empty = detector.detect(np.zeros((20, 10, 3), np.uint8))
        assert found.boxes.tolist() == [[4, 0, 8, 4], [0, 4, 4, 8]]
        assert [detector.labels[number] for number in found.class_ids.tolist()] == ["green", "blue"]
        np.testing.assert_allclose(found.scores, [1, 0.75], atol=0.002)
        assert len(empty) == 0
