from __future__ import annotations

import logging
import os
import random
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_futures
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from detector import (
    Detections,
    DetectorBusy,
    DetectorError,
    DetectorTimeout,
    ModelError,
    WorkerLost,
    load_detector,
)
from detector.pool import DetectorPool
from detector.pool.restarts import RestartBudget
from tests.support.fakes import Command, load_scripted, scripted_image
from tests.support.leaks import children, is_alive, open_descriptors, wait_until
from tests.support.paths import CHECKOUT
from tests.support.patience import PATIENCE_S, soon

PLENTY = 1000
MakePool = Callable[..., DetectorPool]


def shared_memory_bytes() -> int:
    usage = os.statvfs("/dev/shm")
    return (usage.f_blocks - usage.f_bfree) * usage.f_frsize


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    before = children(), open_descriptors(), set(threading.enumerate())
    yield
    assert wait_until(lambda: children() <= before[0]), "a child process is left"
    assert open_descriptors() <= before[1]
    assert set(threading.enumerate()) <= before[2]


@pytest.fixture
def make_pool() -> Iterator[MakePool]:
    pools: list[DetectorPool] = []

    def make(model: str = "good", *, workers: int = 1, ready: bool = True, **options: object) -> DetectorPool:
        options.setdefault("loader", "tests.support.fakes:load_scripted")
        pool = DetectorPool(model, workers=workers, **options)  # type: ignore[arg-type]
        pools.append(pool)
        pool.start()
        if ready:
            assert wait_until(lambda: pool.idle_workers == workers)
        return pool

    yield make
    for pool in pools:
        pool.close()


def token_of(future: Future[Detections], timeout_s: float = 20) -> int:
    return int(future.result(timeout_s).class_ids[0])


def pids(pool: DetectorPool) -> list[int]:
    return [worker.pid for worker in pool.status().workers if worker.pid]


