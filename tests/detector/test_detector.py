from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import Builder  # type: ignore[import-untyped]

from detector import BGRImage, Detector, DetectorError, ModelError, load_detector
from detector.labels import read_label_map
from detector.zoo.catalog import KNOWN_MODELS, SUFFIX, find_model
from tests.support.paths import DATA

DEFAULT = find_model("centernet-mobilenetv3")


@pytest.fixture(scope="module")
def detector() -> Iterator[Detector]:
    with load_detector("centernet-mobilenetv3") as detector:
        yield detector


def photo(name: str) -> BGRImage:
    image = cv2.imread(str(DATA / name))
    assert image is not None
    return image  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("name", "label", "score", "box"),
    [
        ("astronaut.jpg", "person", 0.63, (10, 7, 369, 512)),
        ("chelsea.jpg", "cat", 0.47, (0, 1, 417, 300)),
        ("coffee.jpg", "cup", 0.62, (168, 16, 416, 272)),
    ],
)
def test_default_model_finds_what_is_in_a_photo(
    detector: Detector, name: str, label: str, score: float, box: tuple[float, ...]
) -> None:
    found = detector.detect(photo(name))
    assert [detector.labels[int(class_id)] for class_id in found.class_ids] == [label]
    assert found.scores.tolist() == pytest.approx([score], abs=0.05)
    np.testing.assert_allclose(found.boxes, [box], atol=6)
    assert [found.boxes.dtype, found.scores.dtype, found.class_ids.dtype] == ["float32", "float32", "int64"]


def test_boxes_are_in_pixels_of_the_image_given(detector: Detector) -> None:
    scene = np.zeros((720, 1280, 3), np.uint8)
    scene[150:662, 640:1152] = photo("astronaut.jpg")
    found = detector.detect(scene, classes=["person"])
    np.testing.assert_allclose(found.boxes[0], [650, 157, 1009, 662], atol=30)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 4000, 3), (4000, 1, 3), (720, 1280, 3), (2160, 3840, 3)])
def test_nothing_in_a_blank_image_of_any_size(detector: Detector, shape: tuple[int, ...]) -> None:
    found = detector.detect(np.zeros(shape, np.uint8))
    assert len(found) == 0
    assert found.boxes.shape == (0, 4)


def test_image_is_not_modified_and_may_be_read_only(detector: Detector) -> None:
    image = photo("astronaut.jpg")
    before = image.copy()
    image.setflags(write=False)
    assert len(detector.detect(image)) == 1
    np.testing.assert_array_equal(image, before)


def test_detections_choose_by_score_class_and_number(detector: Detector) -> None:
    image = photo("astronaut.jpg")
    every = detector.detect(image, score_threshold=0.05)
    assert len(every) > 5
    assert (np.diff(every.scores) <= 0).all()
    assert every.scores.min() >= 0.05
    assert every.boxes.min() >= 0
    assert every.boxes.max() <= 512
    assert detector.detect(image, score_threshold=0.05, max_detections=3).scores.tolist() == pytest.approx(
        every.scores[:3].tolist()
    )
    ties = detector.detect(image, score_threshold=0.05, classes=["tie", "cat"])
    assert {detector.labels[int(class_id)] for class_id in ties.class_ids} <= {"tie", "cat"}
    assert len(detector.detect(image, classes=[])) == 0
    assert len(detector.detect(image, score_threshold=1.0)) == 0
    all_of_them = detector.detect(image, score_threshold=0.05, iou_threshold=1.0)
    assert len(all_of_them) > len(every)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (None, "the image is NoneType, expected an array (H, W, 3) uint8, BGR"),
        (np.zeros((0, 4, 3), np.uint8), "the image is (0, 4, 3) uint8, expected"),
        (np.zeros((4, 4), np.uint8), "the image is (4, 4) uint8, expected"),
        (np.zeros((4, 4, 4), np.uint8), "the image is (4, 4, 4) uint8, expected"),
        (np.zeros((1, 4, 4, 3), np.uint8), "the image is (1, 4, 4, 3) uint8, expected"),
        (np.zeros((4, 4, 3), np.float32), "the image is (4, 4, 3) float32, expected"),
    ],
)
def test_other_images_are_refused_with_what_came(detector: Detector, image: BGRImage, reason: str) -> None:
    with pytest.raises(DetectorError) as caught:
        detector.detect(image)
    assert str(caught.value).startswith(reason)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"score_threshold": 1.5}, "score_threshold: got 1.5, expected 0 to 1"),
        ({"score_threshold": float("nan")}, "score_threshold: got nan, expected 0 to 1"),
        ({"iou_threshold": -1}, "iou_threshold: got -1, expected 0 to 1"),
        ({"max_detections": 0}, "max_detections: got 0, expected 1 or more"),
        ({"classes": ["preson"]}, "the model knows no class 'preson'; did you mean 'person'"),
    ],
)
def test_wrong_options_are_refused_with_what_is_right(
    detector: Detector, options: dict[str, object], reason: str
) -> None:
    with pytest.raises(DetectorError) as caught:
        detector.detect(np.zeros((8, 8, 3), np.uint8), **options)  # type: ignore[arg-type]
    assert str(caught.value).startswith(reason)


def test_detector_says_what_it_is(detector: Detector) -> None:
    assert detector.name == "centernet-mobilenetv3"
    assert detector.input_size_wh == (512, 512)
    assert len(detector.labels) == 80
    chosen = [detector.labels[class_id] for class_id in (0, 2, 15, 79)]
    assert chosen == ["person", "car", "cat", "toothbrush"]


