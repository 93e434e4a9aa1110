"""Names of files that are long, no UTF-8, or alike."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from stream_server.base.file_names import alternatives, readable, shortened, size_of
from stream_server.cli.annotate.inputs import plan
from stream_server.errors import OptionError
from stream_server.jobs.quotas import check_name
from stream_server.video import OutputError
from stream_server.video.formats import NAME_BYTES, kind_of
from tests.support.paths import DATA
from tests.support.server import COMMAND
from tests.support.videos import probe, write_scenes

CAT = DATA


def test_name_is_cut_between_letters_and_only_where_it_is_long() -> None:
    assert shortened("café", 5) == "café"
    assert shortened("café", 4) == "caf"
    assert shortened("", 3) == ""
    assert readable(os.fsdecode(b"caf\xe9")) == "caf\\xe9"


def test_no_two_videos_become_one_file(tmp_path: Path) -> None:
    for name in ("b.ts", "b.mp4", "b.mkv"):
        (tmp_path / name).touch()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/b.ts").touch()
    names = tuple(str(tmp_path / name) for name in ("b.ts", "b.mp4", "b.mkv", "sub/b.ts", "b.ts"))
    tasks, troubles = plan(names, tmp_path / "out")
    assert troubles == []
    assert [task.out.name for task in tasks] == [
        "b.annotated.mp4",
        "b.mp4.annotated.mp4",
        "b.annotated.mkv",
        "b.ts.annotated.mp4",
    ]
    outs = [task.out.with_suffix("") for task in plan(names, tmp_path / "out", has_sides=True)[0]]
    assert len(set(outs)) == 4


def test_result_does_not_replace_an_input(tmp_path: Path) -> None:
    names = tuple(str(tmp_path / name) for name in ("b.mp4", "b.annotated.mp4"))
    for name in names:
        Path(name).touch()
    outs = [str(task.out) for task in plan(names, None)[0]]
    assert not set(outs) & set(names)


@pytest.mark.parametrize("length", [200, 236, 251])
def test_long_name_of_a_video_is_shortened_for_its_results(tmp_path: Path, length: int) -> None:
    source = tmp_path / f"{'x' * (length - 4)}.mp4"
    source.touch()
    (task,), _ = plan((str(source),), None)
    assert size_of(task.out.name) <= NAME_BYTES
    assert (len(task.out.name) == length + len(".annotated")) == (length == 200)


def test_name_that_leaves_no_room_is_refused_with_its_length() -> None:
    with pytest.raises(OutputError, match="expected a name of at most 244 bytes, got 245"):
        kind_of(Path("x" * 241 + ".mp4"))
    with pytest.raises(OptionError, match="got 204 bytes, expected at most 200"):
        check_name("x" * 200 + ".mp4")


def test_alternatives_never_end() -> None:
    names = alternatives("b", ".ts")
    assert [next(names) for _ in range(4)] == ["b", "b.ts", "b-2", "b-3"]


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of videos: one called very long, one in Latin-1, and a good one."""
    folder = tmp_path_factory.mktemp("odd")
    video = write_scenes(folder / "good.mp4", 2).read_bytes()
    (folder / f"{'l' * 232}.mp4").write_bytes(video)
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.mp4")).write_bytes(video)
    return folder


def test_videos_of_any_name_are_annotated(odd: Path, tmp_path: Path) -> None:
    too_long = f"{tmp_path}/{'n' * 300}.mp4"
    command = [*COMMAND, "annotate", str(odd), too_long, "-o", str(tmp_path / "out"), "--json", "--coco"]
    done = subprocess.run(command, capture_output=True, timeout=120)
    assert done.returncode == 1
    (trouble,) = done.stderr.decode().splitlines()
    assert "file name too long" in trouble
    lines = done.stdout.decode().splitlines()
    assert len(lines) == 3
    assert any("caf\\xe9.mp4 -> " in line for line in lines)
    outs = list((tmp_path / "out").glob("*.annotated.mp4"))
    assert [len(probe(out).times_s) for out in outs] == [2, 2, 2]
    assert len(list((tmp_path / "out").glob("*.coco.json"))) == 3


def test_pictures_of_any_name_are_analysed(tmp_path: Path) -> None:
    picture = next(path for path in sorted(CAT.rglob("*.jpg")))
    names = [b"caf\xe9.jpg", b"l" * 251 + b".jpg", b"same.jpg", b"same.jpeg"]
    paths = [os.fsencode(tmp_path) + b"/" + name for name in names]
    for path in paths:
        Path(os.fsdecode(path)).write_bytes(picture.read_bytes())
    command = [*map(os.fsencode, COMMAND), b"detect", *paths, b"-o", os.fsencode(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")
    told = [json.loads(line)["image"] for line in done.stdout.decode().splitlines()]
    assert told[0].endswith("caf\\xe9.jpg")
    assert len(told) == len(list((tmp_path / "out").iterdir())) == 4
