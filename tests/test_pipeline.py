"""From frame to stream: who sees what, and what is not done when nobody looks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cv2
import numpy as np
import pytest

from detector.detections import BGRImage
from detector.pool import DetectorPool
from detector.pool.messages import DetectOptions
from stream_server.config import CameraConfig
from stream_server.diagnostics.cameras import CameraInfo
from stream_server.errors import ImageError, SourceEnded, SourceError
from stream_server.media.frames import EncodedFrame, Picture
from stream_server.pipeline import Pipeline
from stream_server.streaming import overload
from stream_server.streaming.streams import Variant, Viewer
from stream_server.telemetry.stages import Telemetry
from tests.support.fakes import scripted_image
from tests.support.leaks import wait_until
from tests.support.sources import ScriptedSource, jpeg_picture, plain, raw_picture

WITHIN_S = 20.0
UNTOUCHED = Variant(overlay="none")
BARE = Variant(overlay="live", labels=False, caption=False)


@contextmanager
def running(source: ScriptedSource, pool: DetectorPool | None = None, **config: object) -> Iterator[Pipeline]:
    camera = CameraConfig.model_validate({"source": "demo:", "detect": {"fps": 100}, **config})
    pipeline = Pipeline(
        "front",
        camera,
        lambda _: source,
        pool=pool,
        options=DetectOptions(score_threshold=0),  # the scripted detector then answers with score 1
        stopwatch=Telemetry().stopwatch("front"),
    )
    pipeline.start()
    try:
        yield pipeline
    finally:
        pipeline.stop()
        pipeline.join(WITHIN_S)


@pytest.fixture
def source() -> ScriptedSource:
    return ScriptedSource()


@pytest.fixture(scope="module")
def pool() -> Iterator[DetectorPool]:
    with DetectorPool("scripted", workers=1, loader="tests.support.fakes:load_scripted") as started:
        started.wait_ready(20)
        started.submit(scripted_image(shape=(240, 320, 3))).result(
            WITHIN_S
        )  # its memory is there from now on
        yield started


def next_frame(viewer: Viewer) -> EncodedFrame:
    frame = viewer.next_frame(WITHIN_S)
    assert frame is not None, "no frame came"
    return frame


def decoded(frame: EncodedFrame) -> BGRImage:
    return np.asarray(cv2.imdecode(np.frombuffer(frame.jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def becomes(fact: Callable[[], bool]) -> None:
    assert wait_until(fact, WITHIN_S)


def test_nothing_is_drawn_encoded_or_decoded_while_nobody_watches(source: ScriptedSource) -> None:
    with running(source) as pipeline:
        for shade in range(20):
            source.emit(jpeg_picture(plain(shade)))
            becomes(lambda n=shade + 1: pipeline.counters.seen == n)  # type: ignore[misc]
        assert (pipeline.counters.drawn, pipeline.counters.encoded) == (0, 0)
        assert not any(source.wanted)
        with pipeline.streams.watch(BARE, 100) as viewer:
            next_frame(viewer)
            becomes(lambda: source.wanted[-1])
        assert (pipeline.counters.drawn, pipeline.counters.encoded) == (1, 1)


def test_a_jpeg_cameras_bytes_pass_untouched_without_overlay(source: ScriptedSource) -> None:
    picture = jpeg_picture(plain((10, 200, 30)))
    with running(source) as pipeline, pipeline.streams.watch(UNTOUCHED, 100) as viewer:
        becomes(lambda: pipeline.camera.is_wanted)
        source.emit(picture)
        while (frame := next_frame(viewer)).is_message:
            pass
        assert frame.jpeg == picture.jpeg
        assert pipeline.counters.passed_through == 1


@pytest.mark.parametrize(
    "variant", [Variant("none", width=160), Variant("none", quality=30), Variant("live")]
)
def test_any_change_asked_for_encodes_anew(source: ScriptedSource, variant: Variant) -> None:
    picture = jpeg_picture(plain((10, 200, 30)))
    with running(source) as pipeline:
        source.emit(picture)
        becomes(lambda: pipeline.counters.seen == 1)
        with pipeline.streams.watch(variant, 100) as viewer:
            frame = next_frame(viewer)
    assert frame.jpeg != picture.jpeg
    assert decoded(frame).shape[1] == (variant.width or 320)


def test_viewers_of_one_variant_share_its_encoding(source: ScriptedSource) -> None:
    with running(source) as pipeline:
        source.emit(raw_picture(plain(0)))
        becomes(lambda: pipeline.counters.seen == 1)
        with pipeline.streams.watch(BARE, 100) as one, pipeline.streams.watch(BARE, 100) as other:
            assert next_frame(one) is next_frame(other)
            assert pipeline.counters.encoded == 1


def test_a_newcomer_gets_the_current_frame_at_once(source: ScriptedSource) -> None:
    with running(source) as pipeline:
        source.emit(raw_picture(plain((0, 0, 250))))
        becomes(lambda: pipeline.counters.seen == 1)
        with pipeline.streams.watch(BARE, 100) as viewer:
            frame = next_frame(viewer)
    assert not frame.is_message
    assert decoded(frame)[120, 160, 2] > 240


def test_a_frame_keeps_its_cameras_true_size_when_that_changes(source: ScriptedSource) -> None:
    sizes = [(640, 480), (1280, 720), (320, 240)]
    with running(source) as pipeline, pipeline.streams.watch(UNTOUCHED, 100) as viewer:
        for number, size_wh in enumerate(sizes, start=1):
            source.emit(raw_picture(plain(90, size_wh)))
            while (frame := next_frame(viewer)).is_message or frame.sequence < number:
                pass
            assert (frame.size_wh, decoded(frame).shape) == (size_wh, (size_wh[1], size_wh[0], 3))


def test_what_sources_count_as_broken_is_told(source: ScriptedSource) -> None:
    sources = [source, ScriptedSource()]
    pictures = iter(sources)
    with running(source) as pipeline:
        pipeline.camera._open_source = lambda _: next(pictures)
        pipeline.camera.reconfigure(pipeline.config)  # opens it anew
        source.emit(raw_picture(plain(0)))
        becomes(lambda: pipeline.camera.is_online)
        source.broken = 11
        assert pipeline.decode_errors == CameraInfo.of(pipeline).decode_errors == 11
        source.emit(SourceError("lost"))
        becomes(lambda: sources[1].opened == 1)
        sources[1].broken = 2
        sources[1].emit(raw_picture(plain(0)))
        becomes(lambda: pipeline.decode_errors == 13)


def test_a_broken_picture_is_counted_and_the_next_one_shown(source: ScriptedSource) -> None:
    def broken() -> BGRImage:
        raise ImageError("truncated")

    with running(source) as pipeline, pipeline.streams.watch(BARE, 100) as viewer:
        source.emit(Picture((320, 240), broken, b"\xff\xd8"))
        becomes(lambda: pipeline.counters.decode_errors > 0)
        source.emit(raw_picture(plain(200)))
        while (frame := next_frame(viewer)).is_message:
            pass
        assert frame.sequence == 2


def test_viewers_of_a_lost_camera_see_why_once_a_second(source: ScriptedSource) -> None:
    with running(source) as pipeline, pipeline.streams.watch(BARE, 100) as viewer:
        source.emit(raw_picture(plain(200)))
        while (frame := next_frame(viewer)).is_message:
            pass
        source.emit(SourceError("connection refused"))
        while not (frame := next_frame(viewer)).is_message:
            pass
        following = next_frame(viewer)
        assert pipeline.camera.reason == "connection refused"
    assert frame.size_wh == following.size_wh == (320, 240)
    assert following.is_message
    assert 0.9 < following.encoded_at - frame.encoded_at < 2.0


def test_a_stream_ends_after_the_message_that_its_source_has_ended(source: ScriptedSource) -> None:
    with running(source) as pipeline, pipeline.streams.watch(BARE, 100) as viewer:
        source.emit(raw_picture(plain(200)), SourceEnded("the file is over"))
        becomes(lambda: viewer.has_ended)
        assert next_frame(viewer).is_message
        assert viewer.next_frame(WITHIN_S) is None
        assert pipeline.camera.state == "ended"


def test_exact_shows_analysed_frames_with_their_own_boxes(source: ScriptedSource, pool: DetectorPool) -> None:
    exact = Variant(overlay="exact", labels=False, caption=False)
    with running(source, pool) as pipeline, pipeline.streams.watch(exact, 100) as viewer:
        source.emit(raw_picture(scripted_image(7, shape=(240, 320, 3))))
        becomes(lambda: pipeline.analysis is not None)
        while (frame := next_frame(viewer)).is_message:
            pass
        assert pipeline.analysis is not None
        assert frame.sequence == pipeline.analysis.frame.sequence == 1
        assert pipeline.analysis.detections.class_ids.tolist() == [7]
        assert pipeline.analysis.detections.track_ids.tolist() == [1]


def test_a_caption_comes_without_boxes_too(source: ScriptedSource, pool: DetectorPool) -> None:
    shown, hidden = (Variant(labels=False, quality=100, boxes=boxes) for boxes in (True, False))
    with (
        running(source, pool) as pipeline,
        pipeline.streams.watch(shown, 100) as with_boxes,
        pipeline.streams.watch(hidden, 100) as without,
    ):
        source.emit(raw_picture(scripted_image(7, shape=(240, 320, 3))))
        becomes(lambda: pipeline.analysis is not None)
        source.emit(raw_picture(scripted_image(7, shape=(240, 320, 3))))
        images = []
        for viewer in (with_boxes, without):
            while (frame := next_frame(viewer)).sequence < 2 or frame.is_message:
                pass
            images.append(decoded(frame))
        assert images[0][:120, :8].max() > 60  # the line along the edge
        assert images[1][:120, :8].max() < 40
        assert images[1][180:].max() > 100  # the caption, at the lower left


def test_detection_runs_without_viewers_but_draws_nothing(source: ScriptedSource, pool: DetectorPool) -> None:
    with running(source, pool) as pipeline:
        source.emit(raw_picture(scripted_image(3, shape=(240, 320, 3))))
        becomes(lambda: pipeline.analysis is not None)
        assert pipeline.counters.drawn == pipeline.counters.encoded == 0


def test_an_on_demand_camera_is_not_opened_for_detection_alone(
    source: ScriptedSource, pool: DetectorPool
) -> None:
    with running(source, pool, on_demand=True) as pipeline:
        becomes(lambda: pipeline.camera.state == "idle")
        assert source.opened == 0
        with pipeline.streams.watch(BARE, 100):
            becomes(lambda: source.opened == 1)


def test_live_video_goes_on_when_the_detector_does_not(source: ScriptedSource) -> None:
    broken = DetectorPool("missing", workers=1, loader="tests.support.fakes:load_scripted")
    with broken, running(source, broken) as pipeline:
        with pipeline.streams.watch(Variant("exact"), 100) as viewer:
            for number in (1, 2, 3):
                source.emit(raw_picture(plain(60 * number)))
                while (frame := next_frame(viewer)).is_message or frame.sequence < number:
                    pass
        assert pipeline.analysis is None


class FloodingSource(ScriptedSource):
    """Hands over a picture that takes long to encode, two hundred times a second."""

    image = np.random.default_rng(1).integers(0, 255, (1080, 1920, 3), np.uint8)

    def read(self, wanted: bool = True) -> Picture | None:
        threading.Event().wait(0.005)
        return raw_picture(self.image)


def test_a_pipeline_that_cannot_keep_up_gives_less_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overload, "WINDOW_S", 0.1)
    finest = Variant(overlay="live", quality=100, caption=False)
    with running(FloodingSource()) as pipeline, pipeline.streams.watch(finest, 100) as viewer:
        while (before := next_frame(viewer)).is_message or before.overload:
            pass
        assert wait_until(lambda: pipeline.overload.level > 0)
        while not (after := next_frame(viewer)).overload:
            pass
    assert b"X-Overload: " in after.part
    assert len(after.jpeg) < 0.9 * len(before.jpeg)
