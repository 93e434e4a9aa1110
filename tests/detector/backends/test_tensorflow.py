from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from detector import BGRImage, DetectorError, ModelError, load_detector
from detector.backends.loading import load_backend
from detector.checksums import sha256_of
from detector.inference.nms import box_ious
from detector.model_file import HeadName, ModelFile
from detector.zoo.catalog import find_model
from tests.support.models import default_model, saved, spots
from tests.support.models.runtime import tensorflow
from tests.support.paths import DATA

pytestmark = pytest.mark.tensorflow

DEFAULT = find_model("centernet-mobilenetv3")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.pbtxt"
    path.write_text("item { id: 1 name: 'cat' } item { id: 3 name: 'spot' }", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def od_api(folder: Path) -> Path:
    return saved.save(folder / "od_api", {"serving_default": (saved.detect_spot, saved.pixels())})


def assert_finds_spots(file: ModelFile, sizes_wh: list[tuple[int, int]], score: float = spots.SCORE) -> None:
    with load_detector(file) as detector:
        for size_wh in sizes_wh:
            (found,) = detector.detect_batch([spots.spot(size_wh, (20, 8))])
            np.testing.assert_allclose(found.boxes, [spots.box((20, 8))], atol=0.02)
            np.testing.assert_allclose(found.scores, [score], atol=0.001)
            assert [detector.labels[int(number)] for number in found.class_ids] == ["spot"]
            assert len(detector.detect(np.zeros((64, 64, 3), np.uint8))) == 0


def test_saved_model_of_the_object_detection_api(od_api: Path, labels: Path) -> None:
    assert_finds_spots(ModelFile("od", od_api, labels), [(64, 64), (200, 120), (64, 64)])


@pytest.mark.parametrize(
    ("name", "shape", "dtype"),
    [
        ("default", (1, None, None, 3), "float32"),  # TF Hub, TF1
        ("serving_default", (1, 64, 64, 3), "uint8"),  # fixed_shape_resizer
        ("serving_default", (None, 64, 64, 3), "float16"),
    ],
)
def test_signatures_of_other_names_sizes_and_types(
    tmp_path: Path, labels: Path, name: str, shape: tuple[int | None, ...], dtype: str
) -> None:
    tf = tensorflow()

    def with_names(images: Any) -> dict[str, Any]:
        return {**saved.detect_spot(images), "detection_class_names": tf.constant([["spot"]])}

    spec = saved.pixels(*shape, dtype=dtype, name="images")
    path = saved.save(tmp_path / "hub", {name: (with_names, spec)})
    assert_finds_spots(ModelFile("hub", path, labels), [(64, 64)])


def test_batches_go_through_the_graph_at_once(tmp_path: Path, labels: Path) -> None:
    spec = saved.pixels(None, None, None, 3)
    path = saved.save(tmp_path / "batch", {"serving_default": (saved.detect_spot, spec)})
    corners = [(0, 4), (20, 8), (40, 12)]
    images = [spots.spot((64, 64), corner_xy) for corner_xy in corners]
    with load_detector(ModelFile("batch", path, labels)) as detector:
        results = detector.detect_batch([*images, spots.spot((100, 40), (80, 20))])
    for found, corner_xy in zip(results, [*corners, (80, 20)], strict=True):
        np.testing.assert_allclose(found.boxes, [spots.box(corner_xy)], atol=0.02)


def yolo_of(images: Any) -> tuple[Any, Any]:
    """Return boxes (N, 4), x first as fractions, and scores (N, 2) of YOLO's cells for images 0..1."""
    tf = tensorflow()
    found = saved.detect_spot(images * 255)
    boxes = tf.gather(found["detection_boxes"], (1, 0, 3, 2), axis=2)
    scores = found["detection_scores"][..., tf.newaxis]
    return boxes, tf.concat((tf.zeros_like(scores), scores), axis=2)


@pytest.mark.parametrize(
    ("form", "head"), [("SavedModel", None), ("SavedModel", "yolov5"), ("frozen graph", "yolov5")]
)
def test_yolov5_with_suppression_inside_has_x_first(tmp_path: Path, form: str, head: HeadName | None) -> None:
    tf = tensorflow()

    def predict(images: Any) -> tuple[Any, ...]:  # as export.py --nms of YOLOv5
        boxes, scores = yolo_of(images)
        return tuple(
            tf.image.combined_non_max_suppression(
                boxes[:, :, tf.newaxis], scores, 100, 100, 0.45, 0.25, clip_boxes=False
            )
        )

    file = ModelFile("yolo", tmp_path / "yolo.pb", head=head)
    if form == "SavedModel":
        module = tf.Module()
        module.__call__ = tf.function(predict, [saved.pixels(1, 64, 96, 3, dtype="float32")], autograph=False)
        file = replace(file, path=tmp_path / "yolo")
        tf.saved_model.save(module, str(file.path))
    else:
        with tf.Graph().as_default() as graph:
            image = tf.compat.v1.placeholder(tf.float32, (1, 64, 96, 3), name="x")
            for number, tensor in enumerate(predict(image)):
                tf.identity(tensor, name=f"Identity_{number}" if number else "Identity")
        file.path.write_bytes(graph.as_graph_def().SerializeToString())
        names = ("Identity:0", "Identity_1:0", "Identity_2:0", "Identity_3:0")
        file = replace(file, input_name="x:0", output_names=names)
    with load_detector(file) as detector:
        found = detector.detect(spots.spot((96, 64), (40, 8)))
        np.testing.assert_allclose(found.boxes, [spots.box((40, 8))], atol=0.02)
        assert found.class_ids.tolist() == [1]
        assert len(detector.detect(np.zeros((64, 96, 3), np.uint8))) == 0


@pytest.mark.parametrize("columns", [5, 6])
def test_as_many_rows_as_there_are_detections(tmp_path: Path, columns: int) -> None:
    tf = tensorflow()

    def predict(images: Any) -> Any:
        boxes, scores = yolo_of(images)
        best = tf.reduce_max(scores, axis=2, keepdims=True)
        rows = tf.concat((boxes * (96, 64, 96, 64), best, tf.ones_like(best)), axis=2)
        return tf.boolean_mask(rows, best[..., 0] > 0.25)[:, :columns]

    spec = saved.pixels(None, 64, 96, 3, dtype="float32")
    path = saved.save(tmp_path / "rows", {"serving_default": (predict, spec)})
    pictures = [spots.spot((96, 64), (40, 8)), np.zeros((64, 96, 3), np.uint8), spots.spot((96, 64), (0, 20))]
    with load_detector(ModelFile("rows", path)) as detector:
        # The rows do not say which picture they are of, so that each goes in alone.
        results = detector.detect_batch(pictures)
    np.testing.assert_allclose(results[0].boxes, [spots.box((40, 8))], atol=0.02)
    assert len(results[1]) == 0
    np.testing.assert_allclose(results[2].boxes, [spots.box((0, 20))], atol=0.02)
    assert results[2].class_ids.tolist() == [columns - 5]


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ({}, {}),
        ({"image_tensor": "picture"}, {}),  # the only placeholder
        (
            {"detection_boxes": "a/boxes", "detection_scores": "b", "detection_classes": "c"},
            {"input_name": "image_tensor:0", "output_names": ("a/boxes:0", "b", "c", "num_detections")},
        ),
    ],
)
def test_frozen_graph_by_the_names_of_its_tensors(
    tmp_path: Path, labels: Path, names: dict[str, str], says: dict[str, Any]
) -> None:
    path = saved.freeze(tmp_path / "frozen.pb", (None, None, None, 3), names)
    file = ModelFile("frozen", path, labels, **says)
    if "detection_boxes" in names:  # they are run by name, and told apart by none of the heads
        assert set(load_backend(file).outputs) == {"a/boxes", "b", "c", "num_detections"}
    else:
        assert_finds_spots(file, [(64, 64), (100, 72)])


