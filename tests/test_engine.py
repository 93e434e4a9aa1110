"""Who may watch: limits in all, per camera, per address and of variants; and what /metrics says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from stream_server.config import Config
from stream_server.engine import Engine
from stream_server.errors import LimitError
from stream_server.streaming.streams import MAX_STREAMS, QUALITIES, WIDTHS, Variant
from stream_server.web.app import create_app
from tests.support.leaks import wait_until
from tests.support.sources import ScriptedSource, plain, raw_picture

WITHIN_S = 20.0


@pytest.fixture
def sources() -> list[ScriptedSource]:
    return []


@pytest.fixture
def engine(request: pytest.FixtureRequest, sources: list[ScriptedSource]) -> Iterator[Engine]:
    def open_source(_: object) -> ScriptedSource:
        sources.append(ScriptedSource())
        return sources[-1]

    limits = getattr(request, "param", {})
    config = Config.parse(
        {
            "server": limits,
            "detector": {"workers": 0},
            "cameras": {"one": {"source": "demo:"}, "two": {"source": "demo:"}},
        }
    )
    with Engine(config, open_source=open_source) as running:
        yield running


def watch(engine: Engine, camera: str = "one", address: str = "10.0.0.1") -> None:
    engine.watch(camera, Variant(), 10, address)


@pytest.mark.parametrize("engine", [{"max_viewers": 2}], indirect=True)
def test_no_more_watch_than_may_in_all(engine: Engine) -> None:
    watch(engine, "one")
    watch(engine, "two")
    with pytest.raises(LimitError, match=r"2 viewers watch already.*server\.max_viewers\)"):
        watch(engine, "one")


@pytest.mark.parametrize("engine", [{"max_viewers_per_camera": 1}], indirect=True)
def test_no_more_watch_a_camera_than_may(engine: Engine) -> None:
    watch(engine, "one")
    watch(engine, "two")
    with pytest.raises(LimitError, match=r"server\.max_viewers_per_camera"):
        watch(engine, "one")


@pytest.mark.parametrize("engine", [{"max_viewers_per_address": 2}], indirect=True)
def test_no_more_watch_from_an_address_than_may(engine: Engine) -> None:
    watch(engine, "one")
    watch(engine, "two")
    watch(engine, "one", address="10.0.0.2")
    with pytest.raises(LimitError, match=r"server\.max_viewers_per_address"):
        watch(engine, "two")


@pytest.mark.parametrize("engine", [{"max_viewers": 1}], indirect=True)
def test_who_leaves_makes_room(engine: Engine) -> None:
    with engine.watch("one", Variant(), 10), pytest.raises(LimitError):
        watch(engine)
    watch(engine)


def test_odd_sizes_and_qualities_share_the_streams_of_the_nearest_steps(engine: Engine) -> None:
    for width, quality in ((639, 81), (640, 80), (650, 79)):
        engine.watch("one", Variant(width=width, quality=quality), 10)
    (stream,) = engine.pipelines["one"].streams.watched
    assert (stream.variant.width, stream.variant.quality) == (640, 80)


def test_variants_of_a_camera_are_few(engine: Engine) -> None:
    variants = [Variant(width=width, quality=quality) for width in WIDTHS for quality in QUALITIES]
    for variant in variants[:MAX_STREAMS]:
        engine.watch("one", variant, 10)
    with pytest.raises(LimitError, match="different sizes and qualities"):
        engine.watch("one", variants[MAX_STREAMS], 10)
    engine.watch("one", variants[0], 10)
    engine.watch("two", variants[MAX_STREAMS], 10)


@pytest.mark.parametrize("engine", [{"max_viewers": 1}], indirect=True)
def test_a_refused_viewer_gets_503_with_retry_after(engine: Engine) -> None:
    watch(engine)
    answer = create_app(engine).test_client().get("/cameras/one/stream.mjpg")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


def test_metrics_tell_stages_viewers_and_frames(engine: Engine, sources: list[ScriptedSource]) -> None:
    pipeline = engine.pipelines["one"]
    with engine.watch("one", Variant(width=160), 100) as viewer:
        assert wait_until(lambda: len(sources) == 2, WITHIN_S)
        for source in sources:
            source.emit(raw_picture(plain(90)))
        while (frame := viewer.next_frame(WITHIN_S)) is None or frame.is_message:
            assert frame is not None
        assert wait_until(lambda: pipeline.counters.seen == 1, WITHIN_S)
        text = create_app(engine).test_client().get("/metrics").get_data(as_text=True)
    samples = {
        (sample.name, *(sample.labels[label] for label in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["stream_server_viewers", "True", "one", "True", "True", "live", "", "160"] == 1
    assert samples["stream_server_camera_online", "one"] == 1
    assert samples["stream_server_frames_total", "one", "captured"] == 1
    assert samples["stream_server_frames_total", "one", "seen"] == 1
    for stage in ("capture", "draw", "encode"):
        assert samples["stream_server_stage_seconds_count", "one", stage] >= 1, stage
    assert samples["stream_server_stage_seconds_count", "one", "detect"] == 0
