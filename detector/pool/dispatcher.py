"""Brings images to workers: asks the scheduler whose turn it is, and does as it says."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from threading import Condition

from detector.errors import DetectorBusy, DetectorError, DetectorTimeout, DetectorUnavailable
from detector.pool.messages import Answer, InferenceJob
from detector.pool.request_queue import Client, Request
from detector.pool.scheduler import Scheduler, Seats, Turn
from detector.pool.supervisor import Lost
from detector.pool.worker_process import WorkerProcess
from detector.pool.worker_slot import Assignment, WorkerSlot


@dataclass(frozen=True, slots=True)
class _Order:
    """Work for the process that held a place then; it may be gone by now."""

    place: WorkerSlot
    process: WorkerProcess
    work: Assignment


class Dispatcher:
    """What may be done with images, from any thread.

    An image goes straight from the submitter's thread into the memory of a worker (0.2 to 0.4 ms at
    1280x720), not waiting for another thread's turn. Only when none has room does it wait in line; whoever
    makes room, which is the pool's thread as a rule, hands over what is next.

    refusal: why no image is taken, None when they are.
    """

    def __init__(
        self, places: Sequence[WorkerSlot], changed: Condition, timeout_s: float, wake: Callable[[], None]
    ) -> None:
        """changed: guards all that follows, held for microseconds. wake: wakes the pool's thread."""
        self.refusal: str | None = "the detector pool is not started"
        self.owner_pid = os.getpid()
        self._places = places
        self._changed = changed
        self._timeout_s = timeout_s
        self._wake = wake
        self._asleep_until = -math.inf
        self._scheduler = Scheduler()

    def check_open(self) -> None:
        """Raise DetectorError with the reason when no image is taken."""
        if os.getpid() != self.owner_pid:
            raise DetectorError(
                f"the detector pool belongs to process {self.owner_pid}; start one after the fork"
            )
        if self.refusal:
            raise DetectorUnavailable(self.refusal)

    # What clients ask for.

    def add(self, client: Client) -> None:
        """Let `client` take part."""
        with self._changed:
            self._scheduler.add(client)

    def remove(self, client: Client) -> None:
        """Let `client` take part no more; what it had in line fails. May be called twice."""
        with self._changed:
            requests = self._scheduler.remove(client)
        for request in requests:
            request.complete(_left(client))
        self.dispatch()

    def ask(self, client: Client) -> bool:
        """Return whether `client` may bring an image now; else it is called when it may."""
        if client.is_called:
            return True
        with self._changed:
            self._scheduler.wish(client)
        self.dispatch(asking=client)
        return client.is_called

    def withdraw(self, client: Client) -> None:
        """Forget the wish of `client`, or give its turn to the next one."""
        if client.state == "away":
            return
        with self._changed:
            self._scheduler.withdraw(client)
        self.dispatch()

    def bring(self, request: Request) -> None:
        """Hand an image to a worker, or let it wait in its client's line.

        Raises DetectorBusy when that is full, DetectorError when no image is taken.
        """
        client = request.client
        with self._changed:
            self.check_open()
            if client not in self._scheduler.clients:
                raise _left(client)
            self._scheduler.bring(request, time.monotonic())
            orders, called = self._decide()
            waiting = self._waiting(client)
            is_refused = waiting > client.max_waiting and client.line.remove(request)
        self._carry_out(orders, called)
        if is_refused:
            raise DetectorBusy(
                f"all {len(self._places)} detector workers are busy, {waiting - 1} images wait"
            )

    @property
    def waiting(self) -> int:
        """How many images nobody has begun with; read with the lock held."""
        return sum(self._waiting(client) for client in self._scheduler.clients)

    def _waiting(self, client: Client) -> int:
        staged = (work.request for place in self._places for work in place.work)
        return len(client.line) + sum(request.client is client and request.is_waiting for request in staged)

    # Who is next.

    def dispatch(self, asking: Client | None = None) -> None:
        """Hand over what is next, and call who is; `asking` knows it without being called."""
        with self._changed:
            orders, called = self._decide()
        self._carry_out(orders, [client for client in called if client is not asking])

    def _decide(self) -> tuple[list[_Order], list[Client]]:
        orders, called = [], []
        now = time.monotonic()
        while turn := self._scheduler.next_turn(self._seats(now), now):
            if turn.request is None:
                called.append(turn.client)
            else:
                orders.append(self._give(turn, turn.request, now))
        if self._look_again_at(now) < self._asleep_until:
            self.wake_up()  # once is enough
            self._wake()
        return orders, called

    def _look_again_at(self, now: float) -> float:
        return self._scheduler.look_again_at(self._seats(now), now)

    def fall_asleep(self, until: float) -> float:
        """Return until when the pool's thread may sleep: until then, if nothing is to be done before."""
        with self._changed:
            self._asleep_until = min(until, self._look_again_at(time.monotonic()))
            return self._asleep_until

    def wake_up(self) -> None:
        """Know that the pool's thread is awake, and looks at all there is before it sleeps again."""
        self._asleep_until = -math.inf

    def _seats(self, now: float) -> Seats:
        full = [place for place in self._places if place.state == "busy" and not place.free_seats(now)]
        return Seats(
            free=sum(place.free_seats(now) for place in self._places),
            staged=sum(place.staged_seats() for place in self._places),
            next_free_at=tuple(place.free_at for place in full for _ in range(place.max_batch)),
        )

    def _give(self, turn: Turn, request: Request, now: float) -> _Order:
        if turn.is_staged:
            having_room = [place for place in self._places if place.staged_seats()]
            place = min(having_room, key=lambda place: len(place.work))
        else:
            having_room = [place for place in self._places if place.free_seats(now)]
            place = max(having_room, key=lambda place: len(place.work))  # fill a batch that is begun
        assert place.process is not None
        return _Order(place, place.process, place.take(request, now, self._timeout_s))

    def _carry_out(self, orders: Sequence[_Order], called: Sequence[Client]) -> None:
        for client in called:
            client.on_turn()
        for order in orders:
            self._hand_over(order)

    def _hand_over(self, order: _Order) -> None:
        request, work = order.work.request, order.work
        try:
            order.process.slots[work.slot].write(request.image)
        except DetectorError as exc:
            with self._changed:
                is_ours = order.place.give_up(work)
            if is_ours:
                request.complete(exc)
                self.dispatch()
            return
        job = InferenceJob(request.id, work.slot, request.image.shape, request.model, request.options)
        with self._changed:
            if work in order.place.work:
                work.sent_at = time.monotonic()
                order.process.hand_over(job)

    # What becomes of images; called on the pool's thread.

    def take_answer(self, place: WorkerSlot, work: Assignment, answer: Answer) -> None:
        """Complete what was answered, when the worker has been given what is next."""
        with self._changed:
            spent_s = time.monotonic() - (work.sent_at or 0.0)
            self._settle(work.request, min(answer.inference_ms / 1000, spent_s))
            for following in islice(place.work, place.max_batch):
                following.request.claim()  # the worker begins with it now
        self.dispatch()
        work.request.future.inference_s = answer.inference_ms / 1000
        work.request.complete(answer.result)

    def _settle(self, request: Request, cost_s: float) -> None:
        self._scheduler.settle(request, cost_s)
        self._scheduler.learn(request.model, cost_s)

    def take_loss(self, lost: Lost) -> None:
        """Complete what was lost, and put back in line what was not begun."""
        with self._changed:
            for request in lost.begun:
                self._scheduler.settle(request, lost.after_s)
            for request in reversed(lost.spared):
                request.client.line.put_back(request)
            gone = [request for request in lost.spared if request.client not in self._scheduler.clients]
        for request in (*lost.begun, *gone):
            request.complete(lost.error)

    def expire(self, reason: object) -> None:
        """Complete what has waited too long in line."""
        for request in self._take_overdue(time.monotonic()):
            request.complete(
                DetectorTimeout(f"no detector worker took the image in {self._timeout_s:g} s: {reason}")
            )

    def _take_overdue(self, now: float) -> list[Request]:
        with self._changed:
            lines = [client.line for client in self._scheduler.clients]
            return [request for line in lines for request in line.take_overdue(now)]

    def surrender(self) -> list[Request]:
        """Take all that waits out of its line; with the lock held."""
        return [
            request for client in self._scheduler.clients for request in client.line.take_overdue(math.inf)
        ]


def _left(client: Client) -> DetectorError:
    return DetectorError(f"{client.name} takes part in detection no more")