def test_keras_model_that_is_layers_only(tmp_path: Path) -> None:
    path = saved.save_keras(tmp_path / "spots.keras")
    (tmp_path / "labels.txt").write_text("spot\n", encoding="utf-8")
    assert_finds_spots(ModelFile("spots", path, tmp_path / "labels.txt"), [(64, 64)])


def framed(name: str) -> BGRImage:
    """Return a photo in the middle of a grey square, as the default model gets it."""
    photo = np.asarray(cv2.imread(str(DATA / name)), np.uint8)
    scale = default_model.SIDE / max(photo.shape)
    photo = np.asarray(cv2.resize(photo, None, fx=scale, fy=scale), np.uint8)
    image = np.full((default_model.SIDE, default_model.SIDE, 3), 127, np.uint8)
    top = (default_model.SIDE - len(photo)) // 2
    image[top : top + len(photo), : photo.shape[1]] = photo
    return image


@pytest.mark.parametrize("form", ["saved model", "frozen graph"])
def test_default_model_finds_the_same_in_every_form(tmp_path: Path, form: str) -> None:
    if form == "saved model":
        path = default_model.save_as_saved_model(tmp_path / "default")
    else:
        path = default_model.save_as_frozen_graph(tmp_path / "default.pb")
    other = ModelFile("other", path, DEFAULT.labels_path)
    with load_detector(DEFAULT) as ours, load_detector(other) as theirs:
        for name in ("astronaut.jpg", "chelsea.jpg", "coffee.jpg"):
            expected, found = (each.detect(framed(name), score_threshold=0.25) for each in (ours, theirs))
            assert len(found) == len(expected) >= 1
            assert [theirs.labels[int(number)] for number in found.class_ids] == [
                ours.labels[int(number)] for number in expected.class_ids
            ]
            np.testing.assert_allclose(found.scores, expected.scores, atol=0.02)
            assert np.diag(box_ious(found.boxes, expected.boxes)).min() >= 0.98


