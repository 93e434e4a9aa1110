"""What a camera's configuration makes of what is found: regions, thresholds, tiles, still pictures."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from detector.detections import BGRImage
from detector.pool import DetectorPool
from stream_server.detection import motion
from stream_server.detection.camera_detector import FrameDetections
from stream_server.errors import ImageError
from stream_server.media.frames import Picture
from stream_server.pipeline import Pipeline
from stream_server.streaming.streams import Variant
from tests.support.leaks import wait_until
from tests.support.sources import ScriptedSource, plain, raw_picture
from tests.test_pipeline import WITHIN_S, becomes, running

SIZE_WH = (640, 360)
PERSON, CAR, CAT = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.fixture(scope="module")
def pool() -> Iterator[DetectorPool]:
    with DetectorPool("patches", workers=1, loader="tests.support.fakes:load_patches") as started:
        started.wait_ready(20)
        for answer in [started.submit(plain(0, SIZE_WH)) for _ in range(4)]:
            answer.result(WITHIN_S)  # its memory is there from now on
        yield started


@pytest.fixture
def source() -> ScriptedSource:
    return ScriptedSource()


def scene(*patches: tuple[tuple[int, int, int], int, int], side: int = 60) -> BGRImage:
    """Return a picture with patches of a colour at an upper left corner."""
    image = plain(90, SIZE_WH)
    for colour, x, y in patches:
        image[y : y + side, x : x + side] = colour
    return image


def analysis_of(pipeline: Pipeline, source: ScriptedSource, image: BGRImage) -> FrameDetections:
    """Show the camera a picture, again where nobody had time for it, and return what is said about it.

    Earlier pictures may still be on their way: an answer is told by the very image it is about.
    """
    before = pipeline.analysis.frame.sequence if pipeline.analysis else 0

    def is_analysed() -> bool:
        frame = pipeline.analysis.frame if pipeline.analysis else None
        return frame is not None and frame.image is image and frame.sequence > before

    for _ in range(100):
        source.emit(raw_picture(image))
        if wait_until(is_analysed, WITHIN_S / 100):
            break
    assert is_analysed()
    assert pipeline.analysis is not None
    return pipeline.analysis


def classes(analysis: FrameDetections) -> Counter[int]:
    return Counter(analysis.detections.class_ids.tolist())


def test_objects_count_in_the_cameras_regions_only(source: ScriptedSource, pool: DetectorPool) -> None:
    lower_half = [[0, 0.5], [1, 0.5], [1, 1], [0, 1]]
    left_edge = [[0, 0], [0.2, 0], [0.2, 1], [0, 1]]
    detect = {"fps": 100, "inside": [lower_half], "ignore": [left_edge]}
    with running(source, pool, detect=detect) as pipeline:
        analysis = analysis_of(
            pipeline, source, scene((PERSON, 300, 20), (PERSON, 300, 200), (PERSON, 10, 200))
        )
        assert analysis.detections.boxes == pytest.approx(np.array([[300, 200, 360, 260]]))
        assert len(pipeline.objects()) == 1


def test_objects_too_small_for_the_camera_do_not_count(source: ScriptedSource, pool: DetectorPool) -> None:
    with running(source, pool, detect={"fps": 100, "min_height": 0.2}) as pipeline:
        assert not classes(analysis_of(pipeline, source, scene((CAR, 10, 200))))
        assert classes(analysis_of(pipeline, source, scene((CAR, 10, 200), side=80)))


def test_a_class_may_need_a_higher_score(source: ScriptedSource, pool: DetectorPool) -> None:
    with running(source, pool, detect={"fps": 100, "score_thresholds": {"car": 0.95}}) as pipeline:
        analysis = analysis_of(pipeline, source, scene((PERSON, 10, 10), (CAR, 200, 10), (CAT, 400, 10)))
        assert classes(analysis) == {0: 1, 2: 1}


def test_tiles_show_what_is_too_small_in_the_whole_picture(
    source: ScriptedSource, pool: DetectorPool
) -> None:
    image = scene((PERSON, 310, 170), (PERSON, 30, 30), side=24)
    with running(other := ScriptedSource(), pool, detect={"fps": 100}) as whole:
        assert not classes(analysis_of(whole, other, image))
    with running(source, pool, detect={"fps": 100, "tiles": "2x2"}) as tiled:
        analysis = analysis_of(tiled, source, image)
        boxes = analysis.detections.boxes[np.argsort(analysis.detections.boxes[:, 0])]
        assert boxes == pytest.approx(np.array([[30, 30, 54, 54], [310, 170, 334, 194]]))


@pytest.fixture
def quick_gate(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Let the gate close soon after the last motion."""
    monkeypatch.setattr(motion, "HOLD_S", 0.05)
    return {"fps": 100, "motion": {"gate": True, "refresh_s": 600}}


