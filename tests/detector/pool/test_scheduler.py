"""Whose turn it is, by a simulated clock; and what a real pool of workers makes of it."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from detector.pool.messages import DetectOptions
from detector.pool.request_queue import Client, Request
from detector.pool.scheduler import CREDIT_S, HOLD_S, Scheduler, Seats, Turn

IMAGE = np.zeros((2, 2, 3), np.uint8)
ONE_FREE = Seats(free=1, staged=0, next_free_at=())
FULL = Seats(free=0, staged=0, next_free_at=(math.inf,))


def jain(rates: list[float]) -> float:
    """Return Jain's index: 1 for equal rates, 1/n when one has all (Jain, Chiu, Hawe, DEC-TR-301, 1984)."""
    return sum(rates) ** 2 / (len(rates) * sum(rate * rate for rate in rates))


def scheduler_of(*clients: Client) -> Scheduler:
    scheduler = Scheduler()
    for client in clients:
        scheduler.add(client)
    return scheduler


def request_of(client: Client, number: int = 0) -> Request:
    return Request(number, client, IMAGE, client.name, DetectOptions(), math.inf)


@dataclass
class Simulation:
    """Cameras and jobs at workers, without a clock, a thread or a process.

    cost_s: of a client's images. comes_after_s: from a camera's call to its image. away_s: from its image to
    its next wish. jobs: clients whose line is never empty.
    """

    workers: int
    cost_s: Callable[[Client], float]
    comes_after_s: Callable[[Client], float] = lambda client: 0.001
    away_s: float = 0.0
    scheduler: Scheduler = field(default_factory=Scheduler)
    images: Counter[str] = field(default_factory=Counter)
    idle_s: float = 0.0

    def run(self, cameras: list[Client], jobs: list[Client], seconds: float) -> None:
        events: list[tuple[float, int, Callable[[float], None]]] = []
        order = itertools.count()
        busy: dict[int, tuple[float, int]] = {}  # worker: when it is done, how many images it holds
        free_since = dict.fromkeys(range(self.workers), 0.0)

        def at(time_s: float, do: Callable[[float], None]) -> None:
            heapq.heappush(events, (time_s, next(order), do))

        def wish(camera: Client) -> Callable[[float], None]:
            return lambda now: self.scheduler.wish(camera)

        def bring(camera: Client) -> Callable[[float], None]:
            def do(now: float) -> None:
                self.scheduler.bring(request_of(camera), now)
                at(now + self.away_s, wish(camera))

            return do

        def seats() -> Seats:
            staged = sum(2 - held for _, held in busy.values())
            return Seats(self.workers - len(busy), staged, tuple(done for done, _ in busy.values()))

        def start(turn: Turn, now: float) -> None:
            assert turn.request is not None
            cost_s = self.cost_s(turn.client)
            self.images[turn.client.name] += 1
            if turn.is_staged:
                worker = min((w for w, (_, held) in busy.items() if held < 2), key=lambda w: busy[w][0])
                busy[worker] = (busy[worker][0] + cost_s, 2)
            else:
                worker = next(w for w in free_since if w not in busy)
                self.idle_s += now - free_since[worker]
                busy[worker] = (now + cost_s, 1)
            done = busy[worker][0]
            at(done, lambda now: finish(worker, turn.request, cost_s, now))

        def finish(worker: int, request: Request | None, cost_s: float, now: float) -> None:
            assert request is not None
            self.scheduler.settle(request, cost_s)
            self.scheduler.learn(request.model, cost_s)
            done, held = busy.pop(worker)
            if held > 1:
                busy[worker] = (done, held - 1)
            else:
                free_since[worker] = now

        for client in (*cameras, *jobs):
            self.scheduler.add(client)
        for camera in cameras:
            at(0.0, wish(camera))
        now = 0.0
        while now < seconds:
            for job in jobs:
                while len(job.line) < 3:
                    self.scheduler.bring(request_of(job), now)
            while turn := self.scheduler.next_turn(seats(), now):
                if turn.request is None:
                    at(now + self.comes_after_s(turn.client), bring(turn.client))
                else:
                    start(turn, now)
            look_at = self.scheduler.look_again_at(seats(), now)
            if events and events[0][0] <= look_at:
                now, _, do = heapq.heappop(events)
                do(now)
            else:
                assert look_at < math.inf, "nothing would ever happen again"
                now = look_at


def cameras_of(count: int, **options: float) -> list[Client]:
    return [Client(f"camera {number}", **options) for number in range(count)]  # type: ignore[arg-type]


# --- one decision at a time


def test_nobody_waits_and_nobody_is_next() -> None:
    scheduler = scheduler_of(Client("a"))
    assert scheduler.next_turn(ONE_FREE, 0.0) is None
    assert scheduler.look_again_at(ONE_FREE, 0.0) == math.inf


def test_a_free_worker_is_held_for_who_was_called_and_then_given_away() -> None:
    slow, other = Client("slow"), Client("other")
    scheduler = scheduler_of(slow, other)
    scheduler.wish(slow)
    scheduler.wish(other)
    assert scheduler.next_turn(ONE_FREE, 1.0) == Turn(slow)
    assert scheduler.next_turn(ONE_FREE, 1.0) is None
    held_until = scheduler.look_again_at(ONE_FREE, 1.0)
    assert held_until == pytest.approx(1.0 + HOLD_S)
    assert scheduler.next_turn(ONE_FREE, held_until) == Turn(other)


def test_who_comes_too_late_is_next() -> None:
    slow, other = Client("slow"), Client("other")
    scheduler = scheduler_of(slow, other)
    scheduler.wish(slow)
    scheduler.next_turn(ONE_FREE, 0.0)
    late = request_of(slow)
    scheduler.bring(late, 1.0)
    scheduler.wish(other)
    assert scheduler.next_turn(FULL, 1.0) is None
    assert scheduler.next_turn(ONE_FREE, 1.1) == Turn(slow, late)


