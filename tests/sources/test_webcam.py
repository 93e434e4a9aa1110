"""Webcams: the camera's own JPEGs, what is asked for, what goes wrong, and never another camera's picture."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from stream_server.config import SourceConfig
from stream_server.errors import SourceError
from stream_server.media.frames import Picture
from stream_server.media.huffman import STANDARD_TABLES
from stream_server.media.jpeg import decode
from stream_server.sources.v4l2 import Webcams
from stream_server.sources.webcam import WebcamSource
from tests.support.cameras.webcam import Bench, FakeWebcam, jpeg_of, sees_fake_webcams
from tests.support.patience import soon
from tests.support.pictures import without_tables


@contextmanager
def opened(bench: Bench, source: str = "0", **settings: object) -> Iterator[WebcamSource]:
    config = SourceConfig.model_validate({"source": source, "read_timeout_s": 5, **settings})
    webcam = WebcamSource(config, bench.webcams)
    try:
        webcam.open()
        yield webcam
    finally:
        webcam.close()


def next_picture(source: WebcamSource) -> Picture:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if picture := source.read():
            return picture
    raise AssertionError("no picture in 20 s")


def read_on(source: WebcamSource) -> None:
    """Read until the source raises."""
    while True:
        source.read()


def refusal(bench: Bench, source: str = "0") -> str:
    """Return why it cannot be opened."""
    with pytest.raises(SourceError) as caught, opened(bench, source):
        pass
    return caught.value.reason


def test_without_webcams_none_is_found(tmp_path: Path) -> None:
    assert Bench(tmp_path).webcams.find() == []
    assert Webcams(tmp_path / "none", tmp_path / "none").find() == []


@sees_fake_webcams
def test_webcams_are_found_by_number_with_name_and_lasting_path(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    FakeWebcam(bench, name="Tenth", serial="X1").plug(10)
    FakeWebcam(bench, name="Second", port="1-2").plug(2)
    FakeWebcam(bench, name="Metadata", port="1-3").plug(3).set("meta")
    FakeWebcam(bench, name="Locked", port="1-4").plug(4).set("denied")
    found = bench.webcams.find()
    assert [(Path(webcam.path).name, webcam.name) for webcam in found] == [
        ("video2", "Second"),
        ("video10", "Tenth"),
    ]
    assert found[1].by_id == str(bench.dev / "v4l/by-id/usb-Tenth-X1-video-index0")


@sees_fake_webcams
def test_jpegs_pass_through_untouched(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    jpegs = [jpeg_of(brightness) for brightness in (40, 120, 200)]
    FakeWebcam(bench, frames=jpegs).plug(0)
    with opened(bench) as source:
        pictures = [next_picture(source) for _ in range(6)]
        assert source.size_wh == (64, 48)
        assert source.description == "MJPEG from a webcam"
    assert all(picture.jpeg in jpegs for picture in pictures)
    assert len({picture.jpeg for picture in pictures}) == 3
    assert pictures[0].size_wh == (64, 48)
    assert np.array_equal(pictures[0].image, decode(pictures[0].jpeg or b""))


@sees_fake_webcams
def test_padding_after_a_jpeg_is_cut_off(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    FakeWebcam(bench, frames=[jpeg_of(40) + bytes(500)]).plug(0)
    with opened(bench) as source:
        assert next_picture(source).jpeg == jpeg_of(40)


@sees_fake_webcams
def test_jpegs_without_huffman_tables_get_them(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    FakeWebcam(bench, frames=[without_tables(jpeg_of(120))]).plug(0)
    with opened(bench) as source:
        picture = next_picture(source)
    assert abs(float(picture.image.mean()) - 120) < 2
    assert STANDARD_TABLES in (picture.jpeg or b"")


@sees_fake_webcams
def test_broken_jpegs_are_passed_over_and_counted(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    FakeWebcam(bench, frames=[b"", b"\xff\xd8\xff", b"no JPEG\xff\xd9", jpeg_of(120)]).plug(0)
    with opened(bench) as source:
        pictures = [next_picture(source) for _ in range(2)]
        assert source.decode_errors >= 3
    assert all(picture.jpeg == jpeg_of(120) for picture in pictures)


@sees_fake_webcams
def test_raw_video_is_taken_where_there_are_no_jpegs(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    white_and_black = np.zeros((48, 64, 2), np.uint8)
    white_and_black[:, :, 1] = 128
    white_and_black[:24, :, 0] = 255
    FakeWebcam(bench, config="YUYV 64 48 50", frames=[white_and_black.tobytes()]).plug(0)
    with opened(bench) as source:
        picture = next_picture(source)
        assert source.description == "raw video from a webcam"
    assert picture.jpeg is None
    assert picture.size_wh == (64, 48)
    assert picture.image[:24].mean() > 250
    assert picture.image[24:].mean() < 5


@sees_fake_webcams
def test_size_and_rate_are_asked_for(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    webcam = FakeWebcam(bench).plug(0)
    wishes: list[tuple[dict[str, object], tuple[int, int]]] = [
        ({}, (1280, 720)),
        ({"width": 800, "height": 600}, (800, 600)),
        ({"width": 640}, (640, 360)),
        ({"height": 480}, (853, 480)),
    ]
    for settings, size in wishes:
        with opened(bench, "0", fps=15, **settings):
            assert webcam.asked_for("size") == size
            assert webcam.asked_for("rate") == (15, 1)


@sees_fake_webcams
def test_nothing_is_decoded_or_copied_while_nobody_looks(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    FakeWebcam(bench).plug(0)
    with opened(bench) as source:
        assert [source.read(wanted=False) for _ in range(5)] == [None] * 5
        assert next_picture(source)


@sees_fake_webcams
def test_a_frozen_webcam_is_lost_after_the_read_timeout(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    webcam = FakeWebcam(bench).plug(0)
    with opened(bench, read_timeout_s=1) as source:
        next_picture(source)
        webcam.set("frozen")
        with soon(at_least_s=0.9), pytest.raises(SourceError, match=r"^no picture for 1 s$"):
            read_on(source)


@sees_fake_webcams
def test_interrupt_ends_a_wait(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    webcam = FakeWebcam(bench).plug(0)
    with opened(bench, read_timeout_s=60) as source:
        next_picture(source)
        webcam.set("frozen")
        timer = threading.Timer(0.2, source.interrupt)
        timer.start()
        with soon(), pytest.raises(SourceError, match=r"^interrupted$"):
            read_on(source)
        timer.join()


@sees_fake_webcams
def test_an_unplugged_webcam_is_noticed_at_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    webcam = FakeWebcam(bench, serial="A").plug(0)
    with opened(bench) as source:
        next_picture(source)
        webcam.unplug()
        with soon(), pytest.raises(SourceError, match=r"^HD Webcam is unplugged$"):
            read_on(source)


@sees_fake_webcams
def test_a_device_node_that_outlives_its_webcam_is_unplugged_too(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    webcam = FakeWebcam(bench, serial="A").plug(0)
    with opened(bench) as source:
        next_picture(source)
        webcam.set("gone")
        with pytest.raises(SourceError, match=r"^HD Webcam is unplugged$"):
            read_on(source)
    assert refusal(bench) == "HD Webcam is unplugged"
    webcam.set("gone", on=False)
    with opened(bench) as source:
        assert next_picture(source)


@sees_fake_webcams
def test_the_same_webcam_is_found_under_another_number_and_port(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    ours = FakeWebcam(bench, serial="ours", frames=[jpeg_of(200)]).plug(0)
    with opened(bench) as source:
        next_picture(source)
    ours.unplug()
    FakeWebcam(bench, serial="other", port="1-7", frames=[jpeg_of(40)]).plug(0)
    ours.plug(2, port="2-4")
    with opened(bench) as source:
        assert next_picture(source).jpeg == jpeg_of(200)


@sees_fake_webcams
def test_another_webcam_at_its_number_is_never_taken(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    ours = FakeWebcam(bench, serial="ours").plug(0)
    with opened(bench):
        pass
    ours.unplug()
    other = FakeWebcam(bench, serial="other", port="1-7").plug(0)
    assert refusal(bench) == "HD Webcam is unplugged"
    other.unplug()
    without_serial = FakeWebcam(bench, port="1-1").plug(0)
    assert refusal(bench) == "HD Webcam is unplugged"
    without_serial.unplug()


@sees_fake_webcams
def test_twins_without_serial_are_told_apart_by_their_port(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    left = FakeWebcam(bench, port="1-1", frames=[jpeg_of(40)]).plug(0)
    right = FakeWebcam(bench, port="1-2", frames=[jpeg_of(200)]).plug(1)
    for source, brightness in (("0", 40), ("1", 200)):
        with opened(bench, source) as webcam:
            assert next_picture(webcam).jpeg == jpeg_of(brightness)
    left.unplug()
    right.unplug()
    right.plug(0)
    assert "known by its USB port" in refusal(bench, "0")
    with opened(bench, "1") as webcam:
        assert next_picture(webcam).jpeg == jpeg_of(200)


@sees_fake_webcams
def test_lasting_paths_open_what_they_point_at(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    FakeWebcam(bench, name="Door", serial="S", frames=[jpeg_of(200)]).plug(3)
    with opened(bench, "/dev/v4l/by-id/usb-Door-S-video-index0") as source:
        assert next_picture(source).jpeg == jpeg_of(200)


@sees_fake_webcams
def test_refusals_say_what_to_do(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert refusal(bench) == "there is no webcam /dev/video0; found: none"
    webcam = FakeWebcam(bench, name="Desk").plug(1)
    assert re.fullmatch(r"there is no webcam /dev/video0; found: .*/video1 \(Desk\)", refusal(bench))
    webcam.set("denied")
    assert re.fullmatch(r"no permission to open .*/video1: .*group video", refusal(bench, "1"))
    webcam.set("denied", on=False)
    webcam.set("busy")
    assert re.fullmatch(r".*/video1 is in use by another program", refusal(bench, "1"))
    with webcam.device.open("rb+", buffering=0):  # who has it open is named
        assert refusal(bench, "1").endswith("/video1 is in use by another camera of this server")
    webcam.set("busy", on=False)
    webcam.set("meta")
    assert re.fullmatch(r".*/video1 is no camera", refusal(bench, "1"))
    webcam.set("meta", on=False)
    with opened(bench, "1") as source:
        assert next_picture(source)
