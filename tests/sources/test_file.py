"""Video files as cameras: every container, pace, ends, damage, colours, and what is refused."""

from __future__ import annotations

import itertools
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from detector.detections import BGRImage
from stream_server.config import SourceConfig
from stream_server.errors import SourceEnded, SourceError
from stream_server.media.encode import encode_jpeg
from stream_server.media.frames import Picture
from stream_server.sources import open_source
from stream_server.sources.file import FileSource
from tests.support.cameras.videofile import number_of, turn_clockwise, write_numbered, write_video
from tests.support.needs import need
from tests.support.patience import soon
from tests.support.sources import plain


def file_source(path: Path, **settings: object) -> FileSource:
    source = open_source(SourceConfig.model_validate({"source": str(path), **settings}))
    assert isinstance(source, FileSource)
    return source


@contextmanager
def opened(path: Path, **settings: object) -> Iterator[FileSource]:
    source = file_source(path, **settings)
    source.open()
    try:
        yield source
    finally:
        source.close()


def next_picture(source: FileSource, *, wanted: bool = True, limit_s: float = 20) -> Picture:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if picture := source.read(wanted):
            return picture
    raise AssertionError(f"no picture in {limit_s} s")


def play(path: Path, **settings: object) -> list[BGRImage]:
    """Return all pictures of the file, played once and as fast as possible."""
    images = []
    with opened(path, at_end="stop", realtime=False, **settings) as source:
        while True:
            try:
                images.append(next_picture(source).image)
            except SourceEnded:
                return images


@pytest.mark.parametrize(
    ("suffix", "codec", "pixel_format"),
    [
        (".mp4", "libx264", "yuv420p"),
        (".m4v", "libx264", "yuv420p"),
        (".mov", "libx264", "yuv422p"),
        (".mkv", "libx265", "yuv420p"),
        (".webm", "libvpx-vp9", "yuv420p"),
        (".avi", "mpeg4", "yuv420p"),
        (".avi", "mjpeg", "yuvj422p"),
        (".ts", "libx264", "yuv420p"),
        (".mpg", "mpeg2video", "yuv420p"),
        (".mjpeg", "mjpeg", "yuvj420p"),
    ],
)
def test_every_container_plays_each_frame_once(
    tmp_path: Path, suffix: str, codec: str, pixel_format: str
) -> None:
    path = write_numbered(tmp_path / f"video{suffix}", 20, codec=codec, pixel_format=pixel_format)
    images = play(path)
    assert [number_of(image) for image in images] == list(range(20))
    assert all(image.shape == (48, 64, 3) for image in images)


def test_one_frame_is_a_video(tmp_path: Path) -> None:
    assert len(play(write_numbered(tmp_path / "one.mp4", 1))) == 1


def test_source_says_what_it_found(tmp_path: Path) -> None:
    with opened(write_numbered(tmp_path / "a.mp4", 2, size_wh=(322, 242))) as source:
        assert source.size_wh == (322, 242)
        assert source.description == "H.264 file"