def test_closed_detector_says_so() -> None:
    detector = load_detector("centernet-mobilenetv3-512", threads=2)
    detector.close()
    detector.close()
    with pytest.raises(DetectorError, match="closed"):
        detector.detect(np.zeros((8, 8, 3), np.uint8))


def test_import_is_cheap_and_loading_is_silent() -> None:
    program = """if True:
        import sys
        from detector import load_detector
        assert "ai_edge_litert" not in sys.modules and "tensorflow" not in sys.modules
        with load_detector("centernet-mobilenetv3") as detector:
            print(detector.name)
        print("still heard", file=sys.stderr)
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("centernet-mobilenetv3\n", "still heard\n")


def test_known_models_have_their_files_and_licence() -> None:
    for known in KNOWN_MODELS:
        assert known.file.path.stat().st_size <= 4.5e6
        assert known.file.path.name in (known.file.path.parent / "NOTICE").read_text(encoding="utf-8")
        for name in (known.file.name, *known.aliases):
            assert find_model(name) == known.file


def test_model_of_ones_own_is_loaded_by_its_path(tmp_path: Path) -> None:
    shutil.copy(DEFAULT.path, tmp_path / "my.tflite")
    shutil.copy(DEFAULT.labels_path, tmp_path / "my.labels.txt")
    with load_detector(tmp_path / "my.tflite") as detector:
        assert detector.name == "my"
        assert len(detector.detect(photo("astronaut.jpg"))) == 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "this is a folder; expected centernet-mobilenetv3 or the path"),
        ("centernet", "did you mean 'centernet-mobilenetv3'?"),
        ("yolo", "expected centernet-mobilenetv3 or the path of a .tflite file"),
        ("missing.tflite", "cannot read the model: No such file or directory"),
        (str(DATA), "this is a folder; expected centernet-mobilenetv3 or the path"),
    ],
)
def test_missing_model_is_refused(name: str, reason: str) -> None:
    with pytest.raises(ModelError) as caught:
        load_detector(name)
    assert reason in str(caught.value)


def test_no_threads_are_refused() -> None:
    with pytest.raises(DetectorError, match="threads: got 0, expected 1 or more"):
        load_detector("centernet-mobilenetv3", threads=0)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty; supported: LiteRT"),
        (b"TFL3", "this is an unknown file, 4 bytes; supported: LiteRT"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "this is a Keras HDF5 file, which may hold"),
        (b"\x1c\x00\x00\x00TFL3", "LiteRT cannot load it"),
        (b"\xff\xff\xff\xffTFL3" + bytes(range(256)) * 99, "LiteRT cannot load it"),
        (DEFAULT.path.read_bytes()[:2_000_000], "LiteRT cannot load it"),
        (DEFAULT.path.read_bytes()[:-1], "LiteRT cannot load it"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "some.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        load_detector(path)
    assert str(caught.value).startswith(f"{path}: {reason}")


def test_damaged_known_model_is_refused(tmp_path: Path) -> None:
    content = bytearray(DEFAULT.path.read_bytes())
    content[3_000_000] ^= 1
    path = tmp_path / "known.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=f"expected {DEFAULT.sha256}: another file, or a damaged one"):
        load_detector(replace(DEFAULT, path=path))


def edited_model(shape_of: str, shape: list[int]) -> bytes:
    """Return the default model with one tensor declared to have another shape."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(DEFAULT.path.read_bytes(), 0))
    graph = model.subgraphs[0]
    index = {"input": graph.inputs[0], "output": graph.outputs[0], "weights": 1}[shape_of]
    graph.tensors[index].shape = shape
    builder = Builder(8_000_000)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize(
    ("tensor", "shape", "reason"),
    [
        ("input", [1, 65536, 65536, 3], "[1, 65536, 65536, 3], which is too large"),
        ("input", [1, 2**31 - 1, 2**31 - 1, 3], "overflow"),
        ("output", [2**31 - 1] * 4, "overflow"),
        ("weights", [-7, 3], "overflow"),
        ("input", [1, 512, 512, 4], "LiteRT cannot load it"),
        ("input", [512], "LiteRT cannot load it"),
    ],
)
def test_hostile_shapes_are_refused(tmp_path: Path, tensor: str, shape: list[int], reason: str) -> None:
    path = tmp_path / "hostile.tflite"
    path.write_bytes(edited_model(tensor, shape))
    path.with_suffix(".labels.txt").write_text("thing\n", encoding="utf-8")
    # In a process of its own: a runtime that does not survive it must not take the tests along.
    program = "import sys, detector; detector.load_detector(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"detector.errors.ModelError: {path}: ")
    assert reason in last


def test_labels_beside_a_model_must_fit_and_without_them_coco_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "my.tflite"
    shutil.copy(DEFAULT.path, path)
    with load_detector(path) as detector:
        assert detector.labels == dict(enumerate(read_label_map(Path("coco80")).words.values()))
    words = "\n".join(f"thing {number}" for number in range(81))
    (tmp_path / "my.labels.txt").write_text(words, encoding="utf-8")
    with pytest.raises(ModelError, match="81 labels, but the model has 80 classes"):
        load_detector(path)


def test_any_other_file_is_told_apart_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / f"model{SUFFIX[:-1]}"
    path.write_text("hello, world", encoding="utf-8")
    with pytest.raises(ModelError, match="an unknown file, 12 bytes"):
        load_detector(str(path))
