"""Models of one's own in the configuration."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from detector.errors import ModelError
from detector.model_file import ModelFile
from detector.zoo.catalog import find_model
from stream_server.config import Config
from stream_server.errors import ConfigError
from tests.support.paths import CHECKOUT
from tests.support.server import run_command

DEFAULT = find_model("centernet-mobilenetv3")


def load(folder: Path, detector: str, cameras: str = "{}") -> Config:
    """Load a file that says this of the detector and the cameras."""
    path = folder / "x.yaml"
    path.write_text(f"detector: {detector}\ncameras: {cameras}\n", encoding="utf-8")
    return Config.load(path)


def test_without_models_there_are_the_known_ones(tmp_path: Path) -> None:
    config = load(tmp_path, "{models: {}}")
    assert config.detector.file() == DEFAULT
    assert config.detector.file("centernet-mobilenetv3-320").name == "centernet-mobilenetv3-320"
    assert config.model_files() == []


def test_model_is_what_its_keys_say(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        """
  model: birds
  models:
    birds:
      path: sub/birds.pb
      labels: birds.txt
      head: yolov8
      resize: stretch
      channels: bgr
      mean: 127.5
      std: [1, 2, 3.5]
      sha256: """
        + "A" * 64
        + """
      input: "image:0"
      outputs: [boxes, scores]
""",
    )
    assert config.detector.file() == ModelFile(
        "birds",
        tmp_path / "sub" / "birds.pb",
        tmp_path / "birds.txt",
        "A" * 64,
        head="yolov8",
        resize="stretch",
        channels="bgr",
        mean=(127.5, 127.5, 127.5),
        std=(1, 2, 3.5),
        input_name="image:0",
        output_names=("boxes", "scores"),
    )


@pytest.mark.parametrize(
    ("path", "expected"),
    [("m.tflite", "HERE/m.tflite"), ("/a/m.tflite", "/a/m.tflite"), ("~/m", "/home/me/m")],
)
def test_path_is_relative_to_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, expected: str
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    file = load(tmp_path, f"{{model: own, models: {{own: {{path: {path}}}}}}}").detector.file()
    assert str(file.path) == expected.replace("HERE", str(tmp_path))
    assert file.labels_path is None


def test_labels_that_are_built_in_are_no_file(tmp_path: Path) -> None:
    config = load(tmp_path, "{model: own, models: {own: {path: m.tflite, labels: coco91}}}")
    assert config.detector.file().labels_path == Path("coco91")


@pytest.mark.parametrize(
    ("detector", "message"),
    [
        ("{models: {own: {}}}", "detector.models.own.path: is missing"),
        ("{models: {own: }}", "detector.models.own: got nothing, expected a section of its own"),
        ("{models: [a]}", "detector.models: got a list, expected a section of its own"),
        (
            "{models: {own: {path: m, lables: x}}}",
            "detector.models.own.lables: unknown key; did you mean labels?",
        ),
        (
            "{models: {own: {path: m, head: yolo}}}",
            "detector.models.own.head: got 'yolo', expected 'centernet',",
        ),
        (
            "{models: {own: {path: m, resize: x}}}",
            "detector.models.own.resize: got 'x', expected 'letterbox',",
        ),
        (
            "{models: {own: {path: m, mean: [1, 2]}}}",
            "detector.models.own.mean: got a list, expected a number or",
        ),
        (
            "{models: {own: {path: m, mean: x}}}",
            "detector.models.own.mean: got 'x', expected a number or a list",
        ),
        ("{models: {own: {path: m, std: 0}}}", "detector.models.own.std: got 0, expected more than 0"),
        (
            "{models: {own: {path: m, sha256: abc}}}",
            "detector.models.own.sha256: got 'abc', expected 64 hexa",
        ),
        (
            "{models: {centernet-mobilenetv3: {path: m}}}",
            "detector.models.centernet-mobilenetv3: got 'centernet-mobilenetv3', a known model has this name",
        ),
        ("{models: {a/b: {path: m}}}", "detector.models.a/b: got 'a/b', expected a model's name of letters"),
        ("{threads: 0}", "detector.threads: got 0, expected auto or 1 to 64"),
        ("{threads: some}", "detector.threads: got 'some', expected auto or 1 to 64"),
        ("{workers: -1}", "detector.workers: got -1, expected auto or 0 to 64"),
    ],
)
def test_wrong_model_is_one_line(tmp_path: Path, detector: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, detector)
    assert str(caught.value).startswith(f"{tmp_path}/x.yaml: {message}")
    assert "\n" not in str(caught.value)


CAMERAS = "{a: {source: 'demo:'}, b: {source: 'demo:', detect: {model: centernet-mobilenetv3-320}}}"


def test_models_of_the_cameras_are_loaded_each_once(tmp_path: Path) -> None:
    config = load(tmp_path, "{model: centernet-mobilenetv3-512}", CAMERAS)
    assert [file.name for file in config.model_files()] == [
        "centernet-mobilenetv3",
        "centernet-mobilenetv3-320",
    ]
    assert load(tmp_path, "{workers: 0}", CAMERAS).model_files() == []


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        shutil.copy(DEFAULT.path, tmp_path / folder / "m.tflite")
    camera = f"{{a: {{source: 0, detect: {{model: {tmp_path}/two/m.tflite}}}}}}"
    config = load(tmp_path, f"{{model: {tmp_path}/one/m.tflite}}", camera)
    with pytest.raises(
        ConfigError, match=r"two models are called m, .*; give them names in detector\.models"
    ):
        config.model_files()


def test_unknown_model_of_a_camera_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="yolo11: no model of this name"):
        load(tmp_path, "{}", "{a: {source: 0, detect: {model: yolo11}}}").model_files()


def test_check_loads_each_model_that_a_camera_uses(tmp_path: Path) -> None:
    shutil.copy(DEFAULT.path, tmp_path / "mine.tflite")
    camera = "{source: 'demo:', width: 320, height: 180, detect: {model: own, classes: [cat]}}"
    models = "models: {own: {path: mine.tflite}, unused: {path: none.tflite}}"
    load(tmp_path, f"{{{models}}}", f"{{a: {camera}}}")
    done = run_command("check", "--config", str(tmp_path / "x.yaml"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == [
        "detector: centernet-mobilenetv3, 80 classes",
        "detector: own, 80 classes",
    ]
    (tmp_path / "mine.tflite").write_bytes(b"broken")
    done = run_command("check", "--config", str(tmp_path / "x.yaml"))
    assert done.returncode == 2
    assert done.stderr.startswith(f"stream-server: {tmp_path}/mine.tflite: this is an unknown file, 6 bytes")
    assert done.stderr.count("\n") == 1


LINES = re.findall(r"\| `(\{path: .*\})` \|$", (CHECKOUT / "docs" / "models.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("line", LINES)
def test_lines_of_the_documentation_are_accepted(tmp_path: Path, line: str) -> None:
    assert len(LINES) >= 9
    assert load(tmp_path, f"{{model: own, models: {{own: {line}}}}}").detector.file().name == "own"
