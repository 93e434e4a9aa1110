"""Which webcams this machine has, and how to know one again that was unplugged."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# linux/videodev2.h
_VIDIOC_QUERYCAP = 0x80685600
_VIDIOC_REQBUFS = 0xC0145608
_CAPABILITY = struct.Struct("=16s32s32s3I12x")
_REQUEST_BUFFERS = struct.Struct("=5I")
_HAS_DEVICE_CAPS, _VIDEO_CAPTURE = 0x80000000, 0x00000001
_BUF_TYPE_VIDEO_CAPTURE, _MEMORY_MMAP = 1, 1


@dataclass(frozen=True, slots=True)
class WebcamInfo:
    """A webcam: its device path, the name it gives itself, and its lasting path where udev made one."""

    path: str
    name: str
    by_id: str | None


@dataclass(frozen=True, slots=True)
class Identity:
    """What stays the same of a webcam while /dev/videoN changes.

    model: vendor, product and name. port: where it is plugged in. index: which of the camera's devices it is.
    serial: "" where the camera has none; then only the port tells two of a model apart.
    """

    model: tuple[str, str, str]
    index: str
    port: str
    serial: str

    @property
    def name(self) -> str:
        """What the camera calls itself."""
        return self.model[2] or "the webcam"

    def is_same_camera(self, other: Identity) -> bool:
        """Return whether both are the same camera for sure."""
        if (self.model, self.index, self.serial) != (other.model, other.index, other.serial):
            return False
        return bool(self.serial) or self.port == other.port


class Webcams:
    """The webcams below a device and a sysfs folder (others than the machine's own: in tests)."""

    def __init__(self, dev: Path = Path("/dev"), sys: Path = Path("/sys")) -> None:
        self._dev = dev
        self._classes = sys / "class" / "video4linux"

    def node(self, address: str) -> Path:
        """Return where `address` (/dev/...) is; a lasting path is followed to its /dev/videoN."""
        return Path(os.path.realpath(self._dev / address.removeprefix("/dev/")))

    def find(self) -> list[WebcamInfo]:
        """Return the webcams that can be opened, by number; those of no pictures (metadata) left out."""
        found = []
        for node in self._nodes():
            if name := capture_name(node):
                found.append(WebcamInfo(str(node), name, self._by_id(node)))
        return found

    def identify(self, node: Path) -> Identity | None:
        """Return what `node` can be known by later, None where sysfs says nothing."""
        entry = self._classes / node.name
        try:
            device = (entry / "device").resolve(strict=True)
        except OSError:
            return None
        usb = device.parent  # of the interface that `device` is
        model = (_read(usb / "idVendor"), _read(usb / "idProduct"), _read(entry / "name"))
        return Identity(model, _read(entry / "index"), str(device), _read(usb / "serial"))

    def locate(self, identity: Identity) -> Path | None:
        """Return where that camera is now, None while it is unplugged."""
        for node in self._nodes():
            candidate = self.identify(node)
            if candidate and candidate.is_same_camera(identity):
                return node
        return None

    def _nodes(self) -> list[Path]:
        nodes = [node for node in self._dev.glob("video*") if node.name[5:].isdecimal()]
        return sorted(nodes, key=lambda node: int(node.name[5:]))

    def _by_id(self, node: Path) -> str | None:
        links = sorted((self._dev / "v4l" / "by-id").glob("*"))
        return next((str(link) for link in links if Path(os.path.realpath(link)) == node), None)


def find_webcams() -> list[WebcamInfo]:
    """Return this machine's webcams, those that can be opened, by number."""
    return Webcams().find()


def capture_name(node: Path) -> str | None:
    """Return the name of the camera at `node`, None where there is none that gives pictures."""
    try:
        with _opened(node) as fd:
            answer = fcntl.ioctl(fd, _VIDIOC_QUERYCAP, bytes(_CAPABILITY.size))
    except OSError:
        return None
    _, card, _, _, capabilities, device_capabilities = _CAPABILITY.unpack(answer)
    if capabilities & _HAS_DEVICE_CAPS:
        capabilities = device_capabilities
    name: str = card.split(b"\0")[0].decode("utf-8", "replace")
    return (name or node.name) if capabilities & _VIDEO_CAPTURE else None


def check_usable(node: Path) -> None:
    """Raise OSError with the reason if the camera at `node` cannot be used: EACCES, EBUSY, ENODEV..."""
    request = _REQUEST_BUFFERS.pack(0, _BUF_TYPE_VIDEO_CAPTURE, _MEMORY_MMAP, 0, 0)
    with _opened(node) as fd:
        fcntl.ioctl(fd, _VIDIOC_REQBUFS, request)  # of no buffers: fails if another program streams


def users_of(node: Path) -> list[str]:
    """Return "name (process 123)" for each process seen to have `node` open."""
    users = [path for path in Path("/proc").iterdir() if path.name.isdecimal() and _has_open(path, node)]
    return [
        "another camera of this server"
        if int(process.name) == os.getpid()
        else f"{_read(process / 'comm')} (process {process.name})"
        for process in users
    ]


def descriptor_of(node: Path) -> int | None:
    """Return the descriptor this process has open on `node`, for waiting on it; None if it has none."""
    for fd in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{fd}") == str(node):
                return int(fd)
        except OSError:
            continue
    return None


@contextmanager
def _opened(node: Path) -> Iterator[int]:
    fd = os.open(node, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _has_open(process: Path, node: Path) -> bool:
    try:
        return any(os.readlink(fd) == str(node) for fd in (process / "fd").iterdir())
    except OSError:
        return False


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
