"""Sound and subtitles of files that other programs made, copied into files of every kind."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from detector.pool import DetectorPool
from stream_server.cameras.probe import check_camera
from stream_server.config import CameraConfig
from stream_server.video import Options, annotate
from tests.support.leaks import wait_until
from tests.support.needs import need
from tests.support.videos import decoded_sound, probe, sound_of, write_scenes, write_with_latin_title

FRAMES = 12


@pytest.fixture(scope="module")
def pool() -> Iterator[DetectorPool]:
    with DetectorPool("patches", workers=1, loader="tests.support.fakes:load_patches") as pool:
        assert wait_until(lambda: pool.idle_workers == 1, 30)
        image = np.zeros((400, 400, 3), np.uint8)
        for future in [pool.submit(image) for _ in range(16)]:  # all memory that is kept for images
            future.result(30)
        yield pool


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("silent") / "silent.mp4", FRAMES)


def ffmpeg(*arguments: object) -> None:
    subprocess.run([need("ffmpeg"), "-v", "error", "-y", *map(str, arguments)], check=True, timeout=60)


def streams_of(path: Path) -> list[dict[str, Any]]:
    command = [need("ffprobe"), "-v", "error", "-of", "json", "-show_streams", str(path)]
    found = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
    return list(json.loads(found)["streams"])


def with_sound(silent: Path, out: Path, codec: str, *options: str) -> Path:
    tone = ("-f", "lavfi", "-i", "sine=frequency=440:duration=1:sample_rate=48000")
    how = ("-map", "0", "-map", "1", "-c:v", "copy", "-ac", "2", "-c:a", codec, "-strict", "-2")
    ffmpeg("-i", silent, *tone, *how, *options, out)
    return out


@pytest.mark.parametrize(
    ("source", "codec", "options"),
    [
        ("in.ts", "aac", ()),
        ("in.m2ts", "aac", ()),
        ("in.ts", "aac", ("-mpegts_flags", "latm")),
        ("in.ts", "mp2", ()),
        ("in.ts", "libmp3lame", ()),
        ("in.ts", "ac3", ()),
        ("in.ts", "eac3", ()),
        ("in.ts", "dca", ()),
        ("in.ts", "libopus", ()),
        ("in.mkv", "libopus", ()),
        ("in.mkv", "libvorbis", ()),
        ("in.mkv", "flac", ()),
        ("in.mkv", "pcm_s16le", ()),
        ("in.avi", "pcm_s16le", ()),
        ("in.avi", "adpcm_ima_wav", ()),
        ("in.avi", "aac", ()),
        ("in.mp4", "alac", ()),
        ("in.mov", "pcm_s16be", ()),
        ("in.mkv", "truehd", ()),
        ("in.mkv", "wmav2", ()),
    ],
)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_sound_is_copied_or_left_out_by_name(
    silent: Path,
    tmp_path: Path,
    pool: DetectorPool,
    suffix: str,
    source: str,
    codec: str,
    options: tuple[str, ...],
) -> None:
    given = with_sound(silent, tmp_path / source, codec, *options)
    out = tmp_path / f"out{suffix}"
    summary = annotate(given, out, pool=pool)
    assert summary.frames == len(probe(out).times_s) == FRAMES
    kinds = [stream["codec_type"] for stream in streams_of(out)]
    if "audio" not in kinds:
        (note,) = [note for note in summary.notes if note.startswith("the sound")]
        assert "cannot hold it" in note
        assert (suffix, codec) in LEFT_OUT or "latm" in options
    else:
        before, after = (b"".join(data for _, data in sound_of(path)) for path in (given, out))
        if codec == "aac" and source.endswith("ts"):
            assert len(sound_of(out)) == len(sound_of(given))
            assert decoded_sound(out) == decoded_sound(given)
        else:
            assert after == before


LEFT_OUT = {
    (".mp4", "adpcm_ima_wav"), (".mkv", "adpcm_ima_wav"), (".mp4", "truehd"), (".avi", "truehd"),
    (".mp4", "wmav2"), (".avi", "alac"), (".avi", "libopus"), (".avi", "pcm_s16be"),
    (".mkv", "wmav2"),
}  # fmt: skip
"""What cannot be, by FFmpeg's muxers: no such tag, or what it calls experimental."""