def _inferences(pool: DetectorPool) -> int:
    return sum(worker.images for worker in pool.status().workers)


def _until_still(pipeline: Pipeline, source: ScriptedSource, image: BGRImage) -> None:
    """Show a picture until the gate is closed and the last answer about it has come."""
    still = pipeline.counters.still

    def is_still() -> bool:
        source.emit(raw_picture(image))
        return pipeline.counters.still > still

    assert wait_until(is_still, WITHIN_S)
    analysis_of(pipeline, source, image)
    analysis_of(pipeline, source, image)


def test_a_still_picture_keeps_its_objects_without_being_analysed(
    source: ScriptedSource, pool: DetectorPool, quick_gate: dict[str, object]
) -> None:
    image = scene((PERSON, 100, 100))
    with running(source, pool, detect=quick_gate) as pipeline:
        first = analysis_of(pipeline, source, image)
        _until_still(pipeline, source, image)
        before = _inferences(pool)
        for _ in range(20):
            again = analysis_of(pipeline, source, image)
        assert _inferences(pool) == before
        assert again.frame.sequence > first.frame.sequence
        assert again.detections.track_ids.tolist() == first.detections.track_ids.tolist() == [1]
        assert again.detections.boxes == pytest.approx(first.detections.boxes)


def test_motion_is_analysed_at_once_after_a_still_time(
    source: ScriptedSource, pool: DetectorPool, quick_gate: dict[str, object]
) -> None:
    with running(source, pool, detect=quick_gate) as pipeline:
        assert not classes(analysis_of(pipeline, source, scene()))
        _until_still(pipeline, source, scene())
        before = _inferences(pool)
        analysis_of(pipeline, source, scene((CAT, 200, 100)))
        assert classes(analysis_of(pipeline, source, scene((CAT, 210, 100)))) == {2: 1}
        assert _inferences(pool) >= before + 2


def test_exact_pictures_go_on_while_nothing_moves(
    source: ScriptedSource, pool: DetectorPool, quick_gate: dict[str, object]
) -> None:
    image = scene((PERSON, 100, 100))
    exact = Variant(overlay="exact", labels=False, caption=False)
    with running(source, pool, detect=quick_gate) as pipeline, pipeline.streams.watch(exact, 100) as viewer:
        _until_still(pipeline, source, image)
        before = pipeline.counters.still
        sequence = analysis_of(pipeline, source, image).frame.sequence

        def has_come() -> bool:  # several are shown: one may come too soon after another to be due
            source.emit(raw_picture(image))
            frame = viewer.next_frame(0.1)
            return frame is not None and not frame.is_message and frame.sequence >= sequence

        becomes(has_come)
        assert pipeline.counters.still > before


def test_pictures_are_freed_when_they_are_done_with(source: ScriptedSource, pool: DetectorPool) -> None:
    seen: list[weakref.ref[BGRImage]] = []
    gc.collect()
    gc.disable()
    try:
        with running(source, pool) as pipeline:
            for x in range(0, 500, 50):
                image = scene((PERSON, x, 100))
                seen.append(weakref.ref(image))
                analysis_of(pipeline, source, image)
            del image
            becomes(lambda: sum(one() is not None for one in seen) <= 2)
    finally:
        gc.enable()


def test_what_the_gate_cannot_read_is_counted_and_passed_over(
    source: ScriptedSource, pool: DetectorPool, quick_gate: dict[str, object]
) -> None:
    def broken() -> BGRImage:
        raise ImageError("truncated")

    with running(source, pool, detect=quick_gate) as pipeline:
        source.emit(Picture(SIZE_WH, broken))
        becomes(lambda: pipeline.counters.decode_errors == 1)
        assert classes(analysis_of(pipeline, source, scene((PERSON, 10, 10)))) == {0: 1}
