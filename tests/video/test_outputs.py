"""What is written beside videos, other inputs than files, and work that is stopped and goes on."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from av.container import InputContainer
from av.video.stream import VideoStream
from click.testing import CliRunner, Result

from detector.pool import DetectorPool
from stream_server.cli import command
from stream_server.cli.annotate.inputs import plan
from stream_server.errors import OptionError, SourceError
from stream_server.video import Options, OutputError, Progress, annotate
from stream_server.video.bounded_queue import BeltStopped, BoundedQueue
from stream_server.video.input import film
from tests.support.leaks import wait_until
from tests.support.needs import need
from tests.support.videos import add_sound, images_of, probe, scene, sound_of, write_scenes

ALL_SIDES = Options(side=frozenset({"json", "csv", "srt", "coco", "contact-sheet", "clips"}))


@pytest.fixture(scope="module")
def pool() -> Iterator[DetectorPool]:
    with make_pool() as pool:
        pool.wait_ready(30)
        image = np.zeros((400, 400, 3), np.uint8)
        for future in [pool.submit(image) for _ in range(16)]:  # all memory that is kept for images
            future.result(30)
        yield pool


def make_pool(options: object = None) -> DetectorPool:
    return DetectorPool("patches", workers=2, loader="tests.support.fakes:load_patches")


class StopAt(threading.Event):
    """Set after so many frames."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.frames = frames

    def count(self, progress: Progress) -> None:
        if progress.frames == self.frames:
            self.set()


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# Beside the video.


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory, pool: DetectorPool) -> Path:
    """Return the folder of a video of 6 s, a patch in it from 1 to 2 and from 3 to 4 s, and all beside it."""
    folder = tmp_path_factory.mktemp("beside")
    empty = [n for n in range(150) if not (25 <= n < 50 or 75 <= n < 100)]
    source = add_sound(write_scenes(folder / "v.mp4", 150, empty=empty), folder / "in.mp4", 6)
    annotate(source, folder / "out.mp4", ALL_SIDES, pool=pool)
    return folder


def test_json_has_a_line_a_frame(beside: Path) -> None:
    lines = lines_of(beside / "out.ndjson")
    assert [line["frame"] for line in lines] == list(range(1, 151))
    assert [line["time_s"] for line in lines] == pytest.approx([n / 25 for n in range(150)])
    assert lines[0] == {"frame": 1, "time_s": 0.0, "analysed": True, "objects": []}
    found = lines[30]["objects"][0]
    assert (found["track_id"], found["label"], found["class_id"], found["score"]) == (1, "person", 0, 0.9)
    assert found["box"] == pytest.approx([70, 30, 100, 90], abs=3)