def test_why_sound_is_refused_is_said_as_the_library_says_it(
    silent: Path, tmp_path: Path, pool: DetectorPool
) -> None:
    given = with_sound(silent, tmp_path / "in.mkv", "truehd")
    (note,) = annotate(given, tmp_path / "out.mov", pool=pool).notes
    assert note == "the sound (truehd) is left out: MOV cannot hold it (truehd only supported in MP4.)"


def test_part_without_sound_ends_well(silent: Path, tmp_path: Path, pool: DetectorPool) -> None:
    """AC-3 that begins after the end of the part: MP4 has nothing to write into the track's header."""
    late = ("-itsoffset", "0.4", "-f", "lavfi", "-i", "sine=duration=1")
    ffmpeg("-i", silent, *late, "-map", "0", "-map", "1", "-c:v", "copy", "-c:a", "ac3", tmp_path / "in.mkv")
    summary = annotate(tmp_path / "in.mkv", tmp_path / "out.mp4", Options(end_s=0.2), pool=pool)
    assert summary.frames == len(probe(tmp_path / "out.mp4").times_s) == 5


def test_dispositions_and_languages_are_kept(silent: Path, tmp_path: Path, pool: DetectorPool) -> None:
    (tmp_path / "s.srt").write_text("1\n00:00:00,100 --> 00:00:00,300\nAh\n")
    tones = [
        part for pitch in (300, 400, 500) for part in ("-f", "lavfi", "-i", f"sine={pitch}:duration=0.5")
    ]
    subtitles = ["-i", tmp_path / "s.srt", "-i", tmp_path / "s.srt"]
    maps = [part for number in range(6) for part in ("-map", number)]
    languages = ("ger", "fre", "jpn", "eng", "spa")
    tags = [
        part
        for number, language in enumerate(languages, 1)
        for part in (f"-metadata:s:{number}", f"language={language}")
    ]
    flags = ("0", "default", "comment", "0", "forced")
    marks = [part for number, flag in enumerate(flags, 1) for part in (f"-disposition:{number}", flag)]
    source = tmp_path / "in.mkv"
    how = ("-c:v", "copy", "-c:a", "aac", "-c:s", "srt", "-default_mode", "passthrough")
    ffmpeg("-i", silent, *tones, *subtitles, *maps, *how, *tags, "-disposition:0", "0", *marks, source)
    annotate(source, tmp_path / "out.mkv", pool=pool)
    before, after = streams_of(source), streams_of(tmp_path / "out.mkv")
    assert [each["tags"].get("language") for each in before[1:]] == list(languages)
    for one, other in zip(before, after, strict=True):
        assert other["tags"].get("language") == one["tags"].get("language")
        assert other["disposition"] == one["disposition"]
    annotate(source, tmp_path / "out.mp4", pool=pool)
    sounds = [each for each in streams_of(tmp_path / "out.mp4") if each["codec_type"] == "audio"]
    assert [each["tags"]["language"] for each in sounds] == list(languages[:3])
    assert [each["disposition"]["default"] for each in sounds] == [0, 1, 0]


@pytest.mark.parametrize("suffix", [".avi", ".mkv", ".mp4"])
def test_title_that_is_no_utf_8_is_read(tmp_path: Path, pool: DetectorPool, suffix: str) -> None:
    source = write_with_latin_title(tmp_path / f"in{suffix}")
    with pytest.raises(UnicodeDecodeError):
        av.open(str(source)).close()
    assert annotate(source, tmp_path / "out.mkv", pool=pool).frames == FRAMES
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert {key.lower(): text for key, text in container.metadata.items()}["title"] == "café"


def test_camera_whose_title_is_no_utf_8_is_seen(tmp_path: Path) -> None:
    report = check_camera(CameraConfig(source=str(write_with_latin_title(tmp_path / "in.mp4"))))
    assert (report.is_ok, report.finding.startswith("160x120")) == (True, True), report
