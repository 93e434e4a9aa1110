"""Videos in, annotated videos out: every frame once, at its time, whatever the file and the workers do."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from detector.detections import BGRImage
from detector.pool import DetectorPool
from stream_server.errors import OptionError, SourceError
from stream_server.sources.file import FORMATS
from stream_server.video import Crop, Options, OutputError, Progress, annotate, detections
from tests.support.leaks import wait_until
from tests.support.needs import need
from tests.support.videos import (
    BARS,
    BARS_HEIGHT,
    add_sound,
    decoded_sound,
    ffmpeg_images_of,
    images_of,
    probe,
    sound_of,
    subtitles_of,
    write_scenes,
)


@pytest.fixture(scope="module")
def pool() -> Iterator[DetectorPool]:
    with DetectorPool("patches", workers=2, loader="tests.support.fakes:load_patches") as pool:
        assert wait_until(lambda: pool.idle_workers == 2, 30)
        image = np.zeros((400, 400, 3), np.uint8)
        for future in [pool.submit(image) for _ in range(16)]:  # all memory that is kept for images
            future.result(30)
        yield pool


def test_file_without_a_picture_is_refused_by_name(tmp_path: Path, pool: DetectorPool) -> None:
    path = tmp_path / "empty.mp4"
    path.touch()
    with pytest.raises(SourceError, match=r"empty\.mp4"):
        annotate(path, tmp_path / "out.mp4", pool=pool)
    assert list(tmp_path.iterdir()) == [path]


VARIABLE = [0, 40, 45, 200, 233, 234, 900, 1500, 1501, 3000]


@pytest.mark.parametrize(
    ("count", "how"),
    [
        (1, {}),
        (30, {}),
        (30, {"options": {"bf": "3", "g": "10"}}),
        (10, {"pts": VARIABLE, "options": {"bf": "2"}}),
        (10, {"pts": [number + 5000 for number in VARIABLE]}),
        (12, {"turn": 90}),
        (12, {"turn": 180}),
        (12, {"size_wh": (322, 182), "pixel_format": "yuv444p"}),
        (12, {"size_wh": (161, 121), "pixel_format": "yuv444p"}),
        (12, {"pixel_format": "yuv420p10le", "codec": "libx265"}),
    ],
)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_every_frame_once_and_at_its_time(
    tmp_path: Path, pool: DetectorPool, suffix: str, count: int, how: dict[str, object]
) -> None:
    source = write_scenes(tmp_path / f"in{suffix}", count, **how)  # type: ignore[arg-type]
    summary = annotate(source, tmp_path / "out.mp4", pool=pool)
    before, after = probe(source), probe(tmp_path / "out.mp4")
    start_s = before.times_s[0]
    assert summary.frames == summary.analysed == count
    assert after.codec == "h264"
    assert after.times_s == pytest.approx([time_s - start_s for time_s in before.times_s], abs=0.0011)
    assert after.turn == before.turn
    assert after.size_wh == tuple(side + side % 2 for side in before.size_wh)
    assert bool(summary.notes) == (after.size_wh != before.size_wh)


@pytest.mark.parametrize("suffix", [suffix for suffix in FORMATS if suffix not in (".webm", ".mpg", ".mpeg")])
def test_every_container_is_read(tmp_path: Path, pool: DetectorPool, suffix: str) -> None:
    codec, pixels = ("mjpeg", "yuvj420p") if "mj" in suffix else ("libx264", "yuv420p")
    source = write_scenes(tmp_path / f"in{suffix}", 9, codec=codec, pixel_format=pixels)
    assert annotate(source, tmp_path / "out.mp4", pool=pool).frames == 9
    assert len(probe(tmp_path / "out.mp4").times_s) == 9


@pytest.mark.parametrize(
    ("out", "codec"), [("o.mov", "h264"), ("o.mkv", "h264"), ("o.avi", "mjpeg"), ("o.gif", "gif")]
)
def test_extension_says_what_is_written(tmp_path: Path, pool: DetectorPool, out: str, codec: str) -> None:
    source = write_scenes(tmp_path / "in.mp4", 12, size_wh=(161, 121), pixel_format="yuv444p")
    annotate(source, tmp_path / out, pool=pool)
    found = probe(tmp_path / out)
    assert (found.codec, len(found.times_s)) == (codec, 12)
    assert found.size_wh == ((161, 121) if codec != "h264" else (162, 122))


def test_unknown_extension_is_refused(tmp_path: Path, pool: DetectorPool) -> None:
    source = write_scenes(tmp_path / "in.mp4", 1)
    with pytest.raises(OutputError, match="expected the extension"):
        annotate(source, tmp_path / "out.wmv", pool=pool)


def test_what_is_there_already_is_kept(tmp_path: Path, pool: DetectorPool) -> None:
    source, out = write_scenes(tmp_path / "in.mp4", 1), tmp_path / "out.mp4"
    out.write_bytes(b"dear")
    with pytest.raises(OutputError, match="is there already"):
        annotate(source, out, pool=pool)
    assert out.read_bytes() == b"dear"
    annotate(source, out, pool=pool, overwrite=True)
    assert len(probe(out).times_s) == 1


@pytest.mark.parametrize("seconds", [0.3, 1.0, 3.0])
def test_sound_is_copied_byte_for_byte(tmp_path: Path, pool: DetectorPool, seconds: float) -> None:
    source = add_sound(write_scenes(tmp_path / "v.mp4", 25), tmp_path / "in.mp4", seconds)
    annotate(source, tmp_path / "out.mp4", pool=pool)
    assert sound_of(tmp_path / "out.mp4") == sound_of(source)
    assert decoded_sound(tmp_path / "out.mp4") == decoded_sound(source)
    assert probe(tmp_path / "out.mp4").times_s == probe(source).times_s


def test_sound_that_the_container_cannot_hold_is_named(tmp_path: Path, pool: DetectorPool) -> None:
    source = add_sound(write_scenes(tmp_path / "v.mp4", 5), tmp_path / "in.mkv", 1, "wmav2")
    summary = annotate(source, tmp_path / "out.mp4", pool=pool)
    assert summary.notes == ("the sound (wmav2) is left out: MP4 cannot hold it",)
    assert summary.frames == 5


SUBTITLES = "1\n00:00:00,200 --> 00:00:00,600\nA patch\n\n2\n00:00:00,700 --> 00:00:00,900\nstill there\n"
SAID = [(0.2, 0.4, "A patch"), (0.7, 0.2, "still there")]


@pytest.fixture
def rich(tmp_path: Path) -> Path:
    """A video with sound, subtitles, another video and a file attached."""
    sounding = add_sound(write_scenes(tmp_path / "v.mp4", 25), tmp_path / "s.mp4", 1)
    (tmp_path / "s.srt").write_text(SUBTITLES)
    (tmp_path / "font.ttf").write_bytes(b"font")
    inputs = ["-i", sounding, "-i", tmp_path / "s.srt", "-i", write_scenes(tmp_path / "w.mp4", 5)]
    attached = ["-attach", tmp_path / "font.ttf", "-metadata:s:t", "mimetype=font/ttf"]
    maps = ["-map", "0", "-map", "1", "-map", "2", "-c", "copy", "-disposition:v:0", "default"]
    command = [need("ffmpeg"), "-v", "error", *inputs, *attached, *maps, tmp_path / "rich.mkv"]
    subprocess.run(command, check=True, timeout=60)
    return tmp_path / "rich.mkv"


LEFT_OUT = "left out, besides the main video: another video, an attachment"


@pytest.mark.parametrize(
    ("suffix", "more"),
    [
        (".mkv", ()),
        (".mp4", ("the subtitles (srt) are left out: MP4 cannot hold them",)),
        (
            ".gif",
            (
                "the sound (aac) is left out: GIF cannot hold it",
                "the subtitles (srt) are left out: GIF cannot hold them",
            ),
        ),
    ],
)
def test_other_streams_are_carried_where_that_can_be_and_named_where_not(
    rich: Path, tmp_path: Path, pool: DetectorPool, suffix: str, more: tuple[str, ...]
) -> None:
    summary = annotate(rich, tmp_path / f"out{suffix}", pool=pool)
    assert summary.notes == (LEFT_OUT, *more)
    assert summary.frames == len(probe(tmp_path / f"out{suffix}").times_s) == 25
    if suffix == ".mkv":
        assert subtitles_of(tmp_path / "out.mkv") == subtitles_of(rich) == SAID
        assert sound_of(tmp_path / "out.mkv") == sound_of(rich)


def test_subtitles_of_mp4_are_carried_and_its_cover_is_named(tmp_path: Path, pool: DetectorPool) -> None:
    (tmp_path / "s.srt").write_text(SUBTITLES)
    cv2.imwrite(str(tmp_path / "cover.png"), np.zeros((8, 8, 3), np.uint8))
    inputs = [write_scenes(tmp_path / "v.mp4", 25), tmp_path / "s.srt", tmp_path / "cover.png"]
    given = [part for path in inputs for part in ("-i", path)]
    maps = ["-map", "0", "-map", "1", "-map", "2", "-c", "copy", "-c:s", "mov_text"]
    source = tmp_path / "in.mp4"
    command = [need("ffmpeg"), "-v", "error", *given, *maps, "-disposition:v:1", "attached_pic", source]
    subprocess.run(command, check=True, timeout=60)
    summary = annotate(source, tmp_path / "out.mp4", pool=pool)
    assert summary.notes == ("left out, besides the main video: a cover picture",)
    said = [(at_s, length_s) for at_s, length_s, text in subtitles_of(tmp_path / "out.mp4") if "t" in text]
    assert said == [(0.2, 0.4), (0.7, 0.2)]


def test_subtitles_of_a_part_keep_to_its_time(rich: Path, tmp_path: Path, pool: DetectorPool) -> None:
    annotate(rich, tmp_path / "out.mkv", Options(start_s=0.64), pool=pool)
    assert subtitles_of(tmp_path / "out.mkv") == [(pytest.approx(0.06, abs=0.041), 0.2, "still there")]


def test_file_that_is_cut_off_gives_the_frames_it_has(tmp_path: Path, pool: DetectorPool) -> None:
    source = write_scenes(tmp_path / "in.mkv", 50, options={"g": "10"})
    source.write_bytes(source.read_bytes()[: -source.stat().st_size // 3])
    count = len(probe(source).times_s)
    assert 0 < count < 50
    assert annotate(source, tmp_path / "out.mp4", pool=pool).frames == count
    assert len(probe(tmp_path / "out.mp4").times_s) == count


BT601, BT709 = (6, 6, 6), (1, 1, 1)
LIMITED, FULL = 1, 2


@pytest.mark.parametrize("matrix", [BT601, BT709])
@pytest.mark.parametrize("color_range", [LIMITED, FULL])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".gif"])
def test_colours_where_nothing_is_drawn_are_those_of_the_source(
    tmp_path: Path, pool: DetectorPool, suffix: str, color_range: int, matrix: tuple[int, int, int]
) -> None:
    colours = (color_range, *matrix)
    source = write_scenes(tmp_path / "in.mp4", 6, colours=colours, empty=[4, 5], options={"crf": "4"})
    out = tmp_path / f"out{suffix}"
    annotate(source, out, pool=pool)
    before, after = ffmpeg_images_of(source), ffmpeg_images_of(out)
    for number in (0, 5):  # a picture that is drawn into, and one that is not
        assert np.abs(_bars(before[number]) - BARS).max() <= 4  # the source is what it says
        assert np.abs(_bars(after[number]) - _bars(before[number])).max() <= (9 if suffix == ".gif" else 4)
    if suffix in (".mp4", ".mkv"):
        with av.open(str(out)) as container:
            context = container.streams.video[0].codec_context
            tags = context.color_range, context.colorspace, context.color_primaries, context.color_trc
        assert tags == colours


def _bars(image: BGRImage) -> NDArray[np.float64]:
    """Return the mean colour in the middle of each bar."""
    bars = image[-BARS_HEIGHT:].reshape(BARS_HEIGHT, len(BARS), -1, 3)
    return bars[8:-8, :, 8:-8].mean(axis=(0, 2))


def test_metadata_is_kept(tmp_path: Path, pool: DetectorPool) -> None:
    metadata = {"title": "Holiday", "comment": "by the sea", "creation_time": "2024-05-06T07:08:09.000000Z"}
    source = write_scenes(tmp_path / "in.mp4", 2, metadata=metadata)
    annotate(source, tmp_path / "out.mp4", pool=pool)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert metadata.items() <= container.metadata.items()


def test_boxes_are_drawn_where_the_objects_are(tmp_path: Path, pool: DetectorPool) -> None:
    source = write_scenes(tmp_path / "in.mp4", 20, turn=90)
    summary = annotate(source, tmp_path / "out.mp4", pool=pool)
    assert summary.objects == {"person": 1}
    before, after = images_of(source), images_of(tmp_path / "out.mp4")
    changed = np.abs(before[0].astype(int) - after[0]).max(axis=2) > 60
    rows, columns = np.nonzero(changed)
    assert (abs(rows.min() - 30) < 16, abs(rows.max() - 90) < 16) == (True, True)
    assert columns.min() < 12
    assert changed[50:70, 18:32].mean() < 0.05  # inside the box


def test_worker_killed_in_the_middle_costs_no_frame(tmp_path: Path) -> None:
    source = write_scenes(tmp_path / "in.mp4", 50)
    killed: list[int] = []

    def kill(progress: Progress) -> None:
        pid = pool.status().workers[0].pid
        if progress.frames in (10, 30) and pid:
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    with DetectorPool("patches", workers=2, loader="tests.support.fakes:load_patches") as pool:
        summary = annotate(source, tmp_path / "out.mp4", pool=pool, on_progress=kill)
    assert len(killed) == 2
    assert (summary.frames, summary.analysed, summary.failed) == (50, 50, ())
    assert summary.objects == {"person": 1}
    assert len(probe(tmp_path / "out.mp4").times_s) == 50


def test_frame_that_ends_its_worker_twice_is_marked_and_kept(tmp_path: Path) -> None:
    source = write_scenes(tmp_path / "in.mp4", 20, white=[7])
    with DetectorPool("touchy", workers=2, loader="tests.support.videos:load_touchy") as pool:
        summary = annotate(source, tmp_path / "out.mp4", pool=pool)
    assert (summary.frames, summary.analysed, summary.failed) == (20, 19, (8,))
    assert len(probe(tmp_path / "out.mp4").times_s) == 20


def test_detections_come_with_their_times(tmp_path: Path, pool: DetectorPool) -> None:
    source = write_scenes(tmp_path / "in.mp4", 10, pts=VARIABLE)
    found = list(detections(source, pool=pool))
    assert [time_s for time_s, _ in found] == pytest.approx([pts / 1000 for pts in VARIABLE])
    for number, (_, objects) in enumerate(found):
        assert objects.track_ids.tolist() == [1]
        assert objects.boxes[0] == pytest.approx([10 + 2 * number, 30, 40 + 2 * number, 90], abs=3)


def test_detections_may_be_left_before_their_end(tmp_path: Path, pool: DetectorPool) -> None:
    found = detections(write_scenes(tmp_path / "in.mp4", 50), pool=pool)
    assert len(next(found)[1]) == 1
    found.close()  # type: ignore[attr-defined]


def test_frames_passed_over_show_what_is_followed(tmp_path: Path, pool: DetectorPool) -> None:
    source = write_scenes(tmp_path / "in.mp4", 40)
    found = list(detections(source, Options(every=4), pool=pool))
    assert len(found) == 40
    for number, (_, objects) in enumerate(found[12:], 12):
        assert objects.boxes[0] == pytest.approx([10 + 2 * number, 30, 40 + 2 * number, 90], abs=8)
    assert annotate(source, tmp_path / "out.mp4", Options(every=4), pool=pool).analysed == 10


def test_part_of_a_video(tmp_path: Path, pool: DetectorPool) -> None:
    source = add_sound(write_scenes(tmp_path / "v.mp4", 100, options={"g": "50"}), tmp_path / "in.mp4", 4)
    summary = annotate(source, tmp_path / "out.mp4", Options(start_s=1.4, end_s=2.6), pool=pool)
    assert summary.frames == 30
    assert probe(tmp_path / "out.mp4").times_s == pytest.approx([n / 25 for n in range(30)])
    sound = sound_of(tmp_path / "out.mp4")
    assert -0.03 < sound[0][0] / 44100 <= 0.001
    assert 1.15 < sound[-1][0] / 44100 < 1.2
    times = [time_s for time_s, _ in detections(source, Options(start_s=1.4, end_s=2.6), pool=pool)]
    assert (times[0], times[-1]) == pytest.approx((1.4, 2.56))


def test_crop_is_all_there_is(tmp_path: Path, pool: DetectorPool) -> None:
    source = write_scenes(tmp_path / "in.mp4", 5, turn=180)
    options = Options(crop=Crop(0, 0, 100, 80))
    annotate(source, tmp_path / "out.mp4", options, pool=pool)
    found = probe(tmp_path / "out.mp4")
    assert (found.size_wh, found.turn) == ((100, 80), 0)
    with pytest.raises(OptionError, match="within 160x120"):
        annotate(source, tmp_path / "o.mp4", Options(crop=Crop(100, 0, 100, 80)), pool=pool)


def test_blurred_objects_have_no_detail_left(tmp_path: Path, pool: DetectorPool) -> None:
    source = write_scenes(tmp_path / "in.mp4", 10, empty=[5])
    options = Options(blur=("person",), classes=("car",))
    summary = annotate(source, tmp_path / "out.mp4", options, pool=pool)
    assert summary.objects == {}
    for number, image in enumerate(images_of(tmp_path / "out.mp4")):
        left = 10 + 2 * number
        edge = image[60, left - 2 : left + 3].astype(int)
        assert np.abs(np.diff(edge, axis=0)).max() < 120  # the patch's own edge is 165 high


@pytest.mark.parametrize("options", [Options(classes=("dragon",)), Options(blur=("dragon",))])
def test_label_that_the_model_does_not_know_is_refused(
    tmp_path: Path, pool: DetectorPool, options: Options
) -> None:
    with pytest.raises(OptionError, match="knows no class 'dragon'"):
        annotate(write_scenes(tmp_path / "in.mp4", 1), tmp_path / "out.mp4", options, pool=pool)