@pytest.mark.parametrize("size_wh", [(64, 48), (66, 50), (322, 242), (65, 49)])
def test_odd_sizes_come_whole_and_contiguous(tmp_path: Path, size_wh: tuple[int, int]) -> None:
    image = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    image[:, size_wh[0] // 2 :] = 255
    decoded = play(write_video(tmp_path / "odd.mkv", [image], pixel_format="yuv444p"))[0]
    assert decoded.shape == image.shape
    assert decoded.flags.c_contiguous
    assert np.abs(decoded.astype(int) - image).mean() < 6


@pytest.mark.parametrize(
    ("pixel_format", "codec", "size_wh", "colour_space"),
    [
        ("yuv420p", "libx264", (64, 48), "smpte170m"),
        ("yuv420p", "libx264", (64, 48), "bt709"),
        ("yuvj420p", "mjpeg", (64, 48), ""),
        ("yuvj420p", "libx264", (64, 48), "smpte170m"),
        ("yuvj420p", "libx264", (64, 48), "bt709"),
        ("yuv420p-full", "libvpx-vp9", (64, 48), "smpte170m"),
    ],
)
def test_colours_are_those_of_the_tagged_range_and_matrix(
    tmp_path: Path, pixel_format: str, codec: str, size_wh: tuple[int, int], colour_space: str
) -> None:
    path = tmp_path / "colour.mkv"
    for bgr in ((0, 0, 255), (0, 255, 0), (255, 0, 0), (70, 70, 70), (190, 190, 190), (60, 120, 180)):
        write_tagged_colour(path, bgr, pixel_format, codec, size_wh, colour_space)
        decoded = play(path)[0].reshape(-1, 3).mean(axis=0)
        assert np.abs(decoded - bgr).max() < 6, (bgr, decoded)


def write_tagged_colour(
    path: Path,
    bgr: tuple[int, int, int],
    pixel_format: str,
    codec: str,
    size_wh: tuple[int, int],
    colour_space: str,
) -> None:
    """Write one frame of one colour, its YUV computed by the formula of ITU-R BT.601 or BT.709."""
    import av

    red_share, blue_share = (0.2126, 0.0722) if colour_space == "bt709" else (0.299, 0.114)
    blue, green, red = (value / 255 for value in bgr)
    luma = red_share * red + (1 - red_share - blue_share) * green + blue_share * blue
    chroma = (blue - luma) / (2 - 2 * blue_share), (red - luma) / (2 - 2 * red_share)
    is_full = pixel_format != "yuv420p"
    y = 255 * luma if is_full else 16 + 219 * luma
    u, v = (128 + (255 if is_full else 224) * value for value in chroma)
    width, height = size_wh
    planes = np.empty((height * 3 // 2, width), np.uint8)
    planes[:height] = min(round(y), 255)
    planes[height : height * 5 // 4] = min(round(u), 255)
    planes[height * 5 // 4 :] = min(round(v), 255)
    with av.open(str(path), "w") as container:
        options = {"qp": "4", "x264-params": f"colormatrix={colour_space}"} if codec == "libx264" else {}
        stream = container.add_stream(codec, rate=25, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = size_wh
        stream.pix_fmt = pixel_format.removesuffix("-full")
        stream.codec_context.color_range = 2 if is_full else 1
        frame = av.VideoFrame.from_ndarray(planes, format=stream.pix_fmt)
        frame.color_range = stream.codec_context.color_range
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def test_phone_videos_come_upright(tmp_path: Path) -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    image[:16, :16] = 255  # the corner at the top left is at the top right after a turn to the right
    path = write_video(tmp_path / "portrait.mp4", [image])
    turn_clockwise(path, height=48)
    with opened(path) as source:
        picture = next_picture(source)
    assert picture.size_wh == (48, 64)
    assert picture.image.shape == (64, 48, 3)
    assert picture.image[:12, -12:].mean() > 230
    assert picture.image[:12, :12].mean() < 20


def test_realtime_plays_at_the_files_own_pace(tmp_path: Path) -> None:
    with opened(write_numbered(tmp_path / "a.mp4", 26, fps=50), at_end="stop") as source:
        shown_at = [time.monotonic() for _ in range(26) if next_picture(source)]
    assert shown_at[-1] - shown_at[0] > 0.46
    assert np.median(np.diff(shown_at)) < 2 / 50


def test_without_realtime_it_plays_as_fast_as_it_can(tmp_path: Path) -> None:
    with soon():
        assert len(play(write_video(tmp_path / "a.mp4", [plain(90)] * 60, fps=1))) == 60


def test_loop_has_no_seam(tmp_path: Path) -> None:
    with opened(write_numbered(tmp_path / "a.mp4", 10)) as source:
        shown = [(number_of(next_picture(source).image), time.monotonic()) for _ in range(25)]
    assert [number for number, _ in shown] == [n % 10 for n in range(25)]
    gaps = [after[1] - before[1] for before, after in itertools.pairwise(shown)]
    assert sum(gaps) > 0.9 * 24 * 0.04
    seams = [gaps[number] for number in (9, 19)]
    assert min(seams) < 4 * max(np.median(gaps), 0.04)


def test_hold_shows_the_last_picture_again_and_again(tmp_path: Path) -> None:
    with opened(write_numbered(tmp_path / "a.mp4", 3), at_end="hold") as source:
        shown = [number_of(next_picture(source, wanted=False).image) for _ in range(5)]
    assert shown == [0, 1, 2, 2, 2]


def test_stop_ends_after_the_last_frame_and_stays_ended(tmp_path: Path) -> None:
    with opened(write_numbered(tmp_path / "a.mp4", 7, fps=100), at_end="stop") as source:
        for _ in range(7):
            next_picture(source)
        for _ in range(2):
            with pytest.raises(SourceEnded, match=r"a\.mp4 has ended"):
                next_picture(source)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_file_cut_off_plays_what_is_there(tmp_path: Path, share: float) -> None:
    whole = write_numbered(tmp_path / "whole.ts", 25, size_wh=(640, 480))
    cut = tmp_path / "cut.ts"
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
    numbers = [number_of(image) for image in play(cut)]
    assert numbers[0] == 0
    assert numbers == sorted(set(numbers))
    assert 25 * share - 8 <= len(numbers) <= 25  # frames that depend on what is cut off are lost with it


def test_a_file_replaced_while_it_plays_is_opened_anew_at_the_loop(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "a.mp4", 3)
    replacement = write_numbered(tmp_path / "b.mp4", 3, size_wh=(128, 96))
    with opened(path, realtime=False) as source:
        next_picture(source)
        os.replace(replacement, path)
        sizes = [next_picture(source).size_wh for _ in range(4)]
    assert sizes == [(64, 48), (64, 48), (128, 96), (128, 96)]


def test_a_file_that_vanished_is_a_source_error_at_the_loop(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "a.mp4", 3)
    with opened(path, realtime=False) as source:
        next_picture(source)
        path.unlink()
        next_picture(source)
        next_picture(source)
        with pytest.raises(SourceError, match="no such file"):
            next_picture(source)


def test_the_picture_is_there_at_once_when_someone_looks_later(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "a.mp4", 25, fps=100, options={"g": "250"})  # type: ignore[arg-type]
    with opened(path) as source:
        next_picture(source)
        for _ in range(9):
            assert source.read(wanted=False) is None
        assert number_of(next_picture(source).image) in (9, 10, 11, 12)  # reordering delays by up to 2 frames


def test_pictures_outlive_their_source(tmp_path: Path) -> None:
    with opened(write_numbered(tmp_path / "a.mp4", 25, size_wh=(640, 480)), realtime=False) as source:
        pictures = [next_picture(source) for _ in range(25)]
    assert [number_of(picture.image) for picture in pictures] == list(range(25))


def test_interrupt_ends_a_wait(tmp_path: Path) -> None:
    with opened(write_numbered(tmp_path / "slow.mp4", 2, fps=1)) as source:
        next_picture(source)
        timer = threading.Timer(0.05, source.interrupt)
        timer.start()
        with soon(), pytest.raises(SourceError, match=r"^interrupted$"):
            source.read()
        timer.join()


def test_close_may_come_twice_and_before_open(tmp_path: Path) -> None:
    source = file_source(write_numbered(tmp_path / "a.mp4", 1))
    source.close()
    source.open()
    source.close()
    source.close()


CANARY = "canary-7fQ2"


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file that no video may lead to: a real video, so that following a trick would show pictures."""
    return write_numbered(tmp_path / f"{CANARY}.ts", 5)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.ts", "a.mpg", "a.mjpeg"])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{canary}\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1,\nfile://{canary}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{canary}'\n",
        "v=0\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        '<?xml version="1.0"?><MPD type="static"><Period><AdaptationSet mimeType="video/mp2t">'
        "<Representation><BaseURL>{canary}</BaseURL></Representation></AdaptationSet></Period></MPD>",
        "garbage" * 1000,
    ],
    ids=["empty", "hls", "hls-file", "concat", "sdp", "dash", "garbage"],
)
def test_what_only_pretends_to_be_a_video_is_refused(
    tmp_path: Path, canary: Path, name: str, text: str
) -> None:
    path = tmp_path / name
    path.write_text(text.format(canary=canary))
    with pytest.raises(SourceError) as caught:
        play(path)
    assert not isinstance(caught.value, SourceEnded)
    assert str(path) in caught.value.reason
    assert "\n" not in caught.value.reason


@pytest.mark.parametrize("trick", ["subfile,,start,0,end,0,,:{canary}", "concat,{canary}|{canary}.ts"])
def test_a_name_is_never_taken_for_a_protocol(
    tmp_path: Path, canary: Path, trick: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((SourceError, ValueError), match=r"no such file|expected"):
        play(Path(trick.format(canary=canary.name)))


def test_awkward_names_are_plain_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_numbered(tmp_path / "a.mp4", 2)
    awkward = path.rename(tmp_path / "50% of #1? (a|b),c %03d.mp4")
    assert len(play(awkward)) == 2
    monkeypatch.chdir(tmp_path)
    assert len(play(Path(awkward.name))) == 2


def test_the_suffix_says_what_a_file_has_to_be(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "a.ts", 20).rename(tmp_path / "a.avi")
    with pytest.raises(SourceError, match=r"cannot play .*a\.avi: damaged, incomplete, or no avi video"):
        play(path)


def test_unusable_paths_say_why(tmp_path: Path) -> None:
    folder = tmp_path / "folder.mp4"
    folder.mkdir()
    with pytest.raises(SourceError, match=r"folder\.mp4: "):
        file_source(folder).open()
    with pytest.raises(SourceError, match=r"cannot open .*missing\.mp4: no such file or directory"):
        file_source(tmp_path / "missing.mp4").open()


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.ts")
    with pytest.raises(SourceError, match="not a file"):
        file_source(tmp_path / "pipe.ts").open()


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    import av

    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(SourceError, match="it carries no video"):
        file_source(path).open()


def test_codecs_off_the_list_are_refused(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "raw.avi", 2, codec="rawvideo")
    with pytest.raises(SourceError, match=r"codec rawvideo is not supported; expected H\.264"):
        file_source(path).open()


# The shape of the picture.


@pytest.mark.parametrize(
    ("aspect", "size_wh", "shown_wh"),
    [
        (Fraction(32, 27), (720, 480), (853, 480)),
        (Fraction(8, 9), (720, 480), (720, 540)),
        (Fraction(16, 15), (720, 576), (768, 576)),
        (Fraction(1, 2), (704, 240), (704, 480)),
        (Fraction(1), (640, 480), (640, 480)),
        (Fraction(136, 135), (640, 480), (640, 480)),  # nobody sees that
        (Fraction(9), (320, 240), (320, 240)),  # a mistake
    ],
)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi"])
def test_pictures_have_the_shape_that_players_show(
    tmp_path: Path, suffix: str, aspect: Fraction, size_wh: tuple[int, int], shown_wh: tuple[int, int]
) -> None:
    image = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    image[: size_wh[1] // 2, : size_wh[0] // 2] = 255
    with opened(write_video(tmp_path / f"a{suffix}", [image] * 2, aspect=aspect)) as source:
        assert source.size_wh == shown_wh
        picture = next_picture(source)
    width, height = shown_wh
    assert picture.size_wh == shown_wh == picture.image.shape[1::-1]
    assert picture.image[: height // 2 - 8, : width // 2 - 8].min() > 230
    assert picture.image[height // 2 + 8 :].max() < 30
    assert picture.image[:, width // 2 + 8 :].max() < 30


def test_containers_word_on_the_shape_goes_over_the_streams(tmp_path: Path) -> None:
    plain, wide = write_numbered(tmp_path / "plain.mp4", 2, size_wh=(360, 240)), tmp_path / "wide.mp4"
    command = [need("ffmpeg"), "-v", "error", "-i", str(plain), "-c", "copy", "-aspect", "16:9", str(wide)]
    subprocess.run(command, check=True, timeout=30)
    with opened(wide) as source:
        assert next_picture(source).size_wh == (427, 240)


def test_pixel_shape_and_turn_go_together(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [np.zeros((240, 360, 3), np.uint8)], aspect=Fraction(32, 27))
    turn_clockwise(path, height=240)
    with opened(path) as source:
        assert next_picture(source).size_wh == (240, 427)


@pytest.mark.parametrize("largest", [0, 1, 2])
def test_largest_of_several_videos_is_shown(tmp_path: Path, largest: int) -> None:
    path = tmp_path / "several.mkv"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", rate=25) for _ in range(3)]
        for number, stream in enumerate(streams):
            stream.width, stream.height = (128, 96) if number == largest else (64, 48)
            stream.pix_fmt = "yuv420p"
        for number, stream in enumerate(streams):
            image = np.full((stream.height, stream.width, 3), 60 + 60 * number, np.uint8)
            for packet in (
                *stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")),
                *stream.encode(),
            ):
                container.mux(packet)
    picture = play(path)[0]
    assert picture.shape == (96, 128, 3)
    assert abs(float(picture.mean()) - (60 + 60 * largest)) < 5


def test_cover_picture_is_no_video_however_large(tmp_path: Path) -> None:
    film, cover, out = write_numbered(tmp_path / "film.mp4", 3), tmp_path / "cover.jpg", tmp_path / "out.mp4"
    cover.write_bytes(encode_jpeg(np.zeros((600, 800, 3), np.uint8), 80))
    command = [need("ffmpeg"), "-v", "error", "-i", str(film), "-i", str(cover), "-map", "1", "-map", "0"]
    subprocess.run(
        [*command, "-c", "copy", "-disposition:v:0", "attached_pic", str(out)], check=True, timeout=30
    )
    assert [image.shape for image in play(out)] == [(48, 64, 3)] * 3
