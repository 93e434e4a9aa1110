"""A network cable between this machine and a second one: a namespace at the end of a veth pair (veth(4))."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import threading
import uuid
from types import TracebackType

import pytest

from tests.support.needs import need

NETWORK = "198.51.100"  # RFC 5737: of documentation, so nobody's
CLONE_NEWNET = 0x40000000  # sched.h


class Cable:
    """The far machine reaches this one at `address`; `cut` ends that without a word to either side."""

    def __init__(self) -> None:
        number = uuid.uuid4()
        name, first = number.hex[:8], 4 * (number.int % 64)  # there may be several, each with four addresses
        self._name, self._near, self._far = f"test-{name}", f"near-{name}", f"far-{name}"
        self.address, self._far_address = f"{NETWORK}.{first + 1}", f"{NETWORK}.{first + 2}"

    def __enter__(self) -> Cable:
        if os.geteuid() != 0:
            pytest.skip("only root may lay a cable to a network namespace")
        _ip("netns", "add", self._name)
        _ip("link", "add", self._near, "type", "veth", "peer", "name", self._far, "netns", self._name)
        try:
            _ip("address", "add", f"{self.address}/30", "dev", self._near)
            _ip("link", "set", self._near, "up")
            self._there("address", "add", f"{self._far_address}/30", "dev", self._far)
            self._there("link", "set", self._far, "up")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _ip(
            "link", "delete", self._near
        )  # the namespace may live on for closed sockets that wait for answers
        _ip("netns", "delete", self._name)

    def throttle(self, bytes_per_s: int) -> None:
        """Let no more than that through to the far machine (tc-tbf(8))."""
        rate = f"{8 * bytes_per_s}bit"
        command = [need("tc"), "qdisc", "add", "dev", self._near, "root", "tbf", "rate", rate]
        subprocess.run([*command, "burst", "5kb", "latency", "100ms"], check=True)

    def cut(self) -> None:
        """Pull the cable at the far machine."""
        self._there("link", "set", self._far, "down")

    def _there(self, *arguments: str) -> None:
        _ip("-netns", self._name, *arguments)

    def socket(self) -> socket.socket:
        """Return a new TCP socket of the far machine, for use by any thread here."""
        made: list[socket.socket] = []
        libc = ctypes.CDLL(None, use_errno=True)

        def make() -> None:
            """Enter the namespace, which is a thread's, and make a socket, which stays in it."""
            with open(f"/run/netns/{self._name}") as namespace:
                if libc.setns(namespace.fileno(), CLONE_NEWNET) == 0:
                    made.append(socket.socket())

        thread = threading.Thread(target=make, name="far machine", daemon=True)
        thread.start()
        thread.join(30)
        (sock,) = made
        sock.settimeout(30)
        return sock


def _ip(*arguments: str) -> None:
    subprocess.run([need("ip"), *arguments], check=True)
