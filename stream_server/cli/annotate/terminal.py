"""A terminal of which a part is drawn again and again, while others write to it too."""

from __future__ import annotations

import os
import re
import select
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_STDOUT, _STDERR = 1, 2


def open_terminal() -> int:
    """Return a file descriptor of the terminal behind stderr, which `caught` leaves alone."""
    return os.dup(_STDERR)


@contextmanager
def caught(on_line: Callable[[str], None]) -> Iterator[None]:
    """Hand on, line by line and on a thread, what anybody writes to the terminal, rather than show it.

    That is this process, its C libraries (libjpeg and FFmpeg know no other way), and the processes it starts
    meanwhile; what these write later is lost. Output that goes to a file or a pipe still goes there.
    """
    reader, writer = os.pipe()
    wake, stop = os.pipe()
    kept = {fd: os.dup(fd) for fd in (_STDOUT, _STDERR) if os.isatty(fd)}
    for fd in kept:
        os.dup2(writer, fd)
    os.close(writer)
    thread = threading.Thread(target=_hand_on, args=(reader, wake, on_line), name="terminal", daemon=True)
    thread.start()
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for fd, copy in kept.items():
            os.dup2(copy, fd)
            os.close(copy)
        os.close(stop)
        thread.join()
        os.close(reader)
        os.close(wake)


def _hand_on(reader: int, wake: int, on_line: Callable[[str], None]) -> None:
    rest = b""
    for data in _pieces(reader, wake):
        *lines, rest = re.split(rb"[\r\n]+", rest + data)
        for line in filter(None, lines):
            on_line(line.decode("utf-8", "replace"))
    if rest:
        on_line(rest.decode("utf-8", "replace"))


def _pieces(reader: int, wake: int) -> Iterator[bytes]:
    """Yield what comes until its end, or until nothing is left and `wake` says that this is all."""
    while reader in select.select([reader, wake], [], [])[0]:
        data = os.read(reader, 65536)
        if not data:
            return
        yield data
