"""A program on a terminal of its own, and what is to be seen there."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress

import pyte

from tests.support.needs import need


class Terminal:
    """Runs a command on a terminal of `columns` by `lines`, which it controls. A context manager."""

    def __init__(
        self,
        command: list[str],
        *,
        columns: int = 80,
        lines: int = 24,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._screen = pyte.HistoryScreen(columns, lines, history=1000, ratio=1.0)
        self._stream = pyte.ByteStream(self._screen)
        self._changed = threading.Condition()  # guards the screen
        self._is_over = False
        self._master, slave = pty.openpty()
        self._set_size(columns, lines)
        self._thread = threading.Thread(target=self._read, name="terminal", daemon=True)
        self.process = subprocess.Popen(
            [need("setsid"), "--ctty", *command],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "", "LINES": "", **(environment or {})},
        )
        os.close(slave)

    def __enter__(self) -> Terminal:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._thread.join()
        os.close(self._master)

    def _read(self) -> None:
        with suppress(OSError):  # EIO: nobody has the other end any more
            while data := os.read(self._master, 65536):
                with self._changed:
                    self._stream.feed(data)
                    self._changed.notify_all()
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def send(self, keys: bytes) -> None:
        """Press keys, e.g. 0x03 for Ctrl-C."""
        os.write(self._master, keys)

    def resize(self, columns: int, lines: int) -> None:
        """Make the window another size; the program is told."""
        with self._changed:
            self._screen.resize(lines, columns)
        self._set_size(columns, lines)

    def _set_size(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    @property
    def lines(self) -> list[str]:
        """What was shown and scrolled away, and what is to be seen now, a line each, without empty ones."""
        with self._changed:
            return self._lines()

    def _lines(self) -> list[str]:
        width = self._screen.columns
        gone = ["".join(line[x].data for x in range(width)) for line in self._screen.history.top]
        return [line.rstrip() for line in (*gone, *self._screen.display) if line.strip()]

    def wait_for(self, fact: Callable[[list[str]], bool], timeout_s: float = 30) -> list[str]:
        """Return the lines once `fact` is true of them."""
        with self._changed:
            is_so = self._changed.wait_for(lambda: fact(self._lines()), timeout_s)
            assert is_so, "\n".join(self._lines())
            return self._lines()

    def wait(self, timeout_s: float = 30) -> int:
        """Wait for the end; return the exit code."""
        code = self.process.wait(timeout_s)
        with self._changed:
            self._changed.wait_for(lambda: self._is_over, timeout_s)
        return code
