"""Whose turn it is: shares the workers' time among the pool's clients.

Start-time fair queueing (Goyal, Vin, Cheng, "Start-time Fair Queuing", SIGCOMM 1996): a client's `tag` grows
by what its images cost of a worker's time, divided by its weight, and the client with the least one is next.
Who was away cannot have saved up more than a little: it comes back with the tag of who is served now.

A client has its images ready, in line, or it wishes to bring one. The second kind are cameras, whose newest
frame is to be chosen, and decoded, when its turn has come. They are *called*, and a free worker is held for
those who were, for some milliseconds: who is later finds it given away, keeps its image and is next.

Nothing here waits, knows the time or has a lock: the pool's guards it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import attrgetter

from detector.pool.request_queue import Client, Request

HOLD_S = 0.005
"""How much longer than it usually takes a called client, a free worker is held for it."""
LEAD_S = 0.02
"""A client is called so long before a worker will be free, at most, if that is what it takes to come."""
CREDIT_S = 0.1
"""A client that was away is so much of its workers' time ahead of others, at most: it makes up for short
absences, such as a camera's from one frame to the next."""
_SMOOTHING = 0.2


@dataclass(frozen=True, slots=True)
class Seats:
    """Room at the workers. free: for images at workers that do nothing. staged: at workers that compute.

    next_free_at: when each of these will be done.
    """

    free: int
    staged: int
    next_free_at: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Turn:
    """Somebody is next. request: its image, None when it is to come; is_staged: for a worker that is busy."""

    client: Client
    request: Request | None = None
    is_staged: bool = False


class Scheduler:
    """The clients, and what each has had."""

    def __init__(self) -> None:
        self._clients: list[Client] = []
        self._costs_s: dict[str, float] = {}
        self._tag = 0.0

    @property
    def clients(self) -> tuple[Client, ...]:
        """All there are."""
        return tuple(self._clients)

    def add(self, client: Client) -> None:
        """Let `client` take part."""
        self._clients.append(client)

    def remove(self, client: Client) -> list[Request]:
        """Let `client` take part no more, and return what it had in line; may be called twice."""
        if client in self._clients:
            self._clients.remove(client)
        client.state = "away"
        return client.line.take_overdue()

    # What clients do.

    def wish(self, client: Client) -> None:
        """Note that `client` would bring an image, if it does not wait already."""
        if client.state == "away":
            client.state = "wishing"
            self._return(client)

    def withdraw(self, client: Client) -> None:
        """Forget the wish of `client`, or its turn."""
        client.state = "away"

    def bring(self, request: Request, now: float) -> None:
        """Put an image in line."""
        client = request.client
        if client.is_called:
            took_s = min(now - client.called_at, LEAD_S)
            client.lead_s += _SMOOTHING * (took_s - client.lead_s)
        client.state = "away"
        client.line.add(request)
        self._return(client)

    def _return(self, client: Client) -> None:
        client.tag = max(client.tag, self._tag - CREDIT_S)

    # What they are given.

    def next_turn(self, seats: Seats, now: float) -> Turn | None:
        """Return who is next, None when there is nobody or no room. A request comes out of its line."""
        waiting = self._waiting()
        soon = sum(free_at <= now + _lead_s(waiting) for free_at in seats.next_free_at)
        held = 0  # seats for those on their way, and for those whose worker will be free soon
        for client in waiting:
            is_room = held < seats.free + soon
            if client.is_called:
                held += soon > 0 or now < _held_until(client)
            elif len(client.line):
                is_free = held < seats.free
                if is_free or (client.may_stage and seats.staged):
                    if turn := self._serve(client, not is_free):
                        return turn
                elif not is_room:
                    return None
                else:
                    held += 1
            elif is_room:
                client.state, client.called_at = "called", now
                return Turn(client)
            else:
                return None  # it waits for a free worker: nobody passes it
        return None

    def look_again_at(self, seats: Seats, now: float) -> float:
        """Return when `next_turn` may have another answer though nothing has happened; inf for never."""
        waiting = self._waiting()
        if all(client.is_called for client in waiting):
            return math.inf  # nobody else would take what is held for them
        times = [free_at - _lead_s(waiting) for free_at in seats.next_free_at]
        if seats.free:
            times += [_held_until(client) for client in waiting if client.is_called]
        return min((time for time in times if time > now), default=math.inf)

    def _waiting(self) -> list[Client]:
        for client in self._clients:
            client.line.drop_cancelled()
        waiting = [client for client in self._clients if client.state != "away" or len(client.line)]
        return sorted(waiting, key=attrgetter("tag"))

    def _serve(self, client: Client, is_staged: bool) -> Turn | None:
        request = client.line.take()
        if request is None or not (is_staged or request.claim()):
            return None  # cancelled just now
        self._tag = max(self._tag, client.tag)
        request.cost_s = self._costs_s.get(request.model, 0.0)
        client.tag += request.cost_s / client.weight
        return Turn(client, request, is_staged)

    def settle(self, request: Request, cost_s: float) -> None:
        """Charge what `request` really cost, in place of the estimate."""
        request.client.tag += (cost_s - request.cost_s) / request.client.weight
        request.cost_s = cost_s

    def learn(self, model: str, cost_s: float) -> None:
        """Note what an image cost, for estimates."""
        known = self._costs_s.setdefault(model, cost_s)
        self._costs_s[model] += _SMOOTHING * (cost_s - known)


def _held_until(client: Client) -> float:
    return client.called_at + client.lead_s + HOLD_S


def _lead_s(waiting: list[Client]) -> float:
    """Return how long who is to be called next takes to come."""
    return next((client.lead_s for client in waiting if client.state == "wishing"), 0.0)