def test_checksum_of_a_folder_covers_every_file(od_api: Path, labels: Path) -> None:
    file = ModelFile("od", od_api, labels, sha256=sha256_of(od_api))
    load_detector(file).close()
    with pytest.raises(ModelError, match=f"{od_api}: its SHA-256 is {file.sha256}, expected 0000"):
        load_detector(replace(file, sha256="0" * 64))


def test_closed_model_says_so_and_another_image_costs_that_image_only(od_api: Path) -> None:
    backend = load_backend(ModelFile("od", od_api))
    with pytest.raises(DetectorError, match="TensorFlow cannot run the model"):
        backend.run(np.zeros((1, 64, 64, 4), np.uint8))
    assert backend.run(np.zeros((1, 64, 64, 3), np.uint8))["num_detections"].tolist() == [1]
    backend.close()
    backend.close()
    with pytest.raises(DetectorError, match="the detector is closed"):
        backend.run(np.zeros((1, 64, 64, 3), np.uint8))


def test_threads_are_those_asked_for_whatever_the_environment_says(od_api: Path) -> None:
    program = """if True:
        import sys
        from pathlib import Path
        from detector.backends.loading import load_backend
        from detector.model_file import ModelFile
        assert "tensorflow" not in sys.modules
        load_backend(ModelFile("od", Path(sys.argv[1])), threads=3)
        import tensorflow as tf
        print(tf.config.threading.get_intra_op_parallelism_threads(),
              tf.config.threading.get_inter_op_parallelism_threads())
    """
    done = subprocess.run(
        [sys.executable, "-c", program, str(od_api)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "TF_NUM_INTRAOP_THREADS": "1"},
    )
    assert (done.stdout, done.stderr) == ("3 1\n", "")


def write_file(canary: Path) -> Any:
    tf = tensorflow()

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def write() -> Any:
        tf.io.write_file(str(canary), "here")
        return tf.constant(0.0)

    def run(images: Any) -> dict[str, Any]:
        return {name: tensor + write() for name, tensor in saved.detect_spot(images).items()}

    return run


