"""Webcams without hardware: device nodes and sysfs in a folder, and a child process that sees them."""

from __future__ import annotations

import functools
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from detector.detections import BGRImage
from stream_server.media.encode import encode_jpeg
from stream_server.sources.v4l2 import Webcams
from tests.support.needs import need

SHIM = Path(__file__).with_name("fakecam.c")
TEST_TIMEOUT_S = 40


class Bench:
    """A folder with dev/ and sys/ into which webcams are plugged."""

    def __init__(self, root: Path) -> None:
        self.dev, self.sys = root / "dev", root / "sys"
        self.dev.mkdir()
        (self.sys / "class" / "video4linux").mkdir(parents=True)
        self.webcams = Webcams(self.dev, self.sys)


class FakeWebcam:
    """One webcam, plugged in and out of a bench; flags make it misbehave (see fakecam.c)."""

    def __init__(
        self,
        bench: Bench,
        *,
        name: str = "HD Webcam",
        serial: str = "",
        port: str = "1-1",
        config: str = "MJPG 64 48 50",
        frames: Sequence[bytes] = (),
    ) -> None:
        self._bench = bench
        self._name, self._serial, self._port, self._config = name, serial, port, config
        self._frames = list(frames) or [jpeg_of(colour) for colour in (40, 120, 200)]
        self.number = -1

    @property
    def folder(self) -> Path:
        return self._bench.dev / f"video{self.number}.d"

    @property
    def device(self) -> Path:
        return self.folder.with_suffix("")

    def plug(self, number: int, *, port: str | None = None) -> FakeWebcam:
        """Make it /dev/video<number>."""
        self.number, self._port = number, port or self._port
        self.folder.mkdir()
        for k, frame in enumerate(self._frames):
            (self.folder / f"{k:03}.frame").write_bytes(frame)
        (self.folder / "name").write_text(self._name)
        (self.folder / "config").write_text(self._config)
        os.mkfifo(self.device)
        self._enter_sysfs()
        return self

    def unplug(self) -> None:
        """Take it away: open handles answer ENODEV, the node is gone."""
        self.device.unlink()
        shutil.rmtree(self.folder)
        (self._bench.sys / "class" / "video4linux" / f"video{self.number}").unlink()
        shutil.rmtree(self._bench.sys / "devices" / self._port)
        for link in (self._bench.dev / "v4l" / "by-id").glob("*"):
            if not link.exists():
                link.unlink()

    def set(self, flag: str, on: bool = True) -> None:
        """Set or clear gone, busy, denied, frozen or meta."""
        if on:
            (self.folder / flag).touch()
        else:
            (self.folder / flag).unlink()

    def asked_for(self, what: str) -> tuple[int, int]:
        """Return the last "size" or "rate" that a program asked for."""
        lines = (self.folder / "log").read_text().splitlines()
        first, second = [line.split()[1:] for line in lines if line.split()[0] == what][-1]
        return int(first), int(second)

    def _enter_sysfs(self) -> None:
        usb = self._bench.sys / "devices" / self._port
        entry = usb / f"{self._port}:1.0" / "video4linux" / f"video{self.number}"
        entry.mkdir(parents=True, exist_ok=True)
        for path, text in (
            (usb / "idVendor", "046d"),
            (usb / "idProduct", "0825"),
            (entry / "name", self._name),
            (entry / "index", "0"),
        ):
            path.write_text(text + "\n")
        if self._serial:
            (usb / "serial").write_text(self._serial + "\n")
        device = entry / "device"
        if not device.is_symlink():
            device.symlink_to(usb / f"{self._port}:1.0")
        (self._bench.sys / "class" / "video4linux" / f"video{self.number}").symlink_to(entry)
        self._link_by_id()

    def _link_by_id(self) -> None:
        folder = self._bench.dev / "v4l" / "by-id"
        folder.mkdir(parents=True, exist_ok=True)
        link = folder / "-".join(("usb", self._name.replace(" ", "_"), self._serial, "video-index0"))
        if not link.is_symlink():
            link.symlink_to(f"../../video{self.number}")


def jpeg_of(brightness: int) -> bytes:
    """Return a grey JPEG, 64x48."""
    image: BGRImage = np.full((48, 64, 3), brightness, np.uint8)
    return encode_jpeg(image, 90)


def sees_fake_webcams(test: Callable[..., None]) -> Callable[..., None]:
    """Run the test in a child process in which fake webcams are devices. Its fixtures: `tmp_path` alone."""

    @functools.wraps(test)
    def in_child(**paths: Path) -> None:
        arguments = json.dumps({name: str(path) for name, path in paths.items()})
        child = subprocess.run(
            [sys.executable, "-m", __name__, test.__module__, test.__name__, arguments],
            env={**os.environ, "LD_PRELOAD": str(_shim())},
            capture_output=True,
            text=True,
            timeout=TEST_TIMEOUT_S,
            check=False,
        )
        if child.returncode:
            pytest.fail(f"in the child process:\n{child.stdout}{child.stderr}", pytrace=False)
        assert child.stderr == "", "nothing goes to standard error past the log"

    return in_child


@functools.cache
def _shim() -> Path:
    compiler = need("gcc")
    library = Path(tempfile.mkdtemp(prefix="fakecam-")) / "fakecam.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O2", "-Wall", "-o", str(library), str(SHIM), "-ldl", "-lpthread"],
        check=True,
    )
    return library


def _main(module: str, function: str, arguments: str) -> None:
    test = getattr(importlib.import_module(module), function)
    test.__wrapped__(**{name: Path(path) for name, path in json.loads(arguments).items()})


if __name__ == "__main__":
    _main(*sys.argv[1:])
