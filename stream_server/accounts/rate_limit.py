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
ACCOUNT_FACTOR = 5
"""One account may be tried more from all addresses together from which nobody was right yet: its owner's are
never slowed down by what others try."""
MAX_ACCOUNT_LENGTH = 64
MAX_KEYS = 10_000
"""Accounts and addresses remembered; the one that tried longest ago is forgotten first."""


@dataclass(frozen=True, slots=True)
class Try:
    """One that is being made, or was wrong."""

    keys: tuple[tuple[str, ...], ...]  # of its address, of account and address, and of a strange account
    at: float


class Tries:
    """The wrong tries of the last hour. Any thread may call anything."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: seconds that only go up."""
        self._clock = clock
        self._lock = threading.Lock()  # guards the two below
        self._known: OrderedDict[tuple[str, ...], None] = OrderedDict()  # addresses of who was right
        self._made: OrderedDict[tuple[str, ...], deque[float]] = OrderedDict()

    def begin(self, account: str, address: str) -> Try | float:
        """Return the try that may be made now, or the seconds until then."""
        network, account = _network(address), account[:MAX_ACCOUNT_LENGTH]
        factors = {(network,): ADDRESS_FACTOR, (network, account): 1}
        now = self._clock()
        with self._lock:
            if (network, account) not in self._known and not _is_here(address):
                factors["", account] = ACCOUNT_FACTOR
            wait_s = max(self._wait_s(key, now, factor) for key, factor in factors.items())
            if wait_s > 0:
                return wait_s
            for key in factors:
                self._made.setdefault(key, deque()).append(now)
                self._made.move_to_end(key)
            while len(self._made) > MAX_KEYS:
                self._made.popitem(last=False)
        return Try(tuple(factors), now)

    def forgive(self, made: Try) -> None:
        """Forget a try: it was right, so its address is the account's owner's."""
        with self._lock:
            owners = made.keys[1]
            self._known[owners] = None
            self._known.move_to_end(owners)
            if len(self._known) > MAX_KEYS:
                self._known.popitem(last=False)
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


def _is_here(address: str) -> bool:
    """Return whether somebody tries on the server's own machine, who is no stranger."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
