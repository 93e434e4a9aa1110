"""What is remembered of a camera's last minutes."""

from __future__ import annotations

import numpy as np
import pytest

from detector.detections import Detections
from stream_server.cameras.history import KEPT_S, STEP_S, History
from stream_server.detection.camera_detector import FrameDetections
from stream_server.detection.tracking import Tracker
from stream_server.media.frames import Frame
from tests.support.leaks import wait_until
from tests.support.server import NO_DETECTOR, SMALL_DEMO, Server


def _analysis(*class_ids: int, latency_s: float = 0.1) -> FrameDetections:
    count = len(class_ids)
    found = Detections(
        np.zeros((count, 4), np.float32), np.ones(count, np.float32), np.array(class_ids, np.int64)
    )
    frame = Frame(np.zeros((2, 2, 3), np.uint8), "front", 1, 0.0)
    return FrameDetections(frame, found, Tracker().followed(), latency_s)


def test_step_in_which_nothing_happens_is_a_sample_too() -> None:
    history = History(now=100.0)
    assert history.samples == ()
    assert not history.is_due(101.9)
    assert history.is_due(102.0)
    history.note(102.0, fps=0.0, detection_fps=0.0)
    (sample,) = history.samples
    assert (sample.at, sample.latency_s, sample.objects) == (102.0, None, {})
    assert not history.is_due(103.9)


def test_sample_has_the_most_of_each_class_and_the_mean_latency() -> None:
    history = History(now=0.0)
    history.found(_analysis(0, 0, 16, latency_s=0.1))
    history.found(_analysis(0, 2, latency_s=0.3))
    history.note(2.0, fps=25.0, detection_fps=5.0)
    history.note(4.0, fps=24.0, detection_fps=0.0)
    first, second = history.samples
    assert dict(first.objects) == {0: 2, 2: 1, 16: 1}
    assert first.latency_s == pytest.approx(0.2)
    assert (first.fps, first.detection_fps) == (25.0, 5.0)
    assert dict(second.objects) == {}


def test_oldest_are_forgotten() -> None:
    history = History(now=0.0)
    steps = round(KEPT_S / STEP_S)
    for step in range(1, steps + 50):
        history.note(step * STEP_S, fps=1.0, detection_fps=0.0)
    samples = history.samples
    assert len(samples) == steps
    assert samples[-1].at - samples[0].at == KEPT_S - STEP_S


def test_late_step_does_not_make_the_next_ones_come_at_once() -> None:
    history = History(now=0.0)
    history.note(61.0, fps=1.0, detection_fps=0.0)
    history.note(61.1, fps=1.0, detection_fps=0.0)
    assert not history.is_due(62.9)


def test_history_of_a_camera_is_told_and_goes_on() -> None:
    with Server(*SMALL_DEMO, *NO_DETECTOR) as server:
        path = "/api/v1/cameras/demo/history"
        assert wait_until(lambda: len(server.get(path).json["samples"]) >= 2)
        told = server.get(path).json
        assert (told["camera"], told["step_s"], told["kept_s"]) == ("demo", STEP_S, KEPT_S)
        first, second = told["samples"][:2]
        assert first["at"] < second["at"]
        assert (second["latency_ms"], second["objects"]) == (None, {})
        newer = server.get(f"{path}?since={first['at']}").json["samples"]
        assert newer[0]["at"][:22] == second["at"][:22]
        refused = server.get(f"{path}?since=yesterday")
        assert refused.status == 400
        assert "since" in refused.text
        assert server.get("/api/v1/cameras/other/history").status == 404
