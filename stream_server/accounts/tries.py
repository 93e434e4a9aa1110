"""How often somebody may try a password."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

LIMITS = ((1, 1.0), (5, 60.0), (20, 3600.0))
"""So many wrong ones in so many seconds, for one account from one address."""
ADDRESS_FACTOR = 5
"""One address may try more, at different accounts: many people may share it."""
MAX_ACCOUNT_LENGTH = 64
MAX_KEYS = 10_000
"""Accounts and addresses remembered; the one that tried longest ago is forgotten first."""


@dataclass(frozen=True, slots=True)
class Try:
    """One that is being made, or was wrong."""

    keys: tuple[tuple[str, ...], ...]
    at: float


class Tries:
    """The wrong tries of the last hour. Any thread may call anything."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: seconds that only go up."""
        self._clock = clock
        self._lock = threading.Lock()  # guards the dictionary
        self._made: OrderedDict[tuple[str, ...], deque[float]] = OrderedDict()

    def begin(self, account: str, address: str) -> Try | float:
        """Return the try that may be made now, or the seconds until then."""
        network = _network(address)
        keys = ((network,), (network, account[:MAX_ACCOUNT_LENGTH]))
        now = self._clock()
        with self._lock:
            wait_s = max(self._wait_s(keys[0], now, ADDRESS_FACTOR), self._wait_s(keys[1], now, 1))
            if wait_s > 0:
                return wait_s
            for key in keys:
                self._made.setdefault(key, deque()).append(now)
                self._made.move_to_end(key)
            while len(self._made) > MAX_KEYS:
                self._made.popitem(last=False)
        return Try(keys, now)

    def forgive(self, made: Try) -> None:
        """Forget a try: it was right."""
        with self._lock:
            for key in made.keys:
                times = self._made.get(key)
                if times and made.at in times:
                    times.remove(made.at)
                    if not times:
                        del self._made[key]

    def _wait_s(self, key: tuple[str, ...], now: float, factor: int) -> float:
        times = self._made.get(key) or deque()
        while times and now - times[0] >= LIMITS[-1][1]:
            times.popleft()
        due = [times[-factor * most] + span_s for most, span_s in LIMITS if len(times) >= factor * most]
        return max(due, default=now) - now


def _network(address: str) -> str:
    """Return what is one client for sure: an IPv6 address's /64, of which anyone has as many as they like."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    return address if found.version == 4 else str(ip_network((int(found), 64), strict=False))
