"""Cameras and requests that share a real pool of workers, whose images take a known time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest

from detector import Detections, DetectorBusy, DetectorError, DetectorTimeout, WorkerLost
from detector.pool import DetectorPool
from detector.pool.client import PoolClient
from detector.pool.restarts import RestartBudget
from stream_server.config import Config
from stream_server.engine import Engine
from stream_server.media.encode import encode_jpeg
from stream_server.media.frames import Picture
from stream_server.media.jpeg import picture_of
from tests.detector.pool.test_scheduler import jain
from tests.support.fakes import Command, scripted_image
from tests.support.leaks import wait_until
from tests.support.patience import PATIENCE_S, soon
from tests.support.sources import ScriptedSource

COST_MS = 10
WORKERS = 2
ALIKE = 0.9
"""Jain's index of what is shared alike beside threads of a busy machine; test_scheduler.py is exact."""
CAPACITY = WORKERS * 1000 / COST_MS
"""Images a second, of a machine on which all else takes no time; see `per_s`."""


class Camera:
    """A thread with a new image `fps` times a second, the newest of which it brings when it has a turn.

    Each image carries its number, and says how long it takes. `mixed_up` holds answers about other images.
    """

    def __init__(
        self,
        pool: DetectorPool,
        name: str,
        *,
        fps: float = 3 * CAPACITY / 8,
        weight: float = 1.0,
        cost_ms: int = COST_MS,
        command: Command = Command.SLEEP,
    ) -> None:
        self.answered = 0
        self.ages_s: list[float] = []
        self.mixed_up: list[int] = []
        self.errors: list[BaseException] = []
        self._fps = fps
        self._command = command
        self._cost_ms = cost_ms
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._client = pool.client(name, weight=weight, on_turn=self._wake.set)
        self._thread = threading.Thread(target=self._run, name=name)

    def __enter__(self) -> Camera:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._wake.set()
        self._thread.join()
        self._client.close()

    def _run(self) -> None:
        started, brought = time.monotonic(), -1
        while not self._stop.is_set():
            now = time.monotonic()
            newest = int((now - started) * self._fps)
            if newest > brought and self._client.ask():
                brought = newest
                self.ages_s.append(now - started - newest / self._fps)
                future = self._client.submit(scripted_image(newest, self._command, self._cost_ms))
                future.add_done_callback(lambda done, number=newest: self._take(done, number))  # type: ignore[misc]
            next_at = started + (max(newest, brought) + 1) / self._fps
            self._wake.wait(max(0.0, next_at - time.monotonic()))
            self._wake.clear()

    def _take(self, done: Future[Detections], number: int) -> None:
        error = done.exception()
        if self._stop.is_set():
            return  # what is in line when a camera leaves, fails
        if error is not None:
            self.errors.append(error)
        elif done.result().class_ids[0] != number:
            self.mixed_up.append(number)
        else:
            self.answered += 1


@contextmanager
def pool_of(
    workers: int = WORKERS, loader: str = "load_scripted", **options: object
) -> Iterator[DetectorPool]:
    models = options.pop("models", "good")
    pool = DetectorPool(models, workers=workers, loader=f"tests.support.fakes:{loader}", **options)  # type: ignore[arg-type]
    with pool:
        assert wait_until(lambda: pool.idle_workers == workers)
        yield pool


@pytest.fixture(scope="module")
def pool() -> Iterator[DetectorPool]:
    with pool_of() as started:
        images = [scripted_image(0, Command.SLEEP, 100) for _ in range(2 * WORKERS)]
        for future in [started.submit(image) for image in images]:
            future.result(30)  # all memory for images is there from now on
        yield started


@pytest.fixture(scope="module")
def per_s(pool: DetectorPool) -> float:
    """Return how many images a second the pool looks at for one who asks for nothing else."""
    began, images = time.monotonic(), [scripted_image(0, Command.SLEEP, COST_MS)] * 100
    for start in range(0, len(images), 2 * WORKERS):
        for future in [pool.submit(image) for image in images[start : start + 2 * WORKERS]]:
            future.result(30)
    return len(images) / (time.monotonic() - began)