def test_csv_has_a_line_an_object(beside: Path) -> None:
    with (beside / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 50
    assert rows[1]["frame"] == "27"
    assert rows[1]["time_s"] == "1.040000"
    assert (rows[1]["track_id"], rows[1]["label"]) == ("1", "person")
    assert float(rows[1]["x_min"]) == pytest.approx(62, abs=3)


def test_subtitles_say_what_is_in_the_picture(beside: Path) -> None:
    assert (beside / "out.srt").read_text() == (
        "1\n00:00:01,000 --> 00:00:02,000\n1 person\n\n2\n00:00:03,000 --> 00:00:04,000\n1 person\n\n"
    )


def test_coco_is_read_by_its_own_library(beside: Path) -> None:
    from pycocotools.coco import COCO

    coco = COCO(str(beside / "out.coco.json"))
    assert len(coco.getImgIds()) == 150
    assert len(coco.getAnnIds(imgIds=[31])) == 1
    annotation = coco.loadAnns(coco.getAnnIds(imgIds=[31]))[0]
    assert annotation["bbox"] == pytest.approx([70, 30, 30, 60], abs=3)
    assert coco.loadCats(annotation["category_id"])[0]["name"] == "person"


def test_contact_sheet_has_a_picture_of_each_object(beside: Path) -> None:
    sheet = cv2.imread(str(beside / "out.sheet.jpg"))
    assert sheet is not None
    assert sheet.shape == (180, 640, 3)
    for left in (0, 320):
        tile = sheet[:, left : left + 320].astype(int)
        assert ((tile[:, :, 0] - tile[:, :, 2]) > 120).sum() > 1000


def test_clips_have_the_parts_with_objects(beside: Path) -> None:
    clips = sorted((beside / "out.clips").iterdir())
    assert [clip.name for clip in clips] == ["out-001.mp4", "out-002.mp4"]
    for clip, end in zip(clips, [74, 124], strict=True):  # a second after the last frame with an object
        count = len(probe(clip).times_s)
        assert 49 <= count <= 99  # from the key frame before the first
        assert probe(clip).times_s[0] == pytest.approx(0, abs=0.001)
        assert len(sound_of(clip)) == pytest.approx(count / 25 * 44100 / 1024, abs=2)
        last, expected = images_of(clip)[-1], images_of(beside / "out.mp4")[end - 1]
        assert np.abs(last.astype(int) - expected).max() == 0


def test_nothing_else_is_left(beside: Path) -> None:
    assert {path.name for path in beside.iterdir()} - {"v.mp4", "in.mp4"} == {
        "out.mp4",
        "out.ndjson",
        "out.csv",
        "out.srt",
        "out.coco.json",
        "out.sheet.jpg",
        "out.clips",
    }


# Stopped, and going on.


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".gif"])
def test_work_goes_on_where_it_was_stopped(tmp_path: Path, pool: DetectorPool, suffix: str) -> None:
    source = add_sound(write_scenes(tmp_path / "v.mp4", 120), tmp_path / "in.mp4", 4.8)
    options = Options(side=frozenset({"json"}), trails=True)
    whole, out = tmp_path / f"whole{suffix}", tmp_path / f"out{suffix}"
    annotate(source, whole, options, pool=pool)
    for stop_at in (40, 20, 90):  # the second before it has caught up with the first
        stop = StopAt(stop_at)
        summary = annotate(
            source, out, options, pool=pool, resume=True, on_progress=stop.count, is_stopped=stop.is_set
        )
        assert (summary.is_complete, summary.frames) == (False, stop_at)
        assert len(probe(out).times_s) == (stop_at if suffix == ".gif" else max(40, stop_at))
    before = sum(worker.images for worker in pool.status().workers)
    assert annotate(source, out, options, pool=pool, resume=True).frames == 120
    assert sum(worker.images for worker in pool.status().workers) - before <= 40
    assert probe(out).times_s == probe(whole).times_s
    assert lines_of(out.with_suffix(".ndjson")) == lines_of(whole.with_suffix(".ndjson"))
    if suffix != ".gif":
        assert sound_of(out) == sound_of(whole)
    for ours, theirs in zip(images_of(out)[::10], images_of(whole)[::10], strict=True):
        assert np.abs(ours.astype(int) - theirs).mean() < 4
    assert not list(tmp_path.glob("*.journal")) + list(tmp_path.glob("*.part")) + list(tmp_path.glob("*.cut"))


def test_stopped_work_is_not_begun_anew_by_accident(tmp_path: Path, pool: DetectorPool) -> None:
    source, out = write_scenes(tmp_path / "in.mp4", 30), tmp_path / "out.mp4"
    seen: list[Progress] = []
    annotate(source, out, pool=pool, on_progress=seen.append, is_stopped=lambda: len(seen) > 9)
    with pytest.raises(OutputError, match="resume to go on"):
        annotate(source, out, pool=pool)
    with pytest.raises(OutputError, match="other options"):
        annotate(source, out, Options(every=2), pool=pool, resume=True)
    assert len(probe(out).times_s) == 10


KILL = """
import os, signal, sys
from stream_server.video import annotate
from tests.video.test_outputs import make_pool
def die(progress):
    if progress.frames == 150:
        os.kill(os.getpid(), signal.SIGKILL)
if __name__ == "__main__":
    with make_pool() as pool:
        annotate(sys.argv[1], sys.argv[2], pool=pool, on_progress=die)
"""


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_work_goes_on_after_the_power_failed(tmp_path: Path, pool: DetectorPool, suffix: str) -> None:
    source, out = write_scenes(tmp_path / "in.mp4", 180), tmp_path / f"out{suffix}"
    script = tmp_path / "kill.py"
    script.write_text(KILL)
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    ended = subprocess.run([sys.executable, script, source, out], timeout=60, env=environment)
    assert ended.returncode == -signal.SIGKILL
    assert not out.exists()
    seen: list[Progress] = []
    summary = annotate(source, out, pool=pool, resume=True, on_progress=seen.append)
    assert (summary.frames, summary.analysed) == (180, 180)
    assert len(probe(out).times_s) == 180
    images_of(out)