def test_saved_model_that_writes_files_is_not_loaded(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    signature = (write_file(canary), saved.pixels())
    path = saved.save(tmp_path / "hostile", {"serving_default": signature})
    with pytest.raises(ModelError, match=f"{path}: the operation WriteFile .* reaches for files or programs"):
        load_backend(ModelFile("hostile", path))
    assert not canary.exists()


def test_saved_model_that_writes_files_when_it_is_loaded_is_not(tmp_path: Path) -> None:
    tf = tensorflow()
    from tensorflow.core.protobuf import saved_model_pb2

    canary = tmp_path / "canary"

    class Resource(tf.saved_model.experimental.TrackableResource):  # type: ignore[misc]
        def _create_resource(self) -> Any:
            return tf.raw_ops.MutableHashTableV2(key_dtype=tf.int64, value_dtype=tf.int64)

        def _initialize(self) -> None:
            tf.io.write_file(str(canary), "here")

    module = tf.Module()
    module.resource = Resource()
    module.run = tf.function(saved.detect_spot, input_signature=[saved.pixels()], autograph=False)
    path = tmp_path / "hostile"
    tf.saved_model.save(module, str(path), signatures=module.run)
    canary.unlink(missing_ok=True)  # written when the model was built
    graph = path / "saved_model.pb"
    message = saved_model_pb2.SavedModel.FromString(graph.read_bytes())
    del message.meta_graphs[0].signature_def["__saved_model_init_op"]  # as TensorFlow 1 would find it
    message.meta_graphs[0].ClearField("collection_def")
    graph.write_bytes(message.SerializeToString())
    with pytest.raises(ModelError, match="the operation WriteFile"):
        load_backend(ModelFile("hostile", path))
    assert not canary.exists()


def test_frozen_graph_that_reads_files_is_not_loaded(tmp_path: Path) -> None:
    tf = tensorflow()
    with tf.Graph().as_default() as graph:
        image = tf.compat.v1.placeholder(tf.uint8, (1, None, None, 3), name="image_tensor")
        secret = tf.strings.length(tf.io.read_file("/etc/passwd"))
        for name, tensor in saved.detect_spot(image).items():
            tf.add(tensor, tf.cast(secret, tf.float32), name=name)
    path = tmp_path / "hostile.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    with pytest.raises(ModelError, match=r"hostile\.pb: the operation ReadFile"):
        load_backend(ModelFile("hostile", path))


def test_keras_lambda_is_not_run(tmp_path: Path) -> None:
    tensorflow()
    import keras

    canary = tmp_path / "canary"
    code = f"lambda x: (open({str(canary)!r}, 'w').close(), x)[1]"
    path = saved.save_keras(tmp_path / "hostile.keras", keras.layers.Lambda(eval(code)))
    canary.unlink(missing_ok=True)  # written when the model was built
    with pytest.raises(ModelError, match=r"hostile\.keras: it holds a Lambda layer, which is a program"):
        load_backend(ModelFile("hostile", path))
    assert not canary.exists()


def test_keras_layers_of_other_packages_are_not_imported(tmp_path: Path) -> None:
    tensorflow()
    import keras

    class Own(keras.layers.Layer):  # type: ignore[misc, name-defined]
        def call(self, x: Any) -> Any:
            return x

    path = saved.save_keras(tmp_path / "own.keras", Own())
    with pytest.raises(ModelError, match=r"own\.keras: .*Own.*; supported: layers of Keras itself"):
        load_backend(ModelFile("own", path))


@pytest.mark.parametrize(
    ("signatures", "reason"),
    [
        ({}, "it has no signature; supported: serving_default"),
        ({"one": "uint8", "two": "uint8"}, "the signatures are one, two; supported: serving_default"),
        ({"serving_default": "string"}, "the input image takes encoded images .text."),
        ({"serving_default": "int64"}, r"the input is image \(1, any, any, 3\) int64; supported: one image"),
    ],
)
def test_signatures_that_take_no_pixels_are_refused(
    tmp_path: Path, signatures: dict[str, str], reason: str
) -> None:
    tf = tensorflow()

    def run(images: Any) -> dict[str, Any]:
        return {"boxes": tf.shape(images)}

    path = saved.save(
        tmp_path / "other",
        {
            name: (run, saved.pixels(*((1,) if kind == "string" else ()), dtype=kind, name="image"))
            for name, kind in signatures.items()
        },
    )
    with pytest.raises(ModelError, match=f"{path}: {reason}"):
        load_backend(ModelFile("other", path))


def test_saved_model_without_boxes_lists_its_outputs(tmp_path: Path) -> None:
    tf = tensorflow()
    spec = saved.pixels(1, 8, 8, 3)
    path = saved.save(
        tmp_path / "classes", {"serving_default": (lambda images: {"sizes": tf.shape(images)}, spec)}
    )
    with pytest.raises(ModelError, match=rf"{path}: the outputs are sizes \(4,\); supported: centernet"):
        load_detector(path)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("truncated", "TensorFlow cannot load it"),
        ("empty", "this SavedModel holds no graph"),
        ("no weights", "TensorFlow cannot load it"),
        ("custom operation", "TensorFlow cannot load it: Op type not registered 'MyFancyOp'"),
    ],
)
def test_damaged_saved_models_are_refused(tmp_path: Path, damage: str, reason: str) -> None:
    tf = tensorflow()
    weight = tf.Variable(1.0)
    signature = (lambda images: {"boxes": weight * tf.cast(images, tf.float32)}, saved.pixels())
    path = saved.save(tmp_path / "damaged", {"serving_default": signature}, weight)
    graph = path / "saved_model.pb"
    content = graph.read_bytes()
    if damage == "truncated":
        graph.write_bytes(content[: len(content) // 2])
    elif damage == "empty":
        graph.write_bytes(b"")
    elif damage == "no weights":
        for part in (path / "variables").iterdir():
            part.unlink()
    else:
        from tensorflow.core.protobuf import saved_model_pb2

        message = saved_model_pb2.SavedModel.FromString(content)
        for function in message.meta_graphs[0].graph_def.library.function:
            for node in function.node_def:
                node.op = "MyFancyOp" if node.op == "Mul" else node.op
        graph.write_bytes(message.SerializeToString())
    with pytest.raises(ModelError, match=f"{path}: {reason}"):
        load_backend(ModelFile("damaged", path))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"input_name": "nothing"}, "no tensor 'nothing:0' in it"),
        ({"output_names": ("nothing:3",)}, "no tensor 'nothing:3' in it"),
        ({"cut": 2}, "this is no frozen graph, or a damaged one"),
        ({"content": b"\x00" * 99}, "this is no frozen graph"),
        ({"rename": "image_tensor"}, "TensorFlow cannot load it"),
        (
            {"rename": "detection_scores"},
            "no tensors detection_boxes, .*; it ends in .*renamed.*; expected `outp",
        ),
    ],
)
def test_other_frozen_graphs_are_refused(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    path = saved.freeze(tmp_path / "other.pb", (1, None, None, 3), {})
    content = path.read_bytes()
    if "cut" in change:
        path.write_bytes(content[: len(content) // change.pop("cut")])
    elif "content" in change:
        path.write_bytes(change.pop("content"))
    elif "rename" in change:
        from tensorflow.core.framework import graph_pb2

        definition = graph_pb2.GraphDef.FromString(content)
        renamed = change.pop("rename")
        for node in definition.node:
            node.name = "renamed" if node.name == renamed else node.name
        path.write_bytes(definition.SerializeToString())
    with pytest.raises(ModelError, match=rf"{path}: {reason}"):
        load_backend(ModelFile("other", path, **change))


def test_damaged_keras_file_is_refused(tmp_path: Path) -> None:
    path = saved.save_keras(tmp_path / "damaged.keras")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ModelError, match="this is a ZIP archive, not of Keras or damaged; supported: LiteRT"):
        load_backend(ModelFile("damaged", path))


@pytest.mark.parametrize("kind", ["saved model", "frozen graph"])
def test_without_tensorflow_it_says_what_to_install(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.pb"
    if kind == "saved model":
        path = tmp_path
        (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01")
    else:
        path.write_bytes(b"\x0a\x01")
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ModelError) as caught:
        load_backend(ModelFile("model", path))
    assert str(caught.value) == f"{path}: needs TensorFlow: pip install 'stream-server[tensorflow]'"
