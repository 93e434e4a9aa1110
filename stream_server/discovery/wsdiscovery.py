"""WS-Discovery: which ONVIF devices are on the networks of this machine (IPv4; ONVIF Core, section 7).

A probe goes to a multicast group on every interface, and devices answer to where it came from. Anybody may
answer anything: of a sender only what concerns itself is taken, and only on a network of ours.
"""

from __future__ import annotations

import array
import errno
import fcntl
import logging
import re
import selectors
import socket
import struct
import time
import uuid
from collections.abc import Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from typing import Final
from urllib.parse import unquote, urlsplit
from xml.etree.ElementTree import Element

from stream_server.discovery.soap import NS, NotSoap, envelope, parse, texts

log = logging.getLogger(__name__)

GROUP: Final = ("239.255.255.250", 3702)
WITHIN_S: Final = 3.0
SENT_AT_S: Final = (0.0, 0.4)
"""Twice, as datagrams get lost (SOAP-over-UDP 1.1, section 3.3)."""
MAX_DEVICES: Final = 64
MAX_DATAGRAMS: Final = 1000
MAX_BYTES: Final = 64 * 1024

_SCOPE: Final = "onvif://www.onvif.org/"
_MAX_NAME: Final = 64
_MAX_SCOPES: Final = 64
_UNSEEN: Final = re.compile(r"[^\w .,:+/()#&-]+")

# linux/if.h, linux/sockios.h
_SIOCGIFFLAGS, _SIOCGIFADDR, _SIOCGIFNETMASK = 0x8913, 0x8915, 0x891B
_IFF_UP, _IFF_LOOPBACK, _IFF_MULTICAST = 0x1, 0x8, 0x1000


@dataclass(frozen=True, slots=True)
class Device:
    """What answered a probe.

    address: where the answer came from. services: of its own, those that are at this very address.
    name: what it calls itself. words: all that it says of itself, to know its maker by.
    """

    address: IPv4Address
    name: str
    words: str
    services: tuple[str, ...]


def find_interfaces() -> list[IPv4Interface]:
    """Return this machine's addresses with their networks, those from which multicast can be sent."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
        found = (_interface(sock, name) for _, name in socket.if_nameindex())
        return [interface for interface in found if interface]


def _interface(sock: socket.socket, name: str) -> IPv4Interface | None:
    try:
        (flags,) = struct.unpack_from("=H", _ask(sock, _SIOCGIFFLAGS, name), 16)
        if not flags & _IFF_UP or not flags & _IFF_MULTICAST or flags & _IFF_LOOPBACK:
            return None
        address, mask = (_ask(sock, what, name)[20:24] for what in (_SIOCGIFADDR, _SIOCGIFNETMASK))
    except OSError:
        return None  # gone meanwhile, or without an IPv4 address
    return IPv4Interface(f"{socket.inet_ntoa(address)}/{socket.inet_ntoa(mask)}")


def _ask(sock: socket.socket, what: int, name: str) -> bytes:
    request = array.array("b", struct.pack("=16s24x", name.encode()))
    fcntl.ioctl(sock, what, request)
    return request.tobytes()


def probe(interfaces: Iterable[IPv4Interface], within_s: float = WITHIN_S) -> list[Device]:
    """Return what answers on the networks of `interfaces`, each address once, in their order.

    Takes `within_s` seconds.
    """
    message_id = f"urn:uuid:{uuid.uuid4()}"
    found: dict[IPv4Address, Device] = {}
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        for interface in interfaces:
            if sock := _open(interface):
                stack.enter_context(sock)
                selector.register(sock, selectors.EVENT_READ, interface)
        _exchange(selector, message_id, found, within_s)
    return [found[address] for address in sorted(found)]


def _open(interface: IPv4Interface) -> socket.socket | None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface.ip.packed)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        sock.setblocking(False)
        sock.bind((str(interface.ip), 0))
    except OSError as exc:
        sock.close()
        log.info("cameras are not searched for from %s: %s", interface.ip, exc.strerror)
        return None
    return sock


def _exchange(
    selector: selectors.BaseSelector, message_id: str, found: dict[IPv4Address, Device], within_s: float
) -> None:
    started, datagrams = time.monotonic(), 0
    due = [started + delay for delay in SENT_AT_S]
    while (now := time.monotonic()) < started + within_s and datagrams < MAX_DATAGRAMS:
        if due and now >= due[0]:
            due.pop(0)
            _send(selector, envelope(*_probe_message(message_id)))
        wake_at = min([started + within_s, *due])
        for key, _ in selector.select(max(0.0, wake_at - now)):
            datagrams += 1
            assert isinstance(key.fileobj, socket.socket)
            _take(key.fileobj, key.data, message_id, found)


def _send(selector: selectors.BaseSelector, message: bytes) -> None:
    for key in selector.get_map().values():
        assert isinstance(key.fileobj, socket.socket)
        try:
            key.fileobj.sendto(message, GROUP)
        except OSError as exc:
            level = logging.DEBUG if exc.errno == errno.EAGAIN else logging.INFO
            log.log(level, "cameras are not searched for from %s: %s", key.data.ip, exc.strerror)


def _probe_message(message_id: str) -> tuple[str, str]:
    """Return body and header of WS-Discovery 1.0 (April 2005), which is ONVIF's."""
    header = (
        f"<a:Action>{NS['d']}/Probe</a:Action><a:MessageID>{message_id}</a:MessageID>"
        "<a:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</a:To>"
    )
    return "<d:Probe><d:Types>dn:NetworkVideoTransmitter</d:Types></d:Probe>", header