def test_a_turn_given_back_is_the_next_ones_at_once() -> None:
    ending, other = Client("ending"), Client("other")
    scheduler = scheduler_of(ending, other)
    scheduler.wish(ending)
    scheduler.wish(other)
    assert scheduler.next_turn(ONE_FREE, 0.0) == Turn(ending)
    scheduler.withdraw(ending)
    assert scheduler.next_turn(ONE_FREE, 0.0) == Turn(other)


def test_who_takes_part_no_more_leaves_nothing_behind() -> None:
    client = Client("camera")
    scheduler = scheduler_of(client)
    request = request_of(client)
    scheduler.bring(request, 0.0)
    assert scheduler.remove(client) == [request]
    assert scheduler.remove(client) == []
    assert scheduler.next_turn(ONE_FREE, 0.0) is None


def test_who_takes_long_to_come_is_called_before_a_worker_is_free() -> None:
    camera = Client("camera", lead_s=0.01)
    scheduler = scheduler_of(camera)
    scheduler.wish(camera)
    seats = Seats(0, 0, next_free_at=(1.0,))
    assert scheduler.next_turn(seats, 0.98) is None
    call_at = scheduler.look_again_at(seats, 0.98)
    assert call_at == pytest.approx(0.99)
    assert scheduler.next_turn(seats, call_at) == Turn(camera)


def test_a_worker_that_takes_longer_than_usual_does_not_have_everybody_called() -> None:
    first, second = Client("first"), Client("second")
    scheduler = scheduler_of(first, second)
    scheduler.wish(first)
    scheduler.wish(second)
    overdue = Seats(0, 0, next_free_at=(1.0,))
    assert scheduler.next_turn(overdue, 1.0) == Turn(first)
    assert scheduler.next_turn(overdue, 2.0) is None


def test_no_image_is_staged_while_a_camera_that_had_less_waits() -> None:
    camera, job = Client("camera"), Client("job", tag=1.0, may_stage=True)
    scheduler = scheduler_of(camera, job)
    room = Seats(0, staged=1, next_free_at=(math.inf,))
    request = request_of(job)
    scheduler.bring(request, 0.0)
    scheduler.wish(camera)
    assert scheduler.next_turn(room, 0.0) is None
    scheduler.withdraw(camera)
    assert scheduler.next_turn(room, 0.0) == Turn(job, request, is_staged=True)


def test_nothing_is_saved_up_by_being_away() -> None:
    away, busy = Client("away"), Client("busy", tag=100.0)
    scheduler = scheduler_of(away, busy)
    scheduler.bring(request_of(busy), 0.0)
    scheduler.next_turn(ONE_FREE, 0.0)
    scheduler.wish(away)
    assert away.tag == pytest.approx(100.0 - CREDIT_S)


# --- many decisions


def test_cameras_share_alike_whatever_their_number_of_workers() -> None:
    for workers in (1, 2, 3):
        simulation = Simulation(workers, lambda camera: 0.02)
        cameras = cameras_of(8)
        simulation.run(cameras, [], 20)
        assert jain([simulation.images[camera.name] for camera in cameras]) > 0.999


def test_cameras_that_are_away_between_frames_share_alike() -> None:
    simulation = Simulation(2, lambda camera: 0.02, away_s=0.03)
    cameras = cameras_of(8)
    simulation.run(cameras, [], 20)
    assert jain([simulation.images[camera.name] for camera in cameras]) > 0.99


@pytest.mark.parametrize("weight", [0.5, 2.0, 3.0])
def test_weights_are_honoured(weight: float) -> None:
    simulation = Simulation(2, lambda camera: 0.02)
    heavy, *others = cameras_of(8)
    heavy.weight = weight
    simulation.run([heavy, *others], [], 30)
    usual = np.mean([simulation.images[camera.name] for camera in others])
    assert simulation.images[heavy.name] / usual == pytest.approx(weight, rel=0.05)


def test_a_camera_with_a_slower_model_gets_as_much_time_not_as_many_frames() -> None:
    simulation = Simulation(2, lambda camera: 0.2 if camera.name == "slow" else 0.02)
    others = cameras_of(4)
    simulation.run([Client("slow"), *others], [], 40)
    rates = [simulation.images[camera.name] for camera in others]
    assert jain(rates) > 0.99
    assert 10 * simulation.images["slow"] == pytest.approx(np.mean(rates), rel=0.2)


def test_a_camera_that_always_comes_late_costs_the_others_next_to_nothing() -> None:
    def comes_after_s(camera: Client) -> float:
        return 0.3 if camera.name == "late" else 0.001

    simulation = Simulation(1, lambda camera: 0.02, comes_after_s)
    others = cameras_of(4)
    simulation.run([Client("late"), *others], [], 20)
    assert simulation.images["late"] > 20 / 0.6
    assert sum(simulation.images.values()) > 0.9 * 20 / 0.02


@pytest.mark.parametrize("comes_after_s", [0.002, 0.01])
def test_workers_hardly_wait_for_images_that_take_long_to_make(comes_after_s: float) -> None:
    simulation = Simulation(2, lambda camera: 0.02, lambda camera: comes_after_s)
    simulation.run(cameras_of(8), [], 20)
    assert simulation.idle_s < 0.02 * 2 * 20


def test_jobs_and_cameras_share_alike() -> None:
    simulation = Simulation(2, lambda client: 0.02)
    cameras, job = cameras_of(4), Client("job", may_stage=True, max_waiting=3)
    simulation.run(cameras, [job], 20)
    assert jain([simulation.images[client.name] for client in (*cameras, job)]) > 0.99
