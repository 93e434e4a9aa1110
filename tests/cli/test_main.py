"""The command line: what it says, and with which exit code it ends."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

import stream_server
from stream_server.cli import command
from stream_server.sources.v4l2 import find_webcams
from tests.support.cameras.http import HTTPCamera
from tests.support.paths import CHECKOUT, DATA
from tests.support.patience import soon
from tests.support.server import NO_DETECTOR, SMALL_DEMO, Server, run_command

CAT = DATA / "chelsea.jpg"
NO_MODEL = ("--set", "detector.workers=0")


def run(*arguments: str | Path) -> Result:
    """Run a command in this process; a crash fails the test."""
    result = CliRunner().invoke(command, [str(argument) for argument in arguments], prog_name="stream-server")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


# Help.


def test_without_a_command_the_commands_are_shown() -> None:
    assert re.search(r"run +Serve cameras until Ctrl-C\.\n", run().output)


@pytest.mark.parametrize("arguments", [(), ("run",), ("check",), ("detect",)])
def test_help_is_readable_on_a_narrow_terminal(arguments: Sequence[str]) -> None:
    result = run(*arguments, "--help")
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: {' '.join(('stream-server', *arguments))} [OPTIONS]")
    assert max(map(len, result.output.splitlines())) <= 80
    assert "..." not in result.output.partition("\n")[2]


def test_version_is_told() -> None:
    assert run("--version").output == f"{stream_server.__version__}\n"


# run.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "nope"], "nope: no model of this name; expected centernet-mobilenetv3 or the path of"),
        (["--model", "FOLDER/none.tflite"], "FOLDER/none.tflite: cannot read the model: No such file or"),
        (["--model", "FOLDER/bad.tflite"], "FOLDER/bad.tflite: this is an unknown file, 12 bytes; supported"),
        (
            ["--set", "detector.classes=[dgo]"],
            "detector.classes: the model knows no class 'dgo'; did you mean",
        ),
        (
            ["--set", "cameras.demo.detect.classes=[dgo]"],
            "cameras.demo.detect.classes: the model knows no class 'dgo'; did you mean 'dog'?",
        ),
        (
            ["--set", "cameras.demo.detect.score_thresholds={dgo: 0.5}"],
            "cameras.demo.detect.score_thresholds: the model knows no class 'dgo'; did you mean 'dog'?",
        ),
        (["--port", "99999"], "server.port: got 99999, expected 0 to 65535"),
        (["--set", "server.prot=1"], "server.prot: unknown key; did you mean port?"),
        (["--source", "exec:ls"], "cameras.camera.source: got 'exec:ls', the scheme 'exec:' is not allowed"),
        (["--config", "FOLDER/none.yaml"], "FOLDER/none.yaml: cannot be read: No such file or directory"),
        (
            ["--source", "rtsp://h", "--password-env", "NOPE"],
            "cameras.camera.password: the environment variable NOPE is not set",
        ),
    ],
)
def test_wrong_start_ends_soon_with_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "bad.tflite").write_text("not a model\n")
    arguments = [argument.replace("FOLDER", str(tmp_path)) for argument in arguments]
    camera = () if "--source" in arguments else SMALL_DEMO
    with soon():
        done = run_command("run", "--port", "0", *camera, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"stream-server: {message.replace('FOLDER', str(tmp_path))}")
    assert done.stderr.count("\n") == 1


def test_unknown_option_is_told_with_the_nearest() -> None:
    result = run("run", "--prot", "1")
    assert result.exit_code == 2
    assert "No such option '--prot'" in result.stderr
    assert "--port" in result.stderr


def test_run_py_serves_from_a_checkout() -> None:
    import sys

    with _RunPy(*SMALL_DEMO, *NO_DETECTOR, command=(sys.executable, "run.py")) as server:
        assert server.get("/cameras/demo/snapshot.jpg").status == 200


class _RunPy(Server):
    """`run.py …` in the place of `stream-server run …`."""

    def __init__(self, *arguments: str, command: Sequence[str]) -> None:
        super().__init__(*arguments, command=command)
        self._command.remove("run")


def test_ipv6_address_is_printed_as_browsers_take_it() -> None:
    with Server(*SMALL_DEMO, *NO_DETECTOR, "--host", "::1", wait=False) as server:
        server.wait_for_line(r"Watch at http://\[::1\]:\d+/$")


# check.


def test_check_says_what_each_camera_is() -> None:
    with HTTPCamera(sizes={0: (320, 240)}, fps=20) as camera:
        result = run("check", "--source", camera.url, "--source", "demo:")
    assert result.exit_code == 0
    detector, first, second = result.stdout.splitlines()
    assert detector == "detector: centernet-mobilenetv3, 80 classes"
    assert first.startswith("camera-1: ok: 320x240 at ")
    assert second.startswith("camera-2: ok: 1280x720 at 2")
    assert result.stderr == ""


@pytest.mark.parametrize("file", [None, CHECKOUT / "config.yaml"])
def test_check_without_a_camera_tries_what_run_shows(file: Path | None) -> None:
    result = run("check", *(("--config", file) if file else ()))
    detector, camera = result.stdout.splitlines()
    assert detector == "detector: centernet-mobilenetv3, 80 classes"
    if webcams := find_webcams():
        assert camera.startswith("webcam: ")
        assert result.stderr.startswith("The first webcam is shown until a camera is added")
    else:
        assert camera.startswith("demo: ok: 1280x720 at ")
        assert result.stderr.startswith("No webcam found: the demo is shown until a camera is added")
        assert result.exit_code == 0
    assert len(result.stderr.splitlines()) == 1, webcams


def test_check_tells_which_camera_cannot_be_read_and_why() -> None:
    with HTTPCamera() as gone:
        port = gone.port
    with HTTPCamera() as camera:
        sources = ("--source", camera.url, "--source", f"http://admin:hunter22@127.0.0.1:{port}/x")
        result = run("check", *sources, *NO_MODEL)
    assert result.exit_code == 1
    _, first, second = result.stdout.splitlines()
    assert first.startswith("camera-1: ok: ")
    assert second == f"camera-2: FAILED: 127.0.0.1:{port}: connection refused"


def test_check_tells_that_the_password_is_wrong() -> None:
    with HTTPCamera(authentication="digest") as camera:
        result = run("check", "--source", camera.with_credentials("admin:wrong-one"), *NO_MODEL)
    assert result.exit_code == 1
    assert "FAILED" in result.stdout
    assert "wrong-one" not in result.output


def test_check_of_a_silent_camera_ends() -> None:
    with HTTPCamera(silent=True) as camera:
        result = run(
            "check", "--set", f"cameras.a.source={camera.url}", "--set", "cameras.a.read_timeout_s=1",
            "--set", "cameras.a.connect_timeout_s=1", *NO_MODEL,
        )  # fmt: skip
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1].startswith("a: FAILED: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "server.prot=1"], "stream-server: server.prot: unknown key; did you mean port?\n"),
        (["--source", "demo:", "--model", "nope"], "stream-server: nope: no model of this name; expected"),
        (
            ["--source", "demo:", "--set", "detector.classes=[dgo]"],
            "stream-server: detector.classes: the model",
        ),
    ],
)
def test_check_of_a_wrong_configuration_ends_with_one_line(arguments: list[str], message: str) -> None:
    result = run("check", *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1


# detect.


def test_detect_prints_one_json_line_a_picture() -> None:
    result = run("detect", CAT, DATA / "astronaut.jpg")
    assert result.exit_code == 0
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert (first["image"], first["width"], first["height"]) == (str(CAT), 451, 300)
    (cat,) = first["detections"]
    assert cat["label"] == "cat"
    assert 0.4 <= cat["score"] <= 1
    assert [cat["box"][side] for side in ("x_min", "y_min", "x_max", "y_max")] == pytest.approx(
        [0, 2, 414, 298], abs=6
    )
    assert "person" in {found["label"] for found in second["detections"]}


def test_detect_writes_annotated_copies_and_leaves_the_originals(tmp_path: Path) -> None:
    picture = tmp_path / "cat.jpg"
    shutil.copy(CAT, picture)
    result = run("detect", picture, "--output", tmp_path)
    assert result.exit_code == 0
    assert picture.read_bytes() == CAT.read_bytes()
    before, after = cv2.imread(str(picture)), cv2.imread(str(tmp_path / "cat-annotated.jpg"))
    assert before is not None
    assert after is not None
    assert after.shape == before.shape
    box = json.loads(result.stdout)["detections"][0]["box"]
    right = round(box["x_max"])
    change = np.abs(after.astype(int) - before)[100:200].max(axis=(0, 2))
    assert change[right - 6 : right + 6].max() > 80
    assert change[50 : right - 20].max() < 60  # nothing is drawn inside, JPEG alone differs


def test_detect_keeps_the_classes_and_scores_asked_for() -> None:
    assert json.loads(run("detect", CAT, "--classes", "person, dog").stdout)["detections"] == []
    assert json.loads(run("detect", CAT, "--score", "0.99").stdout)["detections"] == []


def test_detect_goes_on_after_pictures_it_cannot_read(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("x\n")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "cut.jpg").write_bytes(CAT.read_bytes()[:100])
    wrong = [tmp_path / name for name in ("text.jpg", "empty.jpg", "cut.jpg", "none.jpg")]
    result = run("detect", *wrong, tmp_path, CAT)
    assert result.exit_code == 1
    assert [json.loads(line)["image"] for line in result.stdout.splitlines()] == [str(CAT)]
    assert result.stderr.splitlines() == [
        f"stream-server: {wrong[0]}: is no JPEG, PNG, WebP or BMP: it starts with 78 0a",
        f"stream-server: {wrong[1]}: is empty; expected a picture",
        f"stream-server: {wrong[2]}: is a JPEG whose header has no size",
        f"stream-server: {wrong[3]}: No such file or directory",
        f"stream-server: {tmp_path}: Is a directory",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "nope"], "nope: no model of this name; expected centernet-mobilenetv3 or the path of"),
        (["--classes", "dgo"], "the model knows no class 'dgo'; did you mean 'dog'?"),
        (["--output", "/proc/nope"], "--output /proc/nope: cannot be made: No such file or directory"),
        ([str(CAT), "--output", "FOLDER"], "--output FOLDER: several pictures would become"),
    ],
)
def test_detect_told_wrongly_ends_with_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    arguments = [argument.replace("FOLDER", str(tmp_path)) for argument in arguments]
    result = run("detect", CAT, *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("stream-server: " + message.replace("FOLDER", str(tmp_path)))
    assert result.stderr.count("\n") == 1
