"""The worker process: loads its models and answers images.

It is a fresh interpreter (see `worker_process.py`) that holds one pipe to its owner and the descriptors of a
few image slots, and shares no lock and no queue with anybody, so killing it at any moment harms nobody else.
It ends when the pipe ends, and the kernel ends it when its owner dies without a word.

All models are loaded before the worker says that it is ready, so that it can take any image from then on.
"""

from __future__ import annotations

import ctypes
import importlib
import logging
import os
import pickle
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from multiprocessing.connection import Connection

from detector.errors import DetectorError, ModelError
from detector.pool.batches import collect, groups, look_at
from detector.pool.messages import (
    Answer,
    ImageDetector,
    InferenceJob,
    Loader,
    LoadFailure,
    Ready,
    Setup,
    encode,
    name_of,
    one_line,
)
from detector.pool.shared_memory import SharedImageReader

logger = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """Run the worker. Arguments: its number, the owner's process id, the descriptors of pipe and slots."""
    number, owner_pid, pipe_fd, *slot_fds = (int(argument) for argument in sys.argv[1:])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the owner, which ends us
    die_with(owner_pid)
    logging.basicConfig(
        level=logging.WARNING, format=f"%(asctime)s %(levelname)s detector worker {number}: %(message)s"
    )
    with Connection(pipe_fd) as owner:
        _serve(owner, [SharedImageReader(fd) for fd in slot_fds])
        logging.shutdown()
        os._exit(0)  # Runtimes' own clean-up at exit is slow and may hang; the kernel's is neither.


def _serve(owner: Connection, slots: Sequence[SharedImageReader]) -> None:
    try:
        setup: Setup = pickle.loads(owner.recv_bytes())  # noqa: S301 - from our owner
        detectors = _load_all(setup)
        if isinstance(detectors, DetectorError):
            owner.send_bytes(encode(LoadFailure(detectors)))
            return
        owner.send_bytes(encode(Ready({name: dict(each.labels) for name, each in detectors.items()})))
        while True:
            for jobs in groups(collect(owner.recv, owner.poll, setup.max_batch, setup.max_wait_s)):
                _answer(owner, detectors[jobs[0].model], slots, jobs)
    except (EOFError, ConnectionError):
        return  # the owner closed the pipe, or is gone


def _load_all(setup: Setup) -> Mapping[str, ImageDetector] | DetectorError:
    try:
        loader = _import_loader(setup.loader) if isinstance(setup.loader, str) else setup.loader
        load: Callable[..., ImageDetector] = loader
        if setup.threads > 1:
            load = partial(load, threads=setup.threads)
        return {name_of(model): load(model) for model in setup.models}
    except Exception as exc:  # a loader runs foreign code: whatever it raises is its answer
        return _as_ours(exc)


def _import_loader(path: str) -> Loader:
    module, _, function = path.partition(":")
    loader: Loader = getattr(importlib.import_module(module), function)
    return loader


def _answer(
    owner: Connection,
    detector: ImageDetector,
    slots: Sequence[SharedImageReader],
    jobs: Sequence[InferenceJob],
) -> None:
    images = [slots[job.slot].read(job.shape) for job in jobs]
    findings = look_at(detector, images, jobs[0].options)
    memory_bytes = _own_memory_bytes()
    for job, finding in zip(jobs, findings, strict=True):
        result = _as_ours(finding.result) if isinstance(finding.result, Exception) else finding.result
        owner.send_bytes(encode(Answer(job.id, result, finding.inference_ms, memory_bytes)))


def _as_ours(exc: Exception) -> DetectorError:
    """Return `exc` as an error of one line."""
    if isinstance(exc, DetectorError):
        kind = ModelError if isinstance(exc, ModelError) else DetectorError
        return kind(one_line(str(exc)))
    logger.debug("foreign error", exc_info=exc)
    return DetectorError(one_line(f"{type(exc).__name__}: {exc}"))


def _own_memory_bytes() -> int:
    """Return resident memory less shared pages: proc(5), /proc/pid/statm; 0 where there is none."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            _, resident, shared = (int(field) for field in file.readline().split()[:3])
    except OSError:
        return 0
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE")


def die_with(owner_pid: int) -> None:
    """Let the kernel kill this process when the thread that started it ends: prctl(2)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != owner_pid:
        os._exit(0)  # it died before the kernel knew