def detect_again(pool: DetectorPool, token: int) -> None:
    """Return once the pool detects again."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        try:
            assert token_of(pool.submit(scripted_image(token))) == token
            return
        except (WorkerLost, DetectorTimeout):
            continue
    raise AssertionError("the pool does not detect again")


# --- what it is for


def test_an_unused_pool_is_ready_and_has_done_nothing(make_pool: MakePool) -> None:
    pool = make_pool(workers=2)
    status = pool.status()
    assert [(worker.state, worker.images, worker.restarts) for worker in status.workers] == [
        ("idle", 0, 0)
    ] * 2
    assert (status.waiting, status.degraded, status.error) == (0, False, None)
    assert pool.labels == {0: "thing"}


def test_detections_come_back_for_the_image_that_was_given(make_pool: MakePool) -> None:
    detections = make_pool().submit(scripted_image(77, shape=(30, 40, 3)), score_threshold=0.25).result(20)
    assert detections.boxes.tolist() == [[0, 0, 40, 30]]
    assert detections.scores.tolist() == [0.25]
    assert detections.class_ids.tolist() == [77]


def test_two_hundred_images_of_changing_size_are_never_mixed_up(make_pool: MakePool) -> None:
    pool = make_pool(workers=2, max_waiting=200)
    rng = random.Random(4)
    futures = [
        pool.submit(scripted_image(token, shape=(rng.randint(2, 400), rng.randint(2, 400), 3)))
        for token in range(200)
    ]
    assert [token_of(future) for future in futures] == list(range(200))
    assert sum(worker.restarts for worker in pool.status().workers) == 0


def test_workers_work_at_the_same_time(make_pool: MakePool) -> None:
    pool = make_pool(workers=2)
    futures = [pool.submit(scripted_image(0, Command.SLEEP, 500)) for _ in range(2)]
    assert wait_until(lambda: {worker.state for worker in pool.status().workers} == {"busy"})
    wait_for_futures(futures, 20)


def test_a_loader_may_be_a_function(make_pool: MakePool) -> None:
    assert token_of(make_pool(loader=partial(load_scripted)).submit(scripted_image(3))) == 3


@pytest.mark.parametrize("workers", [0, -1])
def test_a_pool_of_no_workers_is_refused(workers: int) -> None:
    with pytest.raises(ValueError, match=f"workers: got {workers}, expected 1 or more"):
        DetectorPool("good", workers=workers)


@pytest.mark.parametrize(
    "image",
    [None, np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)],
    ids=["none", "empty", "grey", "float"],
)
def test_what_is_no_image_is_refused_at_once(make_pool: MakePool, image: np.ndarray) -> None:
    with pytest.raises(DetectorError, match=r"expected .*\(H, W, 3\) uint8"):
        make_pool(ready=False).submit(image)


# --- the line


def test_the_line_is_bounded_and_keeps_its_order(make_pool: MakePool) -> None:
    pool = make_pool(max_waiting=2)
    done: list[int] = []
    futures = [pool.submit(scripted_image(0, Command.SLEEP, 300))]
    futures += [pool.submit(scripted_image(token)) for token in (1, 2)]
    for future in futures:
        future.add_done_callback(lambda future: done.append(token_of(future)))
    with pytest.raises(DetectorBusy, match="all 1 detector workers are busy, 2 images wait"):
        pool.submit(scripted_image(3))
    wait_for_futures(futures, 20)
    assert done == [0, 1, 2]


def test_who_does_not_want_to_wait_is_told_at_once(make_pool: MakePool) -> None:
    pool = make_pool()
    future = pool.submit(scripted_image(0, Command.SLEEP, 200), may_wait=False)
    with pytest.raises(DetectorBusy):
        pool.submit(scripted_image(1), may_wait=False)
    assert token_of(future) == 0
    assert wait_until(lambda: pool.idle_workers == 1)
    assert token_of(pool.submit(scripted_image(1), may_wait=False)) == 1


@pytest.mark.parametrize("max_waiting", [1, 5])
def test_an_image_in_line_can_be_cancelled_and_makes_room(make_pool: MakePool, max_waiting: int) -> None:
    pool = make_pool(max_waiting=max_waiting)
    busy = pool.submit(scripted_image(0, Command.SLEEP, 200))
    assert not busy.cancel()
    assert pool.submit(scripted_image(1)).cancel()
    assert token_of(pool.submit(scripted_image(2))) == 2
    assert pool.status().workers[0].images == 2


def test_an_image_in_line_is_given_up_when_no_worker_takes_it(make_pool: MakePool) -> None:
    pool = make_pool("stuck", ready=False, timeout_s=0.2)
    with pytest.raises(DetectorTimeout, match=r"no detector worker took the image in 0\.2 s"):
        pool.submit(scripted_image()).result(20)


def test_listeners_hear_of_a_free_worker_and_may_fail(
    make_pool: MakePool, caplog: pytest.LogCaptureFixture
) -> None:
    pool = make_pool()
    free = threading.Event()

    def listener() -> None:
        if pool.idle_workers:
            free.set()
        raise RuntimeError("a listener's own problem")

    pool.add_listener(listener)
    pool.submit(scripted_image(1)).result(20)
    assert free.wait(30)
    pool.remove_listener(listener)
    assert token_of(pool.submit(scripted_image(2))) == 2
    assert "a listener of the detector pool failed" in caplog.text


def test_a_callback_may_fail_and_may_submit(make_pool: MakePool, caplog: pytest.LogCaptureFixture) -> None:
    pool = make_pool()
    followers: list[Future[Detections]] = []
    submitted = threading.Event()

    def submit_and_fail(future: Future[Detections]) -> None:
        followers.append(pool.submit(scripted_image(2)))
        submitted.set()
        raise RuntimeError("a callback's own problem")

    future = pool.submit(scripted_image(1, Command.SLEEP, 100))
    future.add_done_callback(submit_and_fail)
    assert submitted.wait(20)
    assert token_of(followers[0]) == 2
    assert "a callback's own problem" in caplog.text


# --- images that go wrong


@pytest.mark.parametrize(
    ("command", "reason"),
    [(Command.RAISE, "RuntimeError: no luck with this one"), (Command.REFUSE, "the image is refused")],
)
def test_an_image_that_fails_costs_nothing_else(make_pool: MakePool, command: Command, reason: str) -> None:
    pool = make_pool()
    before = pids(pool)
    with pytest.raises(DetectorError, match=f"^{reason}$"):
        pool.submit(scripted_image(0, command)).result(20)
    assert token_of(pool.submit(scripted_image(5))) == 5
    assert pids(pool) == before


@pytest.mark.parametrize(
    ("command", "how"), [(Command.SEGFAULT, "was ended by SIGSEGV"), (Command.EXIT, "ended with exit code 3")]
)
def test_a_worker_that_dies_loses_its_image_alone_and_is_replaced(
    make_pool: MakePool, command: Command, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    pool = make_pool(workers=2)
    lost = pool.submit(scripted_image(0, command, 3))
    others = [pool.submit(scripted_image(token)) for token in range(1, 9)]
    with pytest.raises(WorkerLost, match=how):
        lost.result(20)
    assert [token_of(future) for future in others] == list(range(1, 9))
    assert wait_until(lambda: pool.idle_workers == 2)
    assert [worker.restarts for worker in pool.status().workers] == [1, 0]
    assert pool.status().error is None
    assert len(caplog.records) == 1


@pytest.mark.parametrize("command", [Command.SLEEP, Command.FREEZE])
def test_a_worker_that_does_not_answer_is_replaced(make_pool: MakePool, command: Command) -> None:
    pool = make_pool(timeout_s=0.5)
    with soon():
        late = pool.submit(scripted_image(0, command, 60_000))
        with pytest.raises(DetectorTimeout, match=r"did not answer within 0\.5 s"):
            late.result(20)
    assert wait_until(lambda: pool.idle_workers == 1)
    assert token_of(pool.submit(scripted_image(6))) == 6


def recover_near_the_deadline(pool: DetectorPool, runs: int) -> tuple[int, int]:
    answered = late = 0
    rng = random.Random(16)
    for token in range(runs):
        assert wait_until(lambda: pool.idle_workers == 1)
        try:
            takes_ms = {1: 20, 2: 600}.get(token % 10, rng.randint(280, 320))
            future = pool.submit(scripted_image(token, Command.SLEEP, takes_ms))
            assert token_of(future) == token
            answered += 1
        except DetectorTimeout:
            late += 1
        detect_again(pool, token + 1000)
    return answered, late


def test_a_worker_that_recovers_at_the_deadline_counts_or_is_replaced_cleanly(make_pool: MakePool) -> None:
    pool = make_pool(timeout_s=0.3, restarts=RestartBudget(PLENTY))
    assert sum(recover_near_the_deadline(pool, 8)) == 8


@pytest.mark.parametrize(
    "runs", [pytest.param(30, marks=pytest.mark.slow), pytest.param(100, marks=pytest.mark.soak)]
)
def test_workers_recover_at_the_deadline_again_and_again(make_pool: MakePool, runs: int) -> None:
    pool = make_pool(timeout_s=0.3, restarts=RestartBudget(PLENTY))
    answered, late = recover_near_the_deadline(pool, runs)
    assert answered + late == runs
    assert answered
    assert late


def test_an_answer_is_not_lost_when_its_worker_is_killed_after_it(make_pool: MakePool) -> None:
    pool = make_pool()
    in_callback, go_on = threading.Event(), threading.Event()
    first = pool.submit(scripted_image(1, Command.SLEEP, 100))
    first.add_done_callback(lambda _: (in_callback.set(), go_on.wait(20)))
    second = pool.submit(
        scripted_image(2)
    )  # handed over before the callback, which keeps the pool from listening
    assert in_callback.wait(20)
    [place] = pool._places
    assert place.process is not None
    assert wait_until(place.process.pipe.poll)
    [pid] = pids(pool)
    os.kill(pid, signal.SIGKILL)
    go_on.set()
    assert token_of(second) == 2


def kill_at_random(pool: DetectorPool, kills: int) -> None:
    """Kill workers at random moments while the pool is busy; detection resumes each time."""
    rng = random.Random(15)
    stop = threading.Event()
    mismatched: list[int] = []

    def keep_busy() -> None:
        token = 0
        while not stop.is_set():
            token += 1
            shape = (rng.randint(200, 720), rng.randint(200, 1280), 3)
            image = scripted_image(token, Command.SLEEP, rng.randint(0, 10), shape)
            try:
                if token_of(pool.submit(image)) != token:
                    mismatched.append(token)
            except (WorkerLost, DetectorBusy):
                continue

    submitters = [threading.Thread(target=keep_busy) for _ in range(3)]
    for submitter in submitters:
        submitter.start()
    try:
        for token in range(kills):
            stop.wait(rng.random() * 0.1)
            assert wait_until(lambda: bool(pids(pool)))
            os.kill(rng.choice(pids(pool)), signal.SIGKILL)
            detect_again(pool, 10**6 + token)
    finally:
        stop.set()
        for submitter in submitters:
            submitter.join(20)
    assert mismatched == []


@pytest.mark.parametrize(
    "kills", [10, pytest.param(60, marks=pytest.mark.slow), pytest.param(200, marks=pytest.mark.soak)]
)
def test_workers_killed_at_random_are_replaced_and_nothing_is_mixed_up(
    make_pool: MakePool, kills: int
) -> None:
    pool = make_pool(workers=2, restarts=RestartBudget(PLENTY))
    kill_at_random(pool, kills)
    assert wait_until(lambda: pool.idle_workers == 2), "a place is lost"
    assert pool.status().waiting == 0


def test_a_worker_that_grows_is_replaced_between_images(
    make_pool: MakePool, caplog: pytest.LogCaptureFixture
) -> None:
    pool = make_pool(max_growth_bytes=40 << 20)
    before = pids(pool)
    largest = 0
    for token in range(8):
        assert token_of(pool.submit(scripted_image(token, Command.LEAK, 15))) == token
        largest = max(largest, pool.status().workers[0].memory_bytes)
    assert pids(pool) != before
    assert largest < 130 << 20
    assert pool.status().workers[0].restarts == 0
    assert caplog.records == []


# --- workers that do not start


@pytest.mark.parametrize(
    ("model", "loader", "error", "reason"),
    [
        ("missing", "tests.support.fakes:load_scripted", ModelError, "^missing.tflite: no such file$"),
        ("broken", "tests.support.fakes:load_scripted", DetectorError, "^OSError: a library is missing$"),
        ("good", "tests.support.fakes:no_such_loader", DetectorError, "no attribute 'no_such_loader'"),
        ("good", "no_such_module:load", DetectorError, "No module named 'no_such_module'"),
        ("crash", "tests.support.fakes:load_scripted", WorkerLost, "was ended by SIGSEGV"),
    ],
)
def test_who_waits_for_workers_that_cannot_load_learns_why(
    make_pool: MakePool, model: str, loader: str, error: type[DetectorError], reason: str
) -> None:
    pool = make_pool(model, workers=2, loader=loader, ready=False)
    with pytest.raises(error, match=reason) as caught:
        pool.wait_ready(20)
    assert type(caught.value) is error
    assert pool.labels == {}


def test_workers_that_crash_at_start_are_tried_five_times_then_rarely(
    make_pool: MakePool, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    pool = make_pool("crash", workers=2, ready=False, restarts=RestartBudget(burst=5, refill_s=3600))
    assert wait_until(lambda: pool.status().degraded and not pids(pool), 60)
    assert sum(worker.restarts for worker in pool.status().workers) == 5
    cpu_started, started = time.process_time(), time.monotonic()
    assert not wait_until(lambda: bool(pids(pool)), 1.5)
    assert time.process_time() - cpu_started < 0.05 * (time.monotonic() - started) + 0.05
    assert {worker.state for worker in pool.status().workers} == {"down"}
    assert "SIGSEGV" in (pool.status().error or "")
    assert [record.levelno for record in caplog.records].count(logging.ERROR) == 1
    assert re.search(r"next try in 3[56]\d\d s", caplog.text)
    assert all("\n" not in record.getMessage() for record in caplog.records)
    assert "Traceback" not in capfd.readouterr().err


def test_a_bad_model_is_logged_once(make_pool: MakePool, caplog: pytest.LogCaptureFixture) -> None:
    pool = make_pool("missing", workers=2, ready=False)
    assert wait_until(lambda: pool.status().degraded and not pids(pool))
    assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.ERROR]


def test_a_pool_recovers_by_itself_when_the_cause_is_gone(make_pool: MakePool, tmp_path: Path) -> None:
    flag = tmp_path / "model"
    pool = make_pool(f"file:{flag}", ready=False, restarts=RestartBudget(burst=1, refill_s=3))
    assert wait_until(lambda: pool.status().degraded)
    flag.touch()
    assert wait_until(lambda: pool.idle_workers == 1)
    assert token_of(pool.submit(scripted_image(9))) == 9
    assert (pool.status().degraded, pool.status().error) == (False, None)


def test_a_worker_that_never_gets_ready_is_replaced(make_pool: MakePool) -> None:
    pool = make_pool("stuck", ready=False, timeout_s=1, start_timeout_s=0.3)
    assert wait_until(lambda: pool.status().workers[0].restarts >= 1)
    assert "did not get ready" in (pool.status().error or "")


def test_wait_ready_gives_up_in_time(make_pool: MakePool) -> None:
    with pytest.raises(DetectorTimeout, match=r"no detector worker is ready after 0\.1 s"):
        make_pool("stuck", ready=False).wait_ready(0.1)


# --- what the system refuses


def test_too_few_descriptors_are_named_and_waited_for(make_pool: MakePool) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_descriptors() + 3, hard))
    try:
        pool = make_pool(ready=False, restarts=RestartBudget(1, refill_s=0.5))
        with pytest.raises(DetectorError, match="Too many open files"):
            pool.wait_ready(3)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert wait_until(lambda: pool.idle_workers == 1)


def test_an_image_without_memory_fails_alone(make_pool: MakePool) -> None:
    pool = make_pool()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(DetectorError, match=r"1280x720 pixels: .* 2\.6 MiB needed"):
            pool.submit(scripted_image(1, shape=(720, 1280, 3))).result(20)
        assert token_of(pool.submit(scripted_image(2))) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert pool.status().workers[0].restarts == 0


# --- the process around it


def test_a_worker_is_an_interpreter_of_its_own_with_one_thread_each_for_its_runtimes(
    make_pool: MakePool,
) -> None:
    [pid] = pids(make_pool())
    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    assert {b"OMP_NUM_THREADS=1", b"OPENCV_FOR_THREADS_NUM=1"} <= set(environment)
    assert len(list(Path(f"/proc/{pid}/task").iterdir())) == 1


def test_ctrl_c_is_not_for_workers(make_pool: MakePool) -> None:
    pool = make_pool()
    [pid] = pids(pool)
    assert os.getpgid(pid) != os.getpgid(0)
    os.kill(pid, signal.SIGINT)
    assert token_of(pool.submit(scripted_image(1))) == 1
    assert pids(pool) == [pid]


SCRIPT = """
import os, sys
from detector.pool import DetectorPool
from tests.support.fakes import Command, scripted_image
print("script runs", flush=True)
pool = DetectorPool(sys.argv[1], workers=2, loader="tests.support.fakes:load_scripted")
pool.start()
if sys.argv[2] != "starting":
    pool.wait_ready(20)
    while pool.idle_workers < 2:
        pass
