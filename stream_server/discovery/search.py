"""A search for cameras, when somebody asks for one: one at a time, of bounded length."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from typing import Final

from stream_server.config.source_url import parse_source
from stream_server.discovery.makers import maker_of
from stream_server.discovery.onvif import Login, stream_addresses
from stream_server.discovery.wsdiscovery import Device, find_interfaces, probe
from stream_server.errors import AuthenticationFailed, LimitError, OptionError, SourceError
from stream_server.sources.v4l2 import WebcamInfo, find_webcams

ASK_TIMEOUT_S: Final = 5.0
REMEMBER_S: Final = 900.0
"""For so long after a search one of its devices may be asked with a password."""
_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class OnvifCamera:
    """A camera on the network.

    source_hints: where its streams are, or are by what is known of its maker, best first; none where nothing
    is known. are_told: whether the camera itself told them. needs_password: whether it would, for a password.
    """

    name: str
    address: IPv4Address
    maker: str | None
    source_hints: tuple[str, ...]
    are_told: bool
    needs_password: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found. took_s: how long it took."""

    webcams: tuple[WebcamInfo, ...]
    onvif: tuple[OnvifCamera, ...]
    took_s: float


class Search:
    """Searches when asked to; any thread may ask.

    interfaces, webcams: where to search, looked at anew each time.
    """

    def __init__(
        self,
        interfaces: Callable[[], list[IPv4Interface]] = find_interfaces,
        webcams: Callable[[], list[WebcamInfo]] = find_webcams,
    ) -> None:
        self._interfaces = interfaces
        self.webcams = webcams
        self._running = threading.Lock()  # held while a search runs; guards the two below
        self._devices: dict[IPv4Address, Device] = {}
        self._forget_at = 0.0

    def run(self) -> Found:
        """Return what there is, in about 3 s, 8 at most. Raises LimitError while another one runs."""
        with self._alone():
            started = time.monotonic()
            webcams = tuple(self.webcams())
            devices = probe(self._interfaces())
            self._devices = {device.address: device for device in devices}
            until = time.monotonic() + ASK_TIMEOUT_S
            with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="onvif") as pool:
                cameras = tuple(pool.map(lambda device: _ask(device, until), devices))
            self._forget_at = time.monotonic() + REMEMBER_S
            return Found(webcams, cameras, time.monotonic() - started)

    def ask(self, address: IPv4Address, login: Login) -> OnvifCamera:
        """Return what a camera that was found tells who logs in.

        Raises OptionError for an address that did not answer lately, AuthenticationFailed, SourceError,
        LimitError.
        """
        with self._alone():
            device = self._devices.get(address) if time.monotonic() < self._forget_at else None
            if device is None:
                raise OptionError("address", f"{address} did not answer a search lately; search again")
            return _told(device, stream_addresses(device, login, time.monotonic() + ASK_TIMEOUT_S))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._running.acquire(blocking=False):
            raise LimitError("a search for cameras is running; try again in a few seconds")
        try:
            yield
        finally:
            self._running.release()


def lasting_path(webcam: WebcamInfo) -> str:
    """Return the path by which a webcam is found also after a restart, where it has such a path."""
    try:
        return parse_source(webcam.by_id or "").address
    except ValueError:
        return webcam.path


def _ask(device: Device, until: float) -> OnvifCamera:
    """Return what a camera tells anybody, and else what is known of its maker."""
    try:
        return _told(device, stream_addresses(device, None, until))
    except AuthenticationFailed:
        return _guessed(device, needs_password=True)
    except SourceError:
        return _guessed(device, needs_password=False)


def _told(device: Device, addresses: tuple[str, ...]) -> OnvifCamera:
    if not addresses:
        raise SourceError("the camera names no stream")
    maker = maker_of(device.words)
    return OnvifCamera(device.name, device.address, maker.name if maker else None, addresses, True, False)


def _guessed(device: Device, *, needs_password: bool) -> OnvifCamera:
    maker = maker_of(device.words)
    hints = maker.hints(device.address) if maker else ()
    name = maker.name if maker else None
    return OnvifCamera(device.name, device.address, name, hints, False, needs_password)