FULL = """
import resource, sys
import numpy as np
from stream_server.video import annotate
from tests.video.test_outputs import make_pool
if __name__ == "__main__":
    with make_pool() as pool:
        pool.wait_ready(30)
        for future in [pool.submit(np.zeros((360, 640, 3), np.uint8)) for _ in range(16)]:
            future.result(30)  # the limit is for shared memory too
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
        annotate(sys.argv[1], sys.argv[2], pool=pool)
"""


def test_full_disk_is_said_and_what_is_done_is_kept(tmp_path: Path, pool: DetectorPool) -> None:
    source, out = tmp_path / "in.mp4", tmp_path / "out.mp4"
    moving = ["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25:duration=8", "-pix_fmt", "yuv420p"]
    subprocess.run([need("ffmpeg"), "-v", "error", *moving, source], check=True, timeout=60)
    script = tmp_path / "full.py"
    script.write_text(FULL)
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    ended = subprocess.run(
        [sys.executable, script, source, out], timeout=60, env=environment, stderr=subprocess.PIPE, text=True
    )
    assert "OutputError: cannot write" in ended.stderr
    assert "file too large" in ended.stderr
    with av.open(str(tmp_path / "out.mp4.part"), format="mov") as kept:
        assert sum(not packet.is_corrupt for packet in kept.demux(video=0)) > 10
    assert annotate(source, out, pool=pool, resume=True).frames == 200
    assert len(probe(out).times_s) == 200


# Other inputs.


def test_folder_of_pictures_is_a_video(tmp_path: Path, pool: DetectorPool) -> None:
    folder = tmp_path / "lapse"
    folder.mkdir()
    for number in range(12):
        cv2.imwrite(str(folder / f"{number + 1}.png"), scene(number, (161, 121)))
    (folder / "5.png").write_bytes(b"broken")
    summary = annotate(folder, tmp_path / "out.mp4", Options(fps=10), pool=pool)
    assert summary.frames == 11
    assert [note for note in summary.notes if "5.png" in note]
    found = probe(tmp_path / "out.mp4")
    assert found.times_s == pytest.approx([n / 10 for n in range(11)])
    assert found.size_wh == (162, 122)
    first, last = images_of(tmp_path / "out.mp4")[0], images_of(tmp_path / "out.mp4")[10]
    assert first[60, 25] == pytest.approx([255, 0, 0], abs=25)
    assert last[60, 45] == pytest.approx([255, 0, 0], abs=25)  # 12.png after 2.png


def test_folder_without_a_picture_is_refused(tmp_path: Path, pool: DetectorPool) -> None:
    with pytest.raises(SourceError, match="has no picture"):
        annotate(tmp_path, tmp_path / "out.mp4", pool=pool)


def test_camera_is_recorded_for_a_while(tmp_path: Path, pool: DetectorPool) -> None:
    with pytest.raises(OptionError, match="how many seconds"):
        annotate("demo:", tmp_path / "out.mp4", pool=pool)
    summary = annotate("demo:", tmp_path / "out.mp4", Options(duration_s=0.8), pool=pool)
    times = probe(tmp_path / "out.mp4").times_s
    assert summary.frames == len(times) > 3
    assert 0.4 < times[-1] < 0.9


def test_address_that_is_not_allowed_is_refused(tmp_path: Path, pool: DetectorPool) -> None:
    with pytest.raises(SourceError, match="not allowed"):
        annotate("gopher://x/y", tmp_path / "out.mp4", Options(duration_s=1), pool=pool)


# The command.


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, ["annotate", *map(str, arguments)])


@pytest.fixture
def patches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_server.cli.annotate.batch.make_pool", make_pool)


def test_command_does_the_rest_when_an_input_is_unreadable(tmp_path: Path, patches: None) -> None:
    good, bad = write_scenes(tmp_path / "good.mp4", 5), tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    result = run(bad, tmp_path / "missing.mkv", good, "-o", tmp_path / "out")
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert [line for line in lines if "bad.mp4" in line and "damaged" in line]
    assert [line for line in lines if "missing.mkv" in line and "no such file" in line]
    (line,) = result.stdout.splitlines()
    assert line.endswith("1 person")
    assert len(probe(tmp_path / "out/good.annotated.mp4").times_s) == 5