def look_at(cameras: list[Camera], seconds: float) -> list[float]:
    """Return how many images each camera had answered in that time, once all had begun."""
    with ExitStack() as running:
        for camera in cameras:
            running.enter_context(camera)
        assert wait_until(lambda: all(camera.answered for camera in cameras))
        before = [camera.answered for camera in cameras]
        threading.Event().wait(seconds)
        return [camera.answered - was for camera, was in zip(cameras, before, strict=True)]


# --- cameras


def test_eight_cameras_at_three_times_what_there_is_share_alike(pool: DetectorPool, per_s: float) -> None:
    cameras = [Camera(pool, f"camera {number}") for number in range(8)]
    rates = look_at(cameras, 2)
    assert jain(rates) >= ALIKE
    assert sum(rates) >= 0.5 * 2 * per_s
    assert not any(camera.mixed_up or camera.errors for camera in cameras)


@pytest.mark.slow
def test_a_camera_of_twice_the_weight_gets_twice_as_much(pool: DetectorPool) -> None:
    cameras = [Camera(pool, f"camera {number}", weight=1 + (number == 0)) for number in range(8)]
    heavy, *others = look_at(cameras, 3)
    assert heavy / (sum(others) / len(others)) == pytest.approx(2, rel=0.25)


def test_a_camera_with_a_slower_model_does_not_starve_the_others(pool: DetectorPool) -> None:
    slow = Camera(pool, "slow", cost_ms=10 * COST_MS)
    rates = look_at([slow, *(Camera(pool, f"camera {number}") for number in range(3))], 3)
    assert jain(rates[1:]) >= ALIKE
    assert min(rates[1:]) > 3 * rates[0]


