"""How many workers and threads: measured once, kept, and never in anybody's way."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from detector import machine
from detector.errors import DetectorError, ModelError
from detector.pool import DetectorPool, tuning
from detector.pool.layout import Layout, layouts
from detector.pool.speed import Speed, _wait_ready, measure, sample_images
from detector.pool.tuning import best_layout, choose, planner_for
from detector.zoo.catalog import find_model
from stream_server.config import Config
from stream_server.diagnostics.readiness import readiness
from stream_server.engine import Engine
from stream_server.streaming.streams import Variant
from tests.support.fakes import ScriptedDetector, load_scripted, scripted_image
from tests.support.leaks import wait_until
from tests.support.needs import CHECKOUT
from tests.support.patience import PATIENCE_S, soon

SMALL = find_model("centernet-mobilenetv3-320")
RATES = {Layout(4, 1): 40.0, Layout(2, 2): 33.0, Layout(1, 4): 25.0, Layout(2, 1): 20.0, Layout(1, 2): 12.0}


class Measurements(list[Layout]):
    """Stands in for `measure`: what was measured, and how fast it is said to be."""

    memory_bytes = 10**6
    failure: Exception | None = None

    def __call__(
        self, model: object, layout: Layout, images: object, seconds: float, is_cancelled: object
    ) -> Speed:
        self.append(layout)
        if self.failure:
            raise self.failure
        return Speed(layout, RATES[layout], 1.0, layout.workers * self.memory_bytes)


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Measurements:
    monkeypatch.delenv("STREAM_SERVER_LAYOUT", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    measurements = Measurements()
    monkeypatch.setattr(tuning, "measure", measurements)
    return measurements


@pytest.mark.parametrize(
    ("cores", "expected"),
    [
        (1, [(1, 1)]),
        (2, [(2, 1), (1, 2)]),
        (4, [(4, 1), (2, 2), (1, 4)]),
        (6, [(6, 1), (3, 2), (1, 4)]),
    ],
)
def test_cores_are_divided_in_powers_of_two(cores: int, expected: list[tuple[int, int]]) -> None:
    assert layouts(cores) == expected


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ([((2, 1), 10.0)], (2, 1)),
        ([((2, 1), 10.0), ((1, 2), 9.1)], (1, 2)),
        ([((2, 1), 10.0), ((1, 2), 8.9)], (2, 1)),
        ([((4, 1), 10.0), ((2, 2), 9.5), ((1, 4), 3.0)], (2, 2)),
        ([((1, 4), 12.0), ((4, 1), 10.0)], (1, 4)),
    ],
)
def test_fewest_workers_that_are_about_as_fast_win(
    rates: Sequence[tuple[tuple[int, int], float]], expected: tuple[int, int]
) -> None:
    assert choose(Speed(Layout(*layout), per_s, 1.0, 1) for layout, per_s in rates) == expected


def test_answer_is_measured_once_from_few_workers_to_many(measured: Measurements) -> None:
    assert best_layout("centernet-mobilenetv3", cores=4) == (4, 1)
    assert measured == [(1, 4), (2, 2), (4, 1)]
    assert best_layout("centernet-mobilenetv3", cores=4) == (4, 1)
    assert len(measured) == 3


def test_one_core_needs_no_measurement(measured: Measurements) -> None:
    assert best_layout("centernet-mobilenetv3", cores=1) == (1, 1)
    assert not measured


@pytest.mark.parametrize("change", ["model", "settings", "cores", "versions"])
def test_answer_holds_for_its_model_and_machine_alone(
    measured: Measurements, change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = replace(SMALL, path=tmp_path / "model.tflite")
    file.path.write_bytes(b"one")
    best_layout(file, cores=2)
    if change == "model":
        file.path.write_bytes(b"two")
    elif change == "settings":
        file = replace(file, inputs_wh=())
    elif change == "versions":
        monkeypatch.setattr(tuning, "describe", lambda: "2 x other")
    before = len(measured)
    best_layout(file, cores=4 if change == "cores" else 2)
    assert len(measured) > before


@pytest.mark.parametrize("content", ["", "{", "[]", '{"KEY": 1}', '{"KEY": [0, 1]}', '{"KEY": ["2", "1"]}'])
def test_damaged_cache_is_measured_anew_and_repaired(
    measured: Measurements, tmp_path: Path, content: str
) -> None:
    cache = tmp_path / "cache" / "stream-server" / "layouts.json"
    best_layout(SMALL, cores=2)
    (key,) = json.loads(cache.read_text())
    cache.write_text(content.replace("KEY", key))
    assert best_layout(SMALL, cores=2) == (2, 1)
    assert len(measured) == 4
    assert json.loads(cache.read_text())[key] == [2, 1]


def test_processes_that_keep_answers_at_once_lose_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    keep = (
        "import sys; from detector.pool.layout import Layout; from detector.pool.tuning import _cache\n"
        "for number in range(100): _cache(f'{sys.argv[1]}{number}', Layout(1, 2))"
    )
    processes = [subprocess.Popen([sys.executable, "-c", keep, name], cwd=CHECKOUT) for name in "abc"]
    assert [process.wait(PATIENCE_S) for process in processes] == [0, 0, 0]
    known = json.loads((tmp_path / "stream-server" / "layouts.json").read_text())
    assert known == {f"{name}{number}": [1, 2] for name in "abc" for number in range(100)}
    assert [path.name for path in (tmp_path / "stream-server").iterdir()] == ["layouts.json"]


def test_cache_that_cannot_be_written_does_not_matter(
    measured: Measurements, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nope")
    assert best_layout(SMALL, cores=2) == (2, 1)


def test_workers_stop_where_memory_ends(measured: Measurements, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "available_memory_bytes", lambda: 5 * measured.memory_bytes)
    assert best_layout(SMALL, cores=4) == (2, 2)
    assert measured == [(1, 4), (2, 2)]


def test_failed_measurement_gives_a_worker_a_core(
    measured: Measurements, caplog: pytest.LogCaptureFixture
) -> None:
    measured.failure = DetectorError("no process left")
    assert best_layout(SMALL, cores=4) == (4, 1)
    assert "cannot measure how fast the model is here: no process left" in caplog.text
    measured.failure = None
    best_layout(SMALL, cores=4)
    assert len(measured) == 4  # a failure is not kept


@pytest.mark.parametrize(("text", "is_taken"), [("3x2", True), ("", False), ("0x1", False), ("2", False)])
def test_environment_may_give_the_answer(
    measured: Measurements, monkeypatch: pytest.MonkeyPatch, text: str, is_taken: bool
) -> None:
    monkeypatch.setenv("STREAM_SERVER_LAYOUT", text)
    assert best_layout(SMALL, cores=2) == ((3, 2) if is_taken else (2, 1))
    assert bool(measured) != is_taken


@pytest.mark.parametrize(
    ("workers", "threads", "expected"),
    [(2, 3, (2, 3)), ("auto", 2, (4, 2)), ("auto", 99, (1, 99)), (3, "auto", (3, 2)), (99, "auto", (99, 1))],
)
def test_given_numbers_are_used(
    monkeypatch: pytest.MonkeyPatch, workers: Any, threads: Any, expected: tuple[int, int]
) -> None:
    monkeypatch.setattr(tuning, "usable_cores", lambda: 8)
    assert planner_for(SMALL, workers, threads)(lambda: False) == expected


def test_open_numbers_are_found_out_when_asked(measured: Measurements) -> None:
    planner = planner_for(SMALL, "auto", "auto")
    assert not measured
    assert planner(lambda: False) == best_layout(SMALL)


@pytest.mark.parametrize(
    ("text", "cores"), [("max 100000", 1 << 16), ("200000 100000", 2), ("150000 100000", 2), ("", 1 << 16)]
)
def test_quota_of_a_container_counts(tmp_path: Path, text: str, cores: int) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert machine._quota(tmp_path / "cpu.max") == cores


def test_real_measurement_says_what_is_plausible() -> None:
    speed = measure(SMALL, Layout(1, 2), sample_images((320, 180)), 0.2)
    assert speed.layout == (1, 2)
    assert 1 < speed.per_s < 2000
    assert 0.5 < speed.latency_ms < 1000
    assert 20e6 < speed.memory_bytes < 500e6


def test_model_that_cannot_be_loaded_is_told_and_not_measured(tmp_path: Path) -> None:
    (tmp_path / "bad.tflite").write_text("no model")
    with pytest.raises(ModelError, match=r"bad\.tflite: this is an unknown file"):
        measure(str(tmp_path / "bad.tflite"), Layout(2, 1), sample_images((320, 180)), 0.1)


def load_second_slowly(mark: str) -> ScriptedDetector:
    """Return a detector, for who comes second half a second later; `mark` is the path that tells."""
    try:
        Path(mark).touch(exist_ok=False)
    except FileExistsError:
        time.sleep(0.5)
    return ScriptedDetector()


def test_measuring_waits_for_the_last_worker(tmp_path: Path) -> None:
    with DetectorPool(str(tmp_path / "mark"), workers=2, loader=load_second_slowly) as pool:
        _wait_ready(pool, 2, lambda: False)
        assert pool.idle_workers == 2


def test_measurement_that_is_not_wanted_ends_soon() -> None:
    with soon(), pytest.raises(DetectorError, match="was cancelled"):
        measure(SMALL, Layout(1, 1), sample_images((320, 180)), 60, lambda: True)


def test_pool_starts_what_its_planner_says() -> None:
    with DetectorPool("scripted", workers=lambda _: Layout(2, 1), loader=load_scripted) as pool:
        assert pool.submit(scripted_image(7)).result(20).class_ids.tolist() == [7]
        assert len(pool.status().workers) == 2


def test_pool_that_is_closed_while_it_plans_ends_at_once() -> None:
    planning = threading.Event()

    def plan(is_cancelled: Any) -> Layout:
        planning.set()
        while not is_cancelled():
            threading.Event().wait(0.01)
        return Layout(1, 1)

    pool = DetectorPool("scripted", workers=plan, loader=load_scripted)
    pool.start()
    assert planning.wait(30)
    waiting = pool.submit(scripted_image(1))
    with soon():
        pool.close()
    with pytest.raises(DetectorError, match="the detector pool is closed"):
        waiting.result(30)


def test_pool_whose_planner_fails_says_so() -> None:
    def plan(_: Any) -> Layout:
        raise ZeroDivisionError("bug")

    with (
        DetectorPool("scripted", workers=plan, loader=load_scripted) as pool,
        pytest.raises(DetectorError, match="the detector pool has ended: ZeroDivisionError: bug"),
    ):
        pool.wait_ready(5)


def test_first_picture_does_not_wait_for_the_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def slow_answer(model: object, *, is_cancelled: Any) -> Layout:
        asked.set()
        go_on.wait(20)
        return Layout(1, 1)

    monkeypatch.setattr(tuning, "best_layout", slow_answer)
    camera = {"source": "demo:", "width": 320, "height": 180}
    config = Config.parse({"cameras": {"demo": camera}, "detector": {"model": SMALL.name}})
    with Engine(config) as engine:
        assert asked.wait(30)
        with engine.watch("demo", Variant(), 30) as viewer:
            shown = viewer.stream.frames
            assert wait_until(lambda: shown.item is not None and not shown.item.is_message)
            assert readiness(engine) == (False, ["detector: the model is being loaded"])
            go_on.set()
            assert engine.pool is not None
            engine.pool.wait_ready(20)
            assert readiness(engine) == (True, [])
