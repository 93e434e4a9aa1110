"""A worker process as its owner sees it: start it, hand it images, hear from it, end it.

A worker is started as an interpreter of its own rather than by `multiprocessing`'s spawn. Both give a fresh
process that inherits no lock and no runtime, but spawn would run the owner's `__main__` again in every worker
(all of gunicorn and Flask, or a script without the `__name__` guard), would leave a resource tracker beside
the workers, and could cap the runtimes' threads only after they have read their environment.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from multiprocessing import Pipe
from typing import TypeAlias

from detector.errors import DetectorError
from detector.slots import Slot
from detector.worker import Answer, Job, LoadFailure, Ready

Message: TypeAlias = Ready | LoadFailure | Answer

_COLLECT_S = 0.2  # an ended pipe and the ended process are a few ms apart
_PROGRAM = "from detector.worker import main; main()"
_ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENCV_FOR_THREADS_NUM",
        "TF_NUM_INTRAOP_THREADS",
        "TF_NUM_INTEROP_THREADS",
    ),
    "1",
)


class WorkerProcess:
    """One life of a worker.

    Start it from a thread that outlives it: the kernel kills it when that thread ends. `slot.write` and
    `hand_over` may be called from any one thread at a time, the rest belongs to the owner's.
    """

    def __init__(self, number: int, setup: bytes) -> None:
        """Start worker `number` and send it `setup`, a pickled `Setup`.

        Raises DetectorError with the reason when the system has no process, memory or descriptor left for it.
        """
        with ExitStack() as undo:
            self.slot = Slot()
            undo.callback(self.slot.close)
            try:
                self.pipe, theirs = Pipe()
                undo.callback(self.pipe.close)
                with theirs:
                    self._process = _start(number, theirs.fileno(), self.slot.fd)
            except OSError as exc:
                raise DetectorError(f"cannot start a worker process: {exc.strerror}") from exc
            undo.pop_all()
        self.number = number
        self.pid = self._process.pid
        self._stopped_at: float | None = None
        with suppress(ConnectionError):  # dead already: the pipe's end tells
            self.pipe.send_bytes(setup)

    def hand_over(self, job: Job) -> None:
        """Send `job`, whose image is in the slot. Never blocks: a worker has one job at most."""
        with suppress(ConnectionError):
            self.pipe.send_bytes(pickle.dumps(job))

    def receive(self) -> Message | None:
        """Return the next message, to be called when there is one; None after the worker's end."""
        try:
            message: Message = self.pipe.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            return None
        return message

    @property
    def stopping_s(self) -> float:
        """Seconds since `stop` was called first, 0 before."""
        return 0.0 if self._stopped_at is None else time.monotonic() - self._stopped_at

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped_at is not None

    def stop(self) -> None:
        """Send SIGTERM, which ends a worker also while it computes, unless it is frozen."""
        if self._stopped_at is None:
            self._stopped_at = time.monotonic()
            self._process.terminate()

    def kill(self) -> None:
        """Send SIGKILL."""
        self._process.kill()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end of the process and collect it; False when it still runs after `timeout_s`."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=max(0.0, timeout_s))
            return True
        return False

    def has_ended(self) -> bool:
        """Whether the process is gone, and collected."""
        return self._process.poll() is not None

    def close(self) -> str:
        """Release pipe and slot, end the process if that is still to be done, and return how it ended.

        Returns at once; a process that the kernel takes long to end is left for `has_ended` to collect.
        """
        self.pipe.close()
        self.slot.close()
        if self.wait(_COLLECT_S):
            return _describe_end(self._process.returncode)
        self._process.kill()
        return "was killed"


def _start(number: int, pipe_fd: int, slot_fd: int) -> subprocess.Popen[bytes]:
    arguments = [str(argument) for argument in (number, os.getpid(), pipe_fd, slot_fd)]
    search_path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    return subprocess.Popen(  # noqa: S603 - our own program, and numbers
        [sys.executable, "-c", _PROGRAM, *arguments],
        stdin=subprocess.DEVNULL,
        pass_fds=(pipe_fd, slot_fd),
        start_new_session=True,  # a terminal's Ctrl-C reaches the owner alone
        env={**os.environ, **_ONE_THREAD, "PYTHONPATH": search_path, "PYTHONSAFEPATH": "1"},
    )


def _describe_end(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
