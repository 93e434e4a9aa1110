"""A webcam that this machine does not have: the tests' virtual one, for programs told to load it."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "tests" / "support" / "cameras" / "fakecam.c"
LIBRARY = Path(__file__).parent.parent / ".cache" / "fakecam.so"
NUMBERS = range(900, 1000)


@dataclass(frozen=True)
class Webcam:
    """A device, and the environment of programs that can see it."""

    device: Path
    folder: Path
    pixel_format: str

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(LIBRARY)}


@contextmanager
def virtual_webcam(pixel_format: str, size_wh: tuple[int, int], fps: int) -> Iterator[Webcam]:
    """Make the device; what is put into its folder as *.frame is what it shows, by name.

    pixel_format: "MJPG" or "YUYV". Ends the program with a reason where no device can be made.
    """
    build()
    try:
        device, folder = new_device()
    except OSError as exc:
        raise SystemExit(
            f"no device can be made in /dev ({exc.strerror}): run this as root, in a container"
        ) from exc
    try:
        (folder / "config").write_text(f"{pixel_format} {size_wh[0]} {size_wh[1]} {fps}")
        yield Webcam(device, folder, pixel_format)
    finally:
        shutil.rmtree(folder)
        device.unlink()


def new_device() -> tuple[Path, Path]:
    """Make a named pipe /dev/videoN that is nobody else's, and its folder; return both."""
    for number in NUMBERS:
        device, folder = Path(f"/dev/video{number}"), Path(f"/dev/video{number}.d")
        with suppress(FileExistsError):
            os.mkfifo(device)
            folder.mkdir()
            return device, folder
    raise FileExistsError(errno.EEXIST, f"video{NUMBERS[0]} to {NUMBERS[-1]} are all there")


def build() -> None:
    """Compile the library unless it is there and newer than its source."""
    if LIBRARY.exists() and LIBRARY.stat().st_mtime > SOURCE.stat().st_mtime:
        return
    if not (SOURCE.exists() and shutil.which("gcc")):
        raise SystemExit(f"the virtual webcam needs gcc, linux-libc-dev and {SOURCE}")
    LIBRARY.parent.mkdir(exist_ok=True)
    command = ["gcc", "-shared", "-fPIC", "-O2", "-o", str(LIBRARY), str(SOURCE), "-ldl", "-lpthread"]
    subprocess.run(command, check=True)
