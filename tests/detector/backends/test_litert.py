from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector import Detector, ModelError, load_detector
from detector.backends import litert
from detector.backends.litert import LiteRTBackend
from detector.model_file import ModelFile
from tests.support.models import spots
from tests.support.models.runtime import tensorflow

pytestmark = pytest.mark.tensorflow  # makes the files; LiteRT runs them

Make = Callable[..., Path]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    folder = tmp_path_factory.mktemp("spots")
    made: dict[str, Path] = {}

    def make(*shape: int | None, **options: Any) -> Path:
        key = repr((shape, sorted(options.items())))
        if key not in made:
            made[key] = spots.convert(folder / f"{len(made)}.tflite", shape, **options)
            made[key].with_suffix(".labels.txt").write_text("spot\n", encoding="utf-8")
        return made[key]

    return make


def load(path: Path, **says: Any) -> Detector:
    return load_detector(ModelFile("spots", path, path.with_suffix(".labels.txt"), **says))


@pytest.mark.parametrize(
    ("options", "says", "dtype"),
    [
        ({}, {}, "float32"),
        ({"full": 1.0}, {"std": (255.0,) * 3}, "float32"),
        ({"dtype": "float16"}, {}, "float16"),
        ({"dtype": "uint8"}, {}, "uint8"),
        ({"integers": "uint8"}, {}, "uint8"),
        ({"integers": "int8"}, {}, "int8"),
        ({"integers": "int8", "full": 1.0}, {"std": (255.0,) * 3}, "int8"),
    ],
)
def test_every_type_of_input_finds_the_same(
    make: Make, options: dict[str, Any], says: dict[str, Any], dtype: str
) -> None:
    path = make(1, 64, 64, 3, **options)
    assert LiteRTBackend(path).image_input.dtype == dtype
    with load(path, **says) as detector:
        found = detector.detect(spots.spot((64, 64), (16, 32)))
        np.testing.assert_allclose(found.boxes, [spots.box((16, 32))], atol=0.2)
        np.testing.assert_allclose(found.scores, [spots.SCORE], atol=0.02)
        assert detector.labels[int(found.class_ids[0])] == "spot"
        assert len(detector.detect(np.zeros((64, 64, 3), np.uint8))) == 0


def test_channels_may_come_first(make: Make) -> None:
    path = make(1, 3, 32, 64)
    assert LiteRTBackend(path).image_input.channels_first
    with load(path) as detector:
        assert detector.input_size_wh == (64, 32)
        found = detector.detect(spots.spot((128, 64), (32, 16)))  # half the size in the input: no spot
        assert len(found) == 0
        found = detector.detect(spots.spot((64, 32), (48, 8)))
        np.testing.assert_allclose(found.boxes, [spots.box((48, 8))], atol=0.01)


def test_model_of_any_size_gets_each_image_in_its_own(make: Make) -> None:
    path = make(1, None, None, 3)
    assert LiteRTBackend(path).image_input.size_wh is None
    with load(path) as detector:
        assert detector.input_size_wh is None
        for size_wh, corner_xy in (((64, 32), (48, 8)), ((200, 120), (160, 100)), ((64, 32), (4, 4))):
            found = detector.detect(spots.spot(size_wh, corner_xy))
            np.testing.assert_allclose(found.boxes, [spots.box(corner_xy)], atol=0.01)


def test_model_of_any_size_works_at_the_sizes_that_are_wanted(make: Make) -> None:
    with load(make(1, None, None, 3), inputs_wh=((64, 64),)) as detector:
        assert detector.input_size_wh == (64, 64)
        found = detector.detect(spots.spot((64, 32), (48, 8)))
        np.testing.assert_allclose(found.boxes, [spots.box((48, 8))], atol=0.01)


@pytest.mark.parametrize(("batch", "runs"), [(None, 1), (2, 2), (1, 3)])
def test_several_images_are_looked_at_together_where_the_model_can(
    make: Make, batch: int | None, runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = []
    run = LiteRTBackend.run
    monkeypatch.setattr(
        LiteRTBackend, "run", lambda self, images: batches.append(len(images)) or run(self, images)
    )
    corners = [(0, 0), (16, 32), (48, 48)]
    with load(make(batch, 64, 64, 3)) as detector:
        assert detector.detect_batch([]) == []
        results = detector.detect_batch([spots.spot((64, 64), corner_xy) for corner_xy in corners])
    assert len(batches) == runs
    for found, corner_xy in zip(results, corners, strict=True):
        np.testing.assert_allclose(found.boxes, [spots.box(corner_xy)], atol=0.01)


def test_image_that_is_too_small_for_the_network_holds_nothing(make: Make) -> None:
    with load(make(1, None, None, 3)) as detector:
        assert len(detector.detect(np.zeros((2, 2, 3), np.uint8))) == 0
        assert len(detector.detect(spots.spot((64, 64), (16, 16)))) == 1


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        ([(1, 64, 64)], r"the input is serving_default_image0:0 \(1, 64, 64\) float32; supported: one image"),
        ([(1, 64, 64, 4)], r"the input is serving_default_image0:0 \(1, 64, 64, 4\) float32; supported"),
        (
            [(1, 8, 8, 3), (1, 2)],
            r"the input is serving_default_image0:0 \(1, 8, 8, 3\) float32, serving_default_image1:0",
        ),
        ([(1, 8, 8, 3)], r"the outputs are sum \(1, 8\); supported: centernet: logits"),
    ],
)
def test_models_that_take_no_image_or_give_no_boxes_are_refused(
    tmp_path: Path, shapes: list[tuple[int, ...]], reason: str
) -> None:
    tf = tensorflow()
    specs = [tf.TensorSpec(shape, tf.float32, name=f"image{index}") for index, shape in enumerate(shapes)]
    function = tf.function(
        lambda *images: {
            "sum": sum(tf.reshape(tf.reduce_sum(image), (1, 1)) for image in images) * tf.ones((1, 8))
        },
        input_signature=specs,
        autograph=False,
    )
    module = tf.Module()
    module.run = function
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], module)
    path = tmp_path / "other.tflite"
    path.write_bytes(converter.convert())
    with pytest.raises(ModelError, match=f"{path}: {reason}"):
        load(path)


def test_operations_that_are_not_part_of_litert_are_named(tmp_path: Path) -> None:
    tf = tensorflow()
    function = tf.function(
        lambda image: {"boxes": tf.raw_ops.Betainc(a=image, b=image, x=image)},
        input_signature=[tf.TensorSpec((1, 8, 8, 3), tf.float32, name="image")],
        autograph=False,
    )
    module = tf.Module()
    module.run = function
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], module)
    converter.allow_custom_ops = True
    path = tmp_path / "custom.tflite"
    path.write_bytes(converter.convert())
    with pytest.raises(ModelError, match=r"custom\.tflite: LiteRT cannot load it: .*custom op: Betainc"):
        load(path)


def test_model_that_xnnpack_cannot_prepare_runs_without_it(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Picky(litert.Interpreter):  # type: ignore[misc]
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self._is_plain = "experimental_op_resolver_type" in options

        def allocate_tensors(self) -> None:
            if not self._is_plain:  # as LiteRT 2.3 says it of an int8 convolution whose output is always 0
                raise RuntimeError("Node number 162 (TfLiteXNNPackDelegate) failed to prepare.")
            super().allocate_tensors()

    monkeypatch.setattr(litert, "Interpreter", Picky)
    with load(make(1, 64, 64, 3)) as detector:
        assert len(detector.detect(spots.spot((64, 64), (16, 32)))) == 1
    assert "slower without" in caplog.text
