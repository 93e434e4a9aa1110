"""Joined and spliced recordings: one time line, all frames and all sound, in step."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from detector.pool import DetectorPool
from stream_server.video import Options, annotate
from stream_server.video.input.film import FileReader
from stream_server.video.input.footage import VideoFrameItem
from tests.support.leaks import wait_until
from tests.support.needs import need
from tests.support.videos import probe, sound_of

FRAMES = 30
FRAME_S = 0.04


@pytest.fixture(scope="module")
def pool() -> Iterator[DetectorPool]:
    with DetectorPool("patches", workers=1, loader="tests.support.fakes:load_patches") as pool:
        assert wait_until(lambda: pool.idle_workers == 1, 30)
        image = np.zeros((400, 400, 3), np.uint8)
        for future in [pool.submit(image) for _ in range(16)]:  # all memory that is kept for images
            future.result(30)
        yield pool


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of 1.2 s by FFmpeg, whose clocks begin at 1.4 s, or later."""
    folder = tmp_path_factory.mktemp("recordings")
    _record(folder / "plain.ts")
    _record(folder / "large.ts", size="320x240")
    _record(folder / "mp2.mpg", "-c:v", "mpeg2video", "-c:a", "mp2")
    _record(folder / "late.ts", "-output_ts_offset", "100")
    _record(folder / "wrap.ts", "-output_ts_offset", "95441.7")  # 33 bits of 1/90000 s are over after 95443.7
    _record(folder / "mute.ts", "-an")
    return folder


def _record(out: Path, *options: str, size: str = "160x120") -> None:
    pictures = ("-f", "lavfi", "-i", f"testsrc=size={size}:rate=25:duration={FRAMES * FRAME_S}")
    sound = ("-f", "lavfi", "-i", f"sine=frequency=440:duration={FRAMES * FRAME_S}")
    codecs = ("-c:v", "libx264", "-bf", "2", "-g", "12", "-c:a", "aac")
    command = [need("ffmpeg"), "-v", "error", *pictures, *sound, *codecs, *options, str(out)]
    subprocess.run(command, check=True, timeout=60)


def _join(folder: Path, names: tuple[str, ...], out: Path) -> Path:
    out.write_bytes(b"".join((folder / name).read_bytes() for name in names))
    return out


def _sound_packets(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(packet.size > 0 for packet in container.demux(audio=0))


JOINED = [
    ("plain.ts", "plain.ts"),
    ("plain.ts", "large.ts", "plain.ts"),
    ("plain.ts", "late.ts"),
    ("late.ts", "plain.ts"),
    ("wrap.ts",),
    ("plain.ts", "wrap.ts", "late.ts"),
    ("mute.ts", "mute.ts"),
    ("mp2.mpg", "mp2.mpg"),
]


@pytest.mark.parametrize("names", JOINED, ids="+".join)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_time_goes_on_where_recordings_are_joined(
    recordings: Path, tmp_path: Path, pool: DetectorPool, suffix: str, names: tuple[str, ...]
) -> None:
    source = _join(recordings, names, tmp_path / f"in{Path(names[0]).suffix}")
    out = tmp_path / f"out{suffix}"
    summary = annotate(source, out, pool=pool)
    times_s = probe(out).times_s
    assert summary.frames == len(times_s) == FRAMES * len(names)
    gaps_s = [later - earlier for earlier, later in pairwise(times_s)]
    assert 0.9 * FRAME_S < min(gaps_s) <= max(gaps_s) < FRAME_S + 0.06  # sound may be longer by a frame of it
    if "mute.ts" not in names:
        assert len(sound_of(out)) == _sound_packets(source)
        with av.open(str(out)) as container:
            sound_s = [
                float(packet.pts * packet.time_base) for packet in container.demux(audio=0) if packet.size
            ]
        assert all(0.015 < later - earlier < 0.08 for earlier, later in pairwise(sound_s))
        assert abs(sound_s[-1] - times_s[-1]) < 0.1
    jumps = len(names) - 1
    assert any("its clock jumps" in note for note in summary.notes) == bool(jumps)


def test_pictures_and_sound_stay_in_step(recordings: Path, tmp_path: Path) -> None:
    """After the join the sound is as much before the pictures as in the recording."""
    source = _join(recordings, ("late.ts", "plain.ts"), tmp_path / "in.ts")
    shots: list[float] = []
    sounds: list[float] = []
    with FileReader(source, Options()) as film:
        for item in film.read():
            if isinstance(item, VideoFrameItem):
                shots.append(item.time_s)
            else:
                sounds.append(float((item.pts or 0) * item.time_base))
    per_file = _sound_packets(recordings / "late.ts")
    first, second = shots[0] - sounds[0], shots[FRAMES] - sounds[per_file]
    assert second == pytest.approx(first, abs=0.002)


def test_part_of_a_joined_recording_is_counted_on_the_whole(
    recordings: Path, tmp_path: Path, pool: DetectorPool
) -> None:
    source = _join(recordings, ("late.ts", "plain.ts", "plain.ts"), tmp_path / "in.ts")
    summary = annotate(source, tmp_path / "out.mp4", Options(start_s=2.0, end_s=3.0), pool=pool)
    assert 24 <= summary.frames <= 26


def test_gap_in_a_file_that_keeps_time_stays(tmp_path: Path, pool: DetectorPool) -> None:
    """A time lapse: minutes between two pictures are meant."""
    with av.open(str(tmp_path / "in.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="bgr24")
            frame.pts = number * 25 * 300
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    summary = annotate(tmp_path / "in.mp4", tmp_path / "out.mp4", pool=pool)
    assert probe(tmp_path / "out.mp4").times_s == pytest.approx([0, 300, 600], abs=0.001)
    assert summary.notes == ()
