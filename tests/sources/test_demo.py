"""The demo camera: same picture for the same number, the size and rate asked for, and things to detect."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
import pytest

from detector import load_detector
from stream_server.config import SourceConfig
from stream_server.errors import SourceError
from stream_server.sources import open_source
from stream_server.sources.demo import DemoScene, DemoSource
from tests.support.patience import soon


@contextmanager
def opened(**settings: object) -> Iterator[DemoSource]:
    source = open_source(SourceConfig.model_validate({"source": "demo:", **settings}))
    assert isinstance(source, DemoSource)
    source.open()
    try:
        yield source
    finally:
        source.close()


@pytest.mark.parametrize(
    ("settings", "size_wh"),
    [
        ({}, (1280, 720)),
        ({"width": 640}, (640, 360)),
        ({"height": 480}, (853, 480)),
        ({"width": 16, "height": 16}, (16, 16)),
        ({"width": 333, "height": 777}, (333, 777)),
    ],
)
def test_pictures_have_the_size_asked_for(settings: dict[str, int], size_wh: tuple[int, int]) -> None:
    with opened(**settings) as source:
        picture = source.read()
        assert picture is not None
        assert source.size_wh == picture.size_wh == size_wh
        assert picture.image.shape == (size_wh[1], size_wh[0], 3)
        assert picture.image.dtype == np.uint8
        assert picture.image.flags.c_contiguous


def test_a_frame_depends_on_its_number_alone() -> None:
    forwards, backwards = DemoScene((320, 180), 25), DemoScene((320, 180), 25)
    images = [forwards.frame(n) for n in range(0, 50, 10)]
    assert all(np.array_equal(backwards.frame(n), images[n // 10]) for n in reversed(range(0, 50, 10)))


def test_the_scene_moves() -> None:
    scene = DemoScene((1280, 720), 25)
    assert np.mean(cv2.absdiff(scene.frame(0), scene.frame(12))) > 1


def test_frames_come_at_the_rate_asked_for() -> None:
    with opened(fps=50, width=64, height=36) as source:
        shown_at = [time.monotonic() for _ in range(26) if source.read()]
    assert len(shown_at) == 26
    assert shown_at[-1] - shown_at[0] > 0.47
    assert np.median(np.diff(shown_at)) < 2 / 50


def test_nothing_is_drawn_while_nobody_looks() -> None:
    with opened(fps=100) as source:
        assert source.read(wanted=False) is None


def test_interrupt_ends_a_wait() -> None:
    with opened(fps=0.1) as source:
        source.read()
        timer = threading.Timer(0.05, source.interrupt)
        timer.start()
        with soon(), pytest.raises(SourceError, match=r"^interrupted$"):
            source.read()
        timer.join()


def test_the_bundled_model_finds_the_person_and_the_cat() -> None:
    scene = DemoScene((1280, 720), 25)
    detector = load_detector("centernet-mobilenetv3")
    numbers = range(0, 2000, 250)
    found = [detector.detect(scene.frame(n), score_threshold=0.4) for n in numbers]
    labels = [{detector.labels[int(class_id)] for class_id in detections.class_ids} for detections in found]
    assert sum("person" in seen for seen in labels) >= 0.9 * len(numbers)
    assert sum("cat" in seen for seen in labels) >= 0.9 * len(numbers)
