"""The process that works on a video, as its owner sees it: start it, hear how far it is, end it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

from pydantic import ValidationError

from stream_server.errors import JobError
from stream_server.jobs.worker import Report, WorkerTask

_PROGRAM = "from stream_server.jobs.worker import main; main()"
_NO_GPU = {"CUDA_VISIBLE_DEVICES": "-1"}
"""A GPU takes what comes first and knows no priorities: it is left to the cameras."""


class WorkProcess:
    """One run of `work.py`. Start it on a thread that outlives it: the kernel kills it when that ends."""

    def __init__(self, task: WorkerTask) -> None:
        """Start it. Raises JobError when the system has no process left for it."""
        search_path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own program, and a number
                [sys.executable, "-c", _PROGRAM, str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
                env={**os.environ, **_NO_GPU, "PYTHONPATH": search_path, "PYTHONSAFEPATH": "1"},
            )
        except OSError as exc:
            raise JobError(f"no process can be started: {exc.strerror}") from exc
        assert self._process.stdin
        with suppress(OSError), self._process.stdin as stdin:  # dead already: it has no last report
            stdin.write(pickle.dumps(task))

    def reports(self) -> Iterator[Report]:
        """Yield what it says, as it comes, until its end."""
        assert self._process.stdout
        with self._process.stdout as lines:
            for line in lines:
                try:
                    yield Report.model_validate_json(line)
                except ValidationError:
                    return  # the line that its end cut off
        self._process.wait()

    def kill(self) -> None:
        """End it now, its detectors with it; from any thread."""
        self._process.kill()

    def close(self) -> None:
        """End it, and collect it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            with suppress(OSError):
                pipe.close()
