"""The worker process: loads a detector and answers one image at a time.

It is a fresh interpreter (see `worker_process.py`) that holds one pipe to its owner and the descriptor of one
image slot, and shares no lock and no queue with anybody, so killing it at any moment harms nobody else. It
ends when the pipe ends, and the kernel ends it when its owner dies without a word.

The messages both sides exchange are here, too: Setup and Job to the worker, then Ready or LoadFailure and
Answer back.
"""

from __future__ import annotations

import ctypes
import importlib
import logging
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Protocol

from detector.detections import BGRImage, Detections
from detector.errors import DetectorError, ModelError
from detector.slots import SlotReader

logger = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class ImageDetector(Protocol):
    """What a loader returns."""

    @property
    def labels(self) -> Mapping[int, str]:
        """The names of the class ids."""

    def detect(
        self,
        image: BGRImage,
        *,
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
        classes: Collection[str] | None = None,
        max_detections: int | None = None,
    ) -> Detections:
        """Return what is in `image`."""


Loader = Callable[[str], ImageDetector]


@dataclass(frozen=True, slots=True)
class DetectOptions:
    """How one image is looked at; None is the detector's own default."""

    score_threshold: float | None = None
    iou_threshold: float | None = None
    classes: tuple[str, ...] | None = None
    max_detections: int | None = None


@dataclass(frozen=True, slots=True)
class Setup:
    """The first message: `loader`, itself or its "module:function", returns the detector for `model`."""

    loader: Loader | str
    model: str


@dataclass(frozen=True, slots=True)
class Job:
    """An image of this shape is in the slot."""

    id: int
    shape: tuple[int, ...]
    options: DetectOptions


@dataclass(frozen=True, slots=True)
class Ready:
    """The detector is loaded."""

    labels: dict[int, str]


@dataclass(frozen=True, slots=True)
class LoadFailure:
    """The detector cannot be loaded, for this reason in one line; the worker ends."""

    error: DetectorError


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of the job `id`: detections, or why there are none, in one line.

    inference_ms: time spent in `detect`. memory_bytes: the worker's own memory, shared pages left out.
    """

    id: int
    result: Detections | DetectorError
    inference_ms: float
    memory_bytes: int


def main() -> None:
    """Run the worker. Arguments: its number, the owner's process id, the descriptors of pipe and slot."""
    number, owner_pid, pipe_fd, slot_fd = (int(argument) for argument in sys.argv[1:])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the owner, which ends us
    _die_with(owner_pid)
    logging.basicConfig(
        level=logging.WARNING, format=f"%(asctime)s %(levelname)s detector worker {number}: %(message)s"
    )
    with Connection(pipe_fd) as owner:
        _serve(owner, SlotReader(slot_fd))
        logging.shutdown()
        os._exit(0)  # Runtimes' own clean-up at exit is slow and may hang; the kernel's is neither.


def _serve(owner: Connection, slot: SlotReader) -> None:
    try:
        detector = _load(owner.recv_bytes())
        if isinstance(detector, DetectorError):
            owner.send(LoadFailure(detector))
            return
        owner.send(Ready(dict(detector.labels)))
        while True:
            job: Job = owner.recv()
            owner.send(_answer(detector, slot, job))
    except (EOFError, ConnectionError):
        return  # the owner closed the pipe, or is gone


def _load(pickled_setup: bytes) -> ImageDetector | DetectorError:
    try:
        setup: Setup = pickle.loads(pickled_setup)  # noqa: S301 - from our owner
        loader = _import_loader(setup.loader) if isinstance(setup.loader, str) else setup.loader
        return loader(setup.model)
    except Exception as exc:  # a loader runs foreign code: whatever it raises is its answer
        return _as_ours(exc)


def _import_loader(path: str) -> Loader:
    module, _, function = path.partition(":")
    loader: Loader = getattr(importlib.import_module(module), function)
    return loader


def _answer(detector: ImageDetector, slot: SlotReader, job: Job) -> Answer:
    started = time.perf_counter()
    result: Detections | DetectorError
    try:
        result = detector.detect(
            slot.read(job.shape),
            score_threshold=job.options.score_threshold,
            iou_threshold=job.options.iou_threshold,
            classes=job.options.classes,
            max_detections=job.options.max_detections,
        )
    except Exception as exc:  # whatever a detector or its runtime raises costs this image only
        result = _as_ours(exc)
    return Answer(job.id, result, (time.perf_counter() - started) * 1000, _own_memory_bytes())


def _as_ours(exc: Exception) -> DetectorError:
    """Return `exc` as an error of one line that the owner can unpickle."""
    if isinstance(exc, DetectorError):
        kind = ModelError if isinstance(exc, ModelError) else DetectorError
        return kind(_one_line(str(exc)))
    logger.debug("foreign error", exc_info=exc)
    return DetectorError(_one_line(f"{type(exc).__name__}: {exc}"))


def _one_line(text: str) -> str:
    return " ".join(text.split())[:500]


def _own_memory_bytes() -> int:
    """Return resident memory less shared pages: proc(5), /proc/pid/statm; 0 where there is none."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            _, resident, shared = (int(field) for field in file.readline().split()[:3])
    except OSError:
        return 0
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE")


def _die_with(owner_pid: int) -> None:
    """Let the kernel kill this process when the thread that started it ends: prctl(2)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != owner_pid:
        os._exit(0)  # it died before the kernel knew
