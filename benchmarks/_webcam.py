"""A webcam that this machine does not have: the tests' virtual one, for programs told to load it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "tests" / "cameras" / "fakecam.c"
LIBRARY = Path(__file__).parent.parent / ".cache" / "fakecam.so"
DEVICE = Path("/dev/video987")


@dataclass(frozen=True)
class Webcam:
    """A device, and the environment of programs that can see it."""

    device: Path
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(LIBRARY)}


@contextmanager
def virtual_webcam(pixel_format: str, size_wh: tuple[int, int], fps: int) -> Iterator[Webcam]:
    """Make the device; what is put into its folder as *.frame is what it shows, by name.

    pixel_format: "MJPG" or "YUYV". Ends the program with a reason where no device can be made.
    """
    folder = Path(f"{DEVICE}.d")
    build()
    try:
        shutil.rmtree(folder, ignore_errors=True)
        DEVICE.unlink(missing_ok=True)
        folder.mkdir()
        os.mkfifo(DEVICE)
    except OSError as exc:
        raise SystemExit(
            f"{DEVICE}: cannot be made ({exc.strerror}); run this as root, in a container"
        ) from exc
    try:
        (folder / "config").write_text(f"{pixel_format} {size_wh[0]} {size_wh[1]} {fps}")
        yield Webcam(DEVICE, folder)
    finally:
        shutil.rmtree(folder)
        DEVICE.unlink()


def build() -> None:
    """Compile the library unless it is there and newer than its source."""
    if LIBRARY.exists() and LIBRARY.stat().st_mtime > SOURCE.stat().st_mtime:
        return
    if not (SOURCE.exists() and shutil.which("gcc")):
        raise SystemExit(f"the virtual webcam needs gcc, linux-libc-dev and {SOURCE}")
    LIBRARY.parent.mkdir(exist_ok=True)
    command = ["gcc", "-shared", "-fPIC", "-O2", "-o", str(LIBRARY), str(SOURCE), "-ldl", "-lpthread"]
    subprocess.run(command, check=True)