def test_a_camera_alone_gets_all_there_is_and_its_frames_are_new(pool: DetectorPool, per_s: float) -> None:
    camera = Camera(pool, "alone", fps=100)
    (rate,) = look_at([camera], 1)
    assert rate > 0.6 * min(100, per_s / WORKERS)
    assert sorted(camera.ages_s)[len(camera.ages_s) // 2] < 0.012


def test_a_worker_killed_by_one_cameras_image_costs_the_others_nothing() -> None:
    with pool_of(restarts=RestartBudget(1000)) as pool:
        deadly = Camera(pool, "deadly", fps=2, command=Command.SEGFAULT)
        others = [Camera(pool, f"camera {number}") for number in range(4)]
        with deadly:
            look_at(others, 1.5)
        assert deadly.errors
        assert all(isinstance(error, WorkerLost) for error in deadly.errors)
        assert not any(camera.errors or camera.mixed_up for camera in others)


class PacedSource(ScriptedSource):
    """Hands over the same JPEG thirty times a second."""

    jpeg = encode_jpeg(np.random.default_rng(1).integers(0, 255, (360, 640, 3), np.uint8), 80)

    def read(self, wanted: bool = True) -> Picture | None:
        threading.Event().wait(1 / 30)
        return picture_of(self.jpeg)


@pytest.mark.slow
def test_a_servers_cameras_share_the_real_model_alike() -> None:
    config = Config.parse(
        {
            "detector": {"workers": 1, "threads": 1},
            "cameras": {f"camera-{n}": {"source": "demo:", "detect": {"fps": 30}} for n in range(8)},
        }
    )
    with Engine(config, open_source=lambda _: PacedSource()) as engine:
        counters = [pipeline.counters for pipeline in engine.pipelines.values()]
        assert wait_until(lambda: all(each.analysed for each in counters), 30)
        before = [each.analysed for each in counters]
        assert wait_until(lambda: sum(each.analysed for each in counters) >= sum(before) + 80, 120)
        assert jain([each.analysed - was for each, was in zip(counters, before, strict=True)]) >= ALIKE
        assert all(each.skipped > each.analysed for each in counters), "there was no overload"


# --- turns


class Caller:
    """A client that counts how often it was called."""

    def __init__(self, pool: DetectorPool, **options: int) -> None:
        self.called = threading.Event()
        self.client: PoolClient = pool.client("caller", on_turn=self.called.set, **options)  # type: ignore[arg-type]

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()


def test_who_asks_while_a_worker_is_free_has_the_turn_at_once(pool: DetectorPool) -> None:
    with Caller(pool) as one:
        assert one.client.ask()
        assert not one.called.is_set()
        assert one.client.submit(scripted_image(5)).result(30).class_ids[0] == 5


@pytest.mark.parametrize("leave", [PoolClient.give_back, PoolClient.close])
def test_a_turn_that_is_not_used_is_the_next_ones(leave: Callable[[PoolClient], None]) -> None:
    with pool_of(1) as pool, Caller(pool) as first, Caller(pool) as second:
        assert first.client.ask()
        assert not second.client.ask()
        leave(first.client)
        assert second.called.wait(30)
        assert second.client.submit(scripted_image(6)).result(30).class_ids[0] == 6


def test_a_turn_that_is_not_used_in_time_is_the_next_ones() -> None:
    with pool_of(1) as pool, Caller(pool) as slow, Caller(pool) as other:
        assert slow.client.ask()
        with soon():
            assert not other.client.ask()
            assert other.called.wait(PATIENCE_S)
        busy = other.client.submit(scripted_image(1, Command.SLEEP, 100))
        late = slow.client.submit(scripted_image(2))
        assert [int(future.result(30).class_ids[0]) for future in (busy, late)] == [1, 2]


def test_an_image_too_old_to_be_worth_it_is_not_looked_at() -> None:
    with pool_of(1, timeout_s=1) as pool, Caller(pool) as one:
        pool.submit(scripted_image(0, Command.SLEEP, 400))
        late = one.client.submit(scripted_image(1), timeout_s=0.05)
        with pytest.raises(DetectorTimeout):
            late.result(30)


def test_a_client_that_left_brings_nothing_any_more(pool: DetectorPool) -> None:
    with Caller(pool) as one:
        pass
    assert not one.client.ask()
    with pytest.raises(DetectorError, match="takes part in detection no more"):
        one.client.submit(scripted_image(1))


# --- requests beside cameras


def test_requests_and_cameras_starve_each_other_neither_way(pool: DetectorPool, per_s: float) -> None:
    waits_s: list[float] = []
    stop = threading.Event()

    def request() -> None:
        while not stop.is_set():
            started = time.monotonic()
            try:
                pool.submit(scripted_image(1, Command.SLEEP, COST_MS)).result(30)
            except DetectorBusy:
                stop.wait(0.01)
            else:
                waits_s.append(time.monotonic() - started)

    requesters = [threading.Thread(target=request) for _ in range(12)]
    cameras = [Camera(pool, f"camera {number}") for number in range(8)]
    for requester in requesters:
        requester.start()
    try:
        rates = look_at(cameras, 2)
    finally:
        stop.set()
        for requester in requesters:
            requester.join()
    assert jain(rates) >= ALIKE
    assert min(rates) > 0.4 * 2 * per_s / 9
    assert len(waits_s) > 0.4 * 2 * per_s / 9
    assert np.median(waits_s) < 3 * 12 * 9 / per_s  # 12 in line, each waits for one of nine turns


# --- images that wait at a busy worker


def test_an_image_that_waited_at_a_worker_that_is_lost_is_not() -> None:
    with pool_of(1, timeout_s=PATIENCE_S) as pool:
        frozen = pool.submit(scripted_image(0, Command.FREEZE))
        futures = [pool.submit(scripted_image(token)) for token in (1, 2)]
        assert wait_until(lambda: len(pool._places[0].work) == 2), "nothing is staged"
        [pid] = [worker.pid for worker in pool.status().workers]
        assert pid is not None
        pool._places[0].process.kill()  # type: ignore[union-attr]
        with pytest.raises(WorkerLost):
            frozen.result(30)
        assert [int(future.result(30).class_ids[0]) for future in futures] == [1, 2]


# --- models


def test_each_image_is_looked_at_by_the_model_it_is_for() -> None:
    with pool_of(1, "load_named", models=("near", "far")) as pool:
        assert pool.models == ("near", "far")
        assert pool.labels == pool.labels_of("near") == {0: "near"}
        assert pool.labels_of("far") == {0: "far"}
        for model in pool.models:
            assert len(pool.submit(scripted_image(), model=model, classes=[model]).result(30)) == 1
        with pytest.raises(DetectorError, match="near does not know"):
            pool.submit(scripted_image(), classes=["far"]).result(30)
        with pytest.raises(DetectorError, match="model: got 'other', expected one of near, far"):
            pool.submit(scripted_image(), model="other")


# --- batches


def in_batches(pool: DetectorPool, thresholds: list[float]) -> list[tuple[int, int]]:
    """Return of images brought while the worker is busy their tokens and with how many each was looked at."""
    busy = pool.submit(scripted_image(99, Command.SLEEP, 600), iou_threshold=0.1)
    threading.Event().wait(0.5)  # it waits for others no more
    futures = [
        pool.submit(scripted_image(token), score_threshold=threshold)
        for token, threshold in enumerate(thresholds)
    ]
    busy.result(30)
    found = [future.result(30) for future in futures]
    return [(int(each.class_ids[0]), round(100 * float(each.scores[0]))) for each in found]


def test_what_waits_at_a_worker_is_looked_at_together() -> None:
    with pool_of(1, "load_batching", max_batch=4, max_wait_s=0.3) as pool:
        assert in_batches(pool, [0.5] * 3) == [(0, 3), (1, 3), (2, 3)]


def test_no_more_are_looked_at_together_than_may() -> None:
    with pool_of(1, "load_batching", max_batch=2, max_wait_s=0.3) as pool:
        assert in_batches(pool, [0.5] * 4) == [(0, 2), (1, 2), (2, 2), (3, 2)]


def test_images_are_looked_at_together_only_with_the_same_options() -> None:
    with pool_of(1, "load_batching", max_batch=4, max_wait_s=0.3) as pool:
        assert in_batches(pool, [0.5, 0.7, 0.5]) == [(0, 2), (1, 70), (2, 2)]


def test_an_image_that_fails_in_a_batch_fails_alone() -> None:
    with pool_of(1, "load_batching", max_batch=4, max_wait_s=0.1) as pool:
        pool.submit(scripted_image(0, Command.SLEEP, 100))
        bad, good = pool.submit(scripted_image(0, Command.RAISE)), pool.submit(scripted_image(7))
        with pytest.raises(DetectorError, match="no luck"):
            bad.result(30)
        assert good.result(30).class_ids[0] == 7


def test_detectors_that_take_one_image_at_a_time_may_be_given_several() -> None:
    with pool_of(1, max_batch=4, max_wait_s=0.01) as pool:
        futures = [pool.submit(scripted_image(token)) for token in range(8)]
        assert [int(future.result(30).class_ids[0]) for future in futures] == list(range(8))


def test_cameras_share_a_batch() -> None:
    with pool_of(1, "load_batching", max_batch=8, max_wait_s=0.02) as pool:
        cameras = [Camera(pool, f"camera {number}", fps=50) for number in range(8)]
        rates = look_at(cameras, 1)
        assert jain(rates) >= ALIKE
        assert not any(camera.mixed_up or camera.errors for camera in cameras)


# --- workers that were taken over


def test_nothing_that_a_worker_says_is_unpickled(tmp_path: object) -> None:
    canary = f"{tmp_path}/canary"
    with pool_of(1, "load_hostile", models=f"pickle:{canary}") as pool:
        with pytest.raises(WorkerLost, match="talks nonsense"):
            pool.submit(scripted_image()).result(30)
        assert wait_until(lambda: pool.idle_workers == 1)
        with pytest.raises(FileNotFoundError):
            open(canary).close()


def test_a_worker_that_stops_half_way_through_a_message_does_not_stop_the_pool() -> None:
    with pool_of(1, "load_hostile", models="half") as pool:
        with pytest.raises(WorkerLost):
            pool.submit(scripted_image()).result(30)
        assert wait_until(lambda: pool.idle_workers == 1)