def _take(
    sock: socket.socket, interface: IPv4Interface, message_id: str, found: dict[IPv4Address, Device]
) -> None:
    try:
        data, (host, _) = sock.recvfrom(MAX_BYTES)
    except OSError:
        return  # an ICMP error about the probe
    sender = IPv4Address(host)
    if sender not in interface.network or sender in found or len(found) >= MAX_DEVICES:
        return
    try:
        if device := read_answer(data, sender, message_id):
            found[sender] = device
    except NotSoap as exc:
        log.debug("%s answered what is no ProbeMatches: it %s", sender, exc)


def read_answer(data: bytes, sender: IPv4Address, message_id: str) -> Device | None:
    """Return the device that answered, None where it is none or answers another probe. Raises NotSoap."""
    if message_id.encode() not in data:
        return None
    matches = parse(data).findall("d:ProbeMatches/d:ProbeMatch", NS)
    return _device(matches[0], sender) if matches else None


def _device(match: Element, sender: IPv4Address) -> Device:
    scopes = [scope for text in texts(match, "d:Scopes") for scope in text.split()][:_MAX_SCOPES]
    said = [unquote(scope.removeprefix(_SCOPE)) for scope in scopes if scope.startswith(_SCOPE)]
    services = [url for text in texts(match, "d:XAddrs") for url in text.split()]
    return Device(
        sender,
        _name(said) or f"camera at {sender}",
        " ".join(said)[:2000],
        tuple(url for url in services if is_at(url, sender))[:4],
    )


def _name(said: list[str]) -> str:
    """Return maker and model as people know them, "" where neither is told."""
    parts = {kind: value for kind, _, value in (text.partition("/") for text in reversed(said)) if value}
    words = [parts[kind] for kind in ("name", "hardware") if kind in parts]
    if len(words) == 2 and words[1].lower() in words[0].lower():
        words.pop()
    return _UNSEEN.sub(" ", " ".join(words)).strip()[:_MAX_NAME]


def is_at(url: str, address: IPv4Address) -> bool:
    """Return whether `url` is of HTTP, at `address` itself, and says nothing about who asks."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    is_sound = parts.scheme == "http" and parts.username is None and port != 0 and url.isprintable()
    return is_sound and parts.hostname == str(address)
