"""Keeps runtimes' own messages out of the way: their C++ code has no switch for that."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import threading
from collections.abc import Iterator

_stderr_lock = threading.Lock()  # guards what file descriptor 2 stands for: one model loads at a time


@contextlib.contextmanager
def messages_to(logger: logging.Logger) -> Iterator[None]:
    """Log what is written to stderr meanwhile, as debug messages, instead of showing it.

    What other threads write meanwhile goes there too.
    """
    with _stderr_lock, tempfile.TemporaryFile() as messages:
        try:
            stderr = os.dup(2)
        except OSError:  # the process was started without one
            yield
            return
        os.dup2(messages.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            messages.seek(0)
            for line in messages.read().decode(errors="replace").splitlines():
                logger.debug("%s", line)
