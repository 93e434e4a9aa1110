"""What the machine is that models run on."""

from __future__ import annotations

import os
import platform
from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from detector.model_file import ModelFile

_RUNTIMES = ("ai-edge-litert", "tensorflow", "numpy", "opencv-python-headless")


def usable_cores() -> int:
    """Return how many cores this process may use: those it is bound to, or its container's quota."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(bound, _quota()))


def describe() -> str:
    """Return processor, usable cores and the versions of Python and the runtimes, in one line."""
    versions = [f"Python {platform.python_version()}"]
    for package in _RUNTIMES:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join((f"{usable_cores()} x {processor()}", *versions))


def processor() -> str:
    """Return the name of the processor, as the kernel gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model")))
    return next(names, platform.machine())


def available_memory_bytes() -> int | None:
    """Return what programs may take without swapping; None where it is not told."""
    return _memory_bytes("MemAvailable:")


def total_memory_bytes() -> int | None:
    """Return how much memory there is; None where it is not told."""
    return _memory_bytes("MemTotal:")


def _memory_bytes(row: str) -> int | None:
    """Return a row of /proc/meminfo: proc(5)."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    kib = (int(line.split()[1]) for line in lines if line.startswith(row))
    return next((count * 1024 for count in kib), None)


def _quota(path: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Return the cores of a container's quota, rounded up: Linux, cgroup-v2.rst, "cpu.max"; else many."""
    try:
        quota, period = path.read_text(encoding="ascii").split()
        return -(-int(quota) // int(period))
    except (OSError, ValueError):  # no cgroup, or "max"
        return 1 << 16


def gpus_for(files: Collection[ModelFile], devices: Path = Path("/dev")) -> tuple[str, ...]:
    """Return the GPUs that `files` can use, as CUDA_VISIBLE_DEVICES names them; none without such a model.

    LiteRT has no use for them here, TensorFlow has. devices: where the driver has its nodes (nvidia0, ...),
    of which a container has those it was given.
    """
    if all(file.backend == "litert" or file.path.suffix == ".tflite" for file in files):
        return ()
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        names = [name.strip() for name in allowed.split(",")]
        return tuple(name for name in names if name and name != "-1")
    count = sum(node.name.removeprefix("nvidia").isdigit() for node in devices.glob("nvidia*"))
    return tuple(str(number) for number in range(count))
