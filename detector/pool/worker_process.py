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
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from multiprocessing import Pipe

from detector.errors import DetectorError
from detector.pool.messages import MAX_BYTES, InferenceJob, Message, decode
from detector.pool.shared_memory import SharedImage

_PIPE_S = 0.5
"""A message waits no longer for the other side to take it, or to go on after its first byte: a worker that
stops half-way, by accident or on purpose, must not stop the owner."""
_COLLECT_S = 0.2  # an ended pipe and the ended process are a few ms apart
_PROGRAM = "from detector.pool.worker import main; main()"
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

    Start it from a thread that outlives it: the kernel kills it when that thread ends. A slot may be written
    by any one thread at a time, and so may `hand_over` be called; the rest belongs to the owner's thread.
    """

    def __init__(self, number: int, setup: bytes, *, slots: int = 1, device: str | None = None) -> None:
        """Start worker `number` and send it `setup`, a pickled `Setup`.

        slots: images it can hold. device: the only GPU it sees, None: all; see `gpus.py`.

        Raises DetectorError with the reason when the system has no process, memory or descriptor left for it.
        """
        with ExitStack() as undo:
            self.slots = [undo.enter_context(closing(SharedImage())) for _ in range(slots)]
            try:
                self.pipe, theirs = Pipe()
                undo.callback(self.pipe.close)
                with theirs:
                    _limit_waits(self.pipe.fileno())
                    fds = [theirs.fileno(), *(slot.fd for slot in self.slots)]
                    self._process = _start(number, fds, device)
            except OSError as exc:
                raise DetectorError(f"cannot start a worker process: {exc.strerror}") from exc
            undo.pop_all()
        self.number = number
        self.pid = self._process.pid
        self._stopped_at: float | None = None
        with suppress(OSError):  # dead already: the pipe's end tells
            self.pipe.send_bytes(setup)

    def hand_over(self, job: InferenceJob) -> None:
        """Send `job`, whose image is in its slot."""
        try:
            self.pipe.send_bytes(pickle.dumps(job))
        except ConnectionError:
            pass  # dead: the pipe's end tells
        except OSError:
            self.kill()  # it takes nothing, and has half a message now

    def receive(self) -> Message | None:
        """Return the next message, to be called when there is one; None after the worker's end.

        Raises ValueError for what is no message.
        """
        try:
            data = self.pipe.recv_bytes(MAX_BYTES)
        except (EOFError, OSError):
            return None
        return decode(data)

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
        """Release pipe and slots, end the process if that is still to be done, and return how it ended.

        Returns at once; a process that the kernel takes long to end is left for `has_ended` to collect.
        """
        self.pipe.close()
        for slot in self.slots:
            slot.close()
        if self.wait(_COLLECT_S):
            return _describe_end(self._process.returncode)
        self._process.kill()
        return "was killed"


def _start(number: int, fds: Sequence[int], device: str | None) -> subprocess.Popen[bytes]:
    arguments = [str(argument) for argument in (number, os.getpid(), *fds)]
    search_path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    gpu = {} if device is None else {"CUDA_VISIBLE_DEVICES": device}
    return subprocess.Popen(  # noqa: S603 - our own program, and numbers
        [sys.executable, "-c", _PROGRAM, *arguments],
        stdin=subprocess.DEVNULL,
        pass_fds=tuple(fds),
        start_new_session=True,  # a terminal's Ctrl-C reaches the owner alone
        env={**os.environ, **_ONE_THREAD, **gpu, "PYTHONPATH": search_path, "PYTHONSAFEPATH": "1"},
    )


def _limit_waits(pipe_fd: int) -> None:
    """Let reads and writes of a socket fail that wait for long: socket(7), SO_RCVTIMEO, SO_SNDTIMEO."""
    seconds = struct.pack("@ll", int(_PIPE_S), int(_PIPE_S % 1 * 1e6))
    with socket.socket(fileno=os.dup(pipe_fd)) as pipe:
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            pipe.setsockopt(socket.SOL_SOCKET, option, seconds)


def _describe_end(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