@pytest.mark.parametrize(
    "error", [UnicodeDecodeError("utf-8", b"\xe9", 0, 1, "bad"), MemoryError(), KeyError("x")]
)
def test_no_error_of_one_video_ends_the_others(
    tmp_path: Path, patches: None, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    bad, good = write_scenes(tmp_path / "a.mp4", 2), write_scenes(tmp_path / "b.mp4", 3)
    find_video = film.find_video

    def find(container: InputContainer) -> VideoStream:
        if container.name.endswith("a.mp4"):
            raise error
        return find_video(container)

    monkeypatch.setattr(film, "find_video", find)
    result = run(bad, good)
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"stream-server: {bad}: ")
    assert "resume" not in line
    assert len(probe(tmp_path / "b.annotated.mp4").times_s) == 3


def test_option_that_is_wrong_for_one_video_is_said_and_the_rest_is_done(
    tmp_path: Path, patches: None
) -> None:
    small = write_scenes(tmp_path / "a.mp4", 2, size_wh=(64, 48))
    large = write_scenes(tmp_path / "b.mp4", 2)
    result = run(small, large, "--crop", "0,0,100,100")
    assert (result.exit_code, "within 64x48" in result.stderr) == (2, True), result.stderr
    assert probe(tmp_path / "b.annotated.mp4").size_wh == (100, 100)


def test_command_takes_folders_and_patterns_and_leaves_its_own_results(tmp_path: Path, patches: None) -> None:
    (tmp_path / "b").mkdir()
    write_scenes(tmp_path / "a.mp4", 2)
    write_scenes(tmp_path / "b/c.mkv", 3)
    assert run(tmp_path, tmp_path / "b/*.mkv", "--quiet").stdout == ""
    assert len(probe(tmp_path / "a.annotated.mp4").times_s) == 2
    assert len(probe(tmp_path / "b/c.annotated.mkv").times_s) == 3
    again = run(tmp_path, "--resume")
    assert again.exit_code == 0
    assert "is done already" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--every", "0"], "every"),
        (["--score", "2"], "score"),
        (["--start", "5", "--end", "4"], "end"),
        (["--start", "tomorrow"], "expected seconds"),
        (["--crop", "1,2,3"], "X,Y,WIDTH,HEIGHT"),
        (["--classes", "dragon"], "knows no class 'dragon'"),
        (["--crop", "0,0,999,9"], "within 160x120"),
    ],
)
def test_wrong_options_end_with_code_2(
    tmp_path: Path, patches: None, arguments: list[str], reason: str
) -> None:
    result = run(write_scenes(tmp_path / "in.mp4", 1), *arguments)
    assert (result.exit_code, reason in result.stderr) == (2, True), result.stderr


def test_several_videos_do_not_become_one_file(tmp_path: Path) -> None:
    one, two = write_scenes(tmp_path / "a.mp4", 1), write_scenes(tmp_path / "b.mp4", 1)
    with pytest.raises(OutputError, match="cannot become one file"):
        plan((str(one), str(two)), tmp_path / "out.mp4")
    with pytest.raises(OutputError, match="the input itself"):
        plan((str(one),), one)


def test_ctrl_c_finishes_the_file_and_says_how_to_go_on(tmp_path: Path) -> None:
    source, out = write_scenes(tmp_path / "in.mp4", 300, size_wh=(640, 360)), tmp_path / "in.annotated.mp4"
    journal = tmp_path / "in.annotated.mp4.journal"
    arguments = [sys.executable, "-m", "stream_server", "annotate", str(source)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert wait_until(lambda: journal.exists() and journal.read_bytes().count(b"\n") > 20, 30)
            process.send_signal(signal.SIGINT)
            said, complaints = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130
    assert f"{out}; the same command with --resume goes on" in complaints
    assert "Traceback" not in complaints
    count = len(probe(out).times_s)
    assert 20 <= count < 300
    assert f"{count} frames" in said
    again = subprocess.run([*arguments, "--resume"], capture_output=True, text=True, timeout=60)
    assert again.returncode == 0, again.stderr
    assert len(probe(out).times_s) == 300
    assert not journal.exists()


# The belt.


def test_belt_keeps_order_and_hands_on_the_error() -> None:
    belt: BoundedQueue[int] = BoundedQueue(3)
    for number in range(3):
        belt.put(number)
    belt.close(OSError("gone"))
    items = iter(belt)
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="gone"):
        next(items)


def test_stopped_belt_lets_go_who_waits_for_room() -> None:
    belt: BoundedQueue[int] = BoundedQueue(1)
    belt.put(1)
    belt.put(2, is_large=False)
    belt.stop()
    with pytest.raises(BeltStopped):
        belt.put(3)
    assert list(belt) == []