if sys.argv[2] == "busy":
    futures = [pool.submit(scripted_image(0, Command.SLEEP, 60_000)) for _ in range(2)]
if sys.argv[2] == "end":
    print(pool.submit(scripted_image(7)).result(20).class_ids[0], flush=True)
    sys.exit()
while sum(worker.pid is not None for worker in pool.status().workers) < 2:
    pass
print("up", flush=True)
sys.stdin.read()
"""


def run_script(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    return subprocess.Popen(
        [sys.executable, str(script), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )


def test_a_script_needs_no_main_guard_and_no_close(tmp_path: Path) -> None:
    with run_script(tmp_path, "good", "end") as process:
        output, _ = process.communicate(timeout=30)
    assert (process.returncode, output) == (0, "script runs\n7\n")


@pytest.mark.parametrize("state", ["idle", "busy", "starting"])
@pytest.mark.parametrize(
    "kills", [1, pytest.param(5, marks=pytest.mark.slow), pytest.param(20, marks=pytest.mark.soak)]
)
def test_nothing_is_left_when_the_owner_is_killed(tmp_path: Path, state: str, kills: int) -> None:
    memory_before = shared_memory_bytes()
    for _ in range(kills):
        with run_script(tmp_path, "stuck" if state == "starting" else "good", state) as process:
            assert process.stdout is not None
            assert [process.stdout.readline(), process.stdout.readline()] == ["script runs\n", "up\n"]
            workers = children(process.pid)
            assert len(workers) == 2
            process.kill()
            process.wait(30)
            assert wait_until(lambda workers=workers: not any(map(is_alive, workers))), "orphans"  # type: ignore[misc]
    assert shared_memory_bytes() == memory_before


def test_a_forked_copy_of_a_pool_is_refused_and_harmless(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make_pool()
    with monkeypatch.context() as forked:
        forked.setattr(os, "getpid", lambda: -1)
        with pytest.raises(DetectorError, match="start one after the fork"):
            pool.submit(scripted_image())
        pool.close()
    assert token_of(pool.submit(scripted_image(1))) == 1


# --- the end


def test_a_pool_can_be_closed_in_any_state_and_twice(make_pool: MakePool) -> None:
    unstarted = DetectorPool("good", workers=1)
    unstarted.close()
    with pytest.raises(DetectorError, match="closed"):
        unstarted.start()
    pool = make_pool(ready=False)
    pool.close()
    pool.close()
    with pytest.raises(DetectorError, match="closed"):
        pool.submit(scripted_image())
    with pytest.raises(DetectorError, match="closed"):
        pool.wait_ready(1)


@pytest.mark.parametrize("command", [Command.SLEEP, Command.FREEZE])
def test_closing_fails_what_is_under_way_and_does_not_wait_for_it(
    make_pool: MakePool, command: Command
) -> None:
    pool = make_pool()
    futures = [pool.submit(scripted_image(0, command, 60_000)), pool.submit(scripted_image(1))]
    with soon():
        pool.close()
    for future in futures:
        with pytest.raises(DetectorError, match="closed"):
            future.result(0)


def test_a_callback_may_close_the_pool(make_pool: MakePool) -> None:
    pool = make_pool()
    future = pool.submit(scripted_image(1, Command.SLEEP, 50))
    future.add_done_callback(lambda _: pool.close())
    assert token_of(future) == 1
    assert wait_until(lambda: not pids(pool))


def test_a_pool_starts_once_and_takes_nothing_before(make_pool: MakePool) -> None:
    with pytest.raises(DetectorError, match="already started"):
        make_pool(ready=False).start()
    with pytest.raises(DetectorError, match="not started"):
        DetectorPool("good", workers=1).submit(scripted_image())


# --- the model that comes with the package


def test_the_default_model_finds_the_same_in_a_worker_as_in_this_process(make_pool: MakePool) -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 160, 3), np.uint8)
    with load_detector("centernet-mobilenetv3") as detector:
        expected = detector.detect(image, score_threshold=0.02)
        labels = dict(detector.labels)
    pool = make_pool("centernet-mobilenetv3", loader="detector:load_detector")
    found = pool.submit(image, score_threshold=0.02).result(20)
    assert len(found) > 0
    np.testing.assert_array_equal(found.boxes, expected.boxes)
    np.testing.assert_array_equal(found.scores, expected.scores)
    np.testing.assert_array_equal(found.class_ids, expected.class_ids)
    assert pool.labels == labels
    with pytest.raises(ModelError, match="unicorn"):
        pool.submit(image, classes=["unicorn"]).result(20)
