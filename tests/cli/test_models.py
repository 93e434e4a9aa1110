"""`stream-server models`: what it says, and with which exit code it ends."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
from click.testing import CliRunner, Result

from detector import load_detector
from detector.pool.layout import Layout
from detector.zoo import catalog
from detector.zoo.catalog import find_model
from detector.zoo.entries import ZOO, Download, ZooModel
from stream_server.cli import command
from stream_server.cli.models import inspection
from stream_server.cli.models.bench import cameras_in_words
from stream_server.config import Config
from tests.support.fileserver import FileServer
from tests.support.paths import DATA
from tests.support.server import run_command

DEFAULT = find_model("centernet-mobilenetv3")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STREAM_SERVER_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "models"


def run(*arguments: str | Path) -> Result:
    """Run a command in this process; a crash fails the test."""
    words = ["models", *(str(argument) for argument in arguments)]
    result = CliRunner().invoke(command, words, prog_name="stream-server")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.mark.parametrize("name", [(), ("list",), ("info",), ("pull",), ("bench",)])
def test_help_is_readable_on_a_narrow_terminal(name: tuple[str, ...]) -> None:
    result = run(*name, "--help")
    assert result.exit_code == 0
    assert max(map(len, result.output.splitlines())) <= 80
    assert "..." not in result.output.partition("\n")[2]


# list.


def test_list_shows_every_model_and_what_is_here() -> None:
    lines = run("list").output.splitlines()
    assert re.match(r"centernet-mobilenetv3 +512x512 +0\.251 +4\.1 MB +MIT +yes +CenterNet", lines[1])
    assert re.match(r"centernet-mobilenetv3-320 +320x320 +4\.1 MB +MIT +yes ", lines[2])
    (zoo,) = (line for line in lines if line.startswith("efficientdet-d0 "))
    assert re.match(r"efficientdet-d0 +512x512 +0\.336 +Apache-2\.0 +TF2 Detection Zoo", zoo)
    assert len(lines) >= 3 + len(ZOO)


def test_list_as_json_has_all_that_is_known(folder: Path) -> None:
    listed = json.loads(run("list", "--json").output)
    assert (listed[0]["name"], listed[0]["is_here"]) == ("centernet-mobilenetv3", True)
    assert listed[-1] == {
        "name": ZOO[-1].name,
        "aliases": list(ZOO[-1].aliases),
        "description": ZOO[-1].description,
        "input": "1024x1024",
        "accuracy": 0.387,
        "licence": "Apache-2.0",
        "source": ZOO[-1].source,
        "is_here": False,
        "size_bytes": None,
    }


# info.


def test_info_says_what_a_file_is() -> None:
    result = run("info", "centernet-mobilenetv3-320")
    assert result.exit_code == 0
    rows = dict(line.split(":", 1) for line in result.output.splitlines())
    assert {name: value.strip() for name, value in rows.items()} == {
        "file": str(DEFAULT.path),
        "size": "4.1 MB",
        "SHA-256": DEFAULT.sha256,
        "backend": "LiteRT",
        "input": "N H W 3, float32, 1 at a time",
        "used at": "320x192, 320x256, 320x320",
        "outputs": "logits (1, 48, 80, 80), distances (1, 48, 80, 4)",
        "head": "centernet",
        "labels": "80: person, bicycle, car, motorcycle, airplane, …",
        "preprocessing": "letterbox, rgb, (pixel - 0) / 1",
    }


def test_info_as_json_has_all_labels() -> None:
    info = json.loads(run("info", DEFAULT.path, "--json").output)
    assert (info["labels"]["0"], len(info["labels"])) == ("person", 80)
    assert info["outputs"] == {"logits": [1, 128, 128, 80], "distances": [1, 128, 128, 4]}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("empty.tflite", "empty.tflite: the file is empty; supported: LiteRT"),
        ("cut.tflite", "cut.tflite: LiteRT cannot load it"),
        ("text.txt", "text.txt: this is an unknown file, 5 bytes; supported: LiteRT"),
        ("none.tflite", "none.tflite: cannot read the model: No such file or directory"),
        ("nope", "nope: no model of this name; expected centernet-mobilenetv3 or the path of"),
        ("efficientdet-d0", "efficientdet-d0: not here yet; get it with `stream-server models pull"),
    ],
)
def test_info_of_a_wrong_file_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.tflite").touch()
    Path("cut.tflite").write_bytes(DEFAULT.path.read_bytes()[:100_000])
    Path("text.txt").write_text("text\n")
    result = run("info", name)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"stream-server: {message}")
    assert result.stderr.count("\n") == 1


def test_file_that_crashes_the_runtime_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "__name__", "tests.cli.test_models")
    result = run("info", "centernet-mobilenetv3")
    assert result.exit_code == 2
    assert result.stderr == (
        "stream-server: centernet-mobilenetv3: its runtime crashes on it (exit code -11)\n"
    )


# pull.


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer(DEFAULT.path.read_bytes()) as server:
        yield server


@pytest.fixture
def model(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> ZooModel:
    """A model of the zoo whose head is CenterNet and whose address is the server's."""
    model = replace(ZOO[0], name="some-model", head="centernet", download=Download(server.url))
    monkeypatch.setattr(catalog, "ZOO", (model,))
    return model


def test_pulled_model_is_used_by_its_name(model: ZooModel, folder: Path) -> None:
    result = run("pull", "some-model")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == (
        f"some-model: 4.1 MB, Apache-2.0, in {folder}/some-model/model.tflite; "
        "use it as `model: some-model`\n"
    )
    assert result.stderr == ""
    assert Config.parse({"detector": {"model": "some-model"}}).detector.file().path.exists()
    with load_detector("some-model") as detector:
        found = detector.detect(cv2.imread(str(DATA / "chelsea.jpg")))
        assert [detector.labels[class_id] for class_id in found.class_ids] == ["cat"]


def test_damaged_pulled_model_is_not_loaded(model: ZooModel, folder: Path) -> None:
    run("pull", "some-model")
    (folder / "some-model" / "model.tflite").write_bytes(DEFAULT.path.read_bytes()[:-1])
    result = run("info", "some-model")  # a process of its own, which knows another zoo
    assert result.exit_code == 2
    with pytest.raises(Exception, match="its SHA-256 is"):
        load_detector("some-model")


def test_alias_is_pulled_under_the_models_name(model: ZooModel, folder: Path) -> None:
    assert run("pull", model.aliases[0]).exit_code == 0
    assert [path.name for path in folder.iterdir()] == ["some-model"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["pull"], 2, "Missing argument"),
        (["pull", "some-modle"], 2, "some-modle: no model of this name; did you mean some-model?"),
        (["pull", "xyz"], 2, "xyz: no model of this name; `stream-server models list` shows them"),
        (["pull", "a", "b", "--url", "http://h"], 2, "--url is the address of one file"),
        (["pull", "some-model", "--url", "ftp://h"], 1, "ftp://h: expected an address that starts with"),
        (["pull", "some-model", "--max-mb", "1"], 1, "4.1 MB, more than the 1.0 MB allowed"),
    ],
)
def test_wrong_pull_is_told(model: ZooModel, arguments: list[str], code: int, message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == code
    assert message in result.stderr
    assert result.stdout == ""


def test_missing_file_on_the_server_is_one_line(model: ZooModel, server: FileServer) -> None:
    server.statuses = [404]
    result = run("pull", "some-model")
    assert result.exit_code == 1
    assert result.stderr == f"stream-server: {server.url}: the server answers 404 Not Found\n"


@pytest.mark.parametrize("status", [200, 404])
def test_password_in_a_mirrors_address_is_used_and_never_shown(
    model: ZooModel, server: FileServer, folder: Path, status: int
) -> None:
    server.statuses = [status] if status != 200 else []
    result = run("pull", "some-model", "--url", server.url.replace("//", "//me:hunter22@"))
    assert result.exit_code == (status != 200)
    assert server.requests[0]["Authorization"] == "Basic bWU6aHVudGVyMjI="
    kept = "".join(path.read_text() for path in folder.rglob("*.json"))
    assert "hunter22" not in result.output + kept


def test_model_that_comes_along_is_not_fetched() -> None:
    result = run("pull", "centernet-mobilenetv3")
    assert (result.exit_code, result.stdout) == (0, "centernet-mobilenetv3: comes along, nothing to fetch\n")


# bench.


@pytest.mark.parametrize(
    ("fps", "words"),
    [
        (3.25, "1 camera at 3.2 fps"),
        (5, "1 camera at 5 fps"),
        (34, "6 cameras at 5 fps or 2 cameras at 15 fps or 1 camera at 30 fps"),
    ],
)
def test_rates_are_told_in_cameras(fps: float, words: str) -> None:
    assert cameras_in_words(fps) == words


def coco_folder(folder: Path) -> Path:
    """A folder as COCO's: two pictures, one of a cat, and an entry for one that is not there."""
    (folder / "val").mkdir(parents=True)
    (folder / "annotations").mkdir()
    shutil.copy(DATA / "coffee.jpg", folder / "val")
    cat = cv2.copyMakeBorder(cv2.imread(str(DATA / "chelsea.jpg")), 150, 0, 200, 0, cv2.BORDER_CONSTANT)
    cv2.imwrite(str(folder / "val" / "chelsea.jpg"), cat)
    with load_detector(DEFAULT) as detector:
        box = detector.detect(cat).boxes[0].tolist()
    bbox = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
    truth = {"id": 1, "image_id": 5, "category_id": 17, "bbox": bbox, "area": bbox[2] * bbox[3], "iscrowd": 0}
    dataset = {
        "images": [
            {"id": 5, "file_name": "chelsea.jpg"},
            {"id": 7, "file_name": "val/coffee.jpg"},
            {"id": 9, "file_name": "gone.jpg"},
        ],
        "annotations": [truth, {**truth, "id": 2, "image_id": 9}],
        "categories": [{"id": 17, "name": "Cat"}, {"id": 99, "name": "unicorn"}],
    }
    (folder / "annotations" / "instances_val.json").write_text(json.dumps(dataset))
    (folder / "annotations" / "captions.json").write_text('{"images": []}')
    return folder


def test_bench_measures_speed_and_accuracy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_server.cli.models.bench._layouts", lambda _: [Layout(1, 1)])
    coco = coco_folder(tmp_path / "coco")
    result = run("bench", DEFAULT.name, "--seconds", "0.2", "--size", "320x180", "--coco", coco, "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    (row,) = report["rows"]
    assert (row["model"], row["runtime"], row["workers"], row["threads"]) == (DEFAULT.name, "LiteRT", 1, 1)
    assert 1 < row["fps"] < 2000
    assert 20 < row["memory_mb"] < 500
    assert report["accuracy"] == {DEFAULT.name: pytest.approx(1, abs=0.01)}
    assert report["in_words"][0].startswith(
        f"{DEFAULT.name}: {row['fps']:.0f} pictures a second with 1 worker"
    )
    assert result.stderr.splitlines() == [
        f"{DEFAULT.name}: 1 worker of 1 thread",
        f"{DEFAULT.name}: 2 pictures",
    ]


def test_bench_shows_a_table_and_says_it_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_server.cli.models.bench._layouts", lambda _: [Layout(1, 1)])
    result = run("bench", "centernet-mobilenetv3-320", "--seconds", "0.1", "--size", "320x180")
    assert re.search(r"centernet-mobilenetv3-320 +LiteRT +1 +1 +\d+\.\d +\d+\.\d +\d+ *\n", result.stdout)
    assert re.search(r"pictures a second with 1 worker of 1 thread: \d+ camera", result.stdout)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "nope: no model of this name"),
        (["--size", "big"], "--size: got big, expected width x height, e.g. 1280x720"),
        (["--coco", "NONE"], "--coco NONE: expected a JSON with images, annotations and categories"),
        (["--coco", "EMPTY"], "--coco EMPTY: none of the 1 pictures of its JSON is there"),
        (["--coco", "BROKEN"], "BROKEN/x.json: cannot be read"),
    ],
)
def test_wrong_bench_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "EMPTY": '{"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [], "categories": []}',
        "BROKEN": "{",
    }.items():
        Path(name).mkdir()
        (Path(name) / "x.json").write_text(text)
    result = run("bench", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_accuracy_without_pycocotools_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    from stream_server.cli.models.accuracy import average_precision, read_photos
    from stream_server.errors import ConfigError

    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    photos = read_photos(coco_folder(tmp_path / "coco"))
    with load_detector(DEFAULT) as detector, pytest.raises(ConfigError, match="pip install pycocotools"):
        average_precision(detector, photos)


def test_command_from_a_shell_works() -> None:
    done = run_command("models", "info", "centernet-mobilenetv3")
    assert done.returncode == 0
    assert "head:          centernet" in done.stdout


if __name__ == "__main__":  # stands in for a runtime that crashes
    os.kill(os.getpid(), signal.SIGSEGV)
