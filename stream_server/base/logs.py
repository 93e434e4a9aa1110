"""How the server talks: one line an event, never a secret; on the terminal, and the newest for pages."""

from __future__ import annotations

import logging
import sys
import time
from collections import deque
from dataclasses import dataclass

from stream_server.base.redaction import RedactingFormatter, redact

ALIKE_CHARACTERS = 20
REPEATED_EVERY_S = 60.0
MAX_KINDS = 100
MAX_CHARACTERS = 4000
"""Of a line that is kept, with its traceback."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """number: 1, 2, 3…; at: seconds since 1970; level: its name in `logging`."""

    number: int
    at: float
    level: str
    text: str


class LogTail(logging.Handler):
    """Keeps the newest lines. Any thread may log, and read."""

    def __init__(self, size: int = 200) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(message)s"))
        self._count = 0
        self._lines: deque[LogLine] = deque(maxlen=size)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record; `logging` calls this for one after the other."""
        try:
            text = redact(self.format(record), MAX_CHARACTERS)
        except Exception:
            self.handleError(record)
            return
        self._count += 1
        self._lines.append(LogLine(self._count, record.created, record.levelname, text))

    def lines(self, after: int = 0) -> list[LogLine]:
        """Return those with a higher number than `after`, the oldest first, with all secrets masked.

        That is done here once more: some secrets become known after they were logged.
        """
        newer = [line for line in tuple(self._lines) if line.number > after]
        return [LogLine(line.number, line.at, line.level, redact(line.text)) for line in newer]


RECENT_LOG = LogTail()
"""Of this process; a process that is forked goes on with a copy."""


def set_up(verbose: bool = False) -> None:
    """Send all log lines to stderr, and keep the newest; call it once, in the process's main function."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(RedactingFormatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    level = logging.DEBUG if verbose else logging.INFO
    logging.basicConfig(level=level, handlers=[handler, RECENT_LOG], force=True)
    for noisy in ("urllib3", "libav", "asyncio", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


class RepeatFilter(logging.Filter):
    """Lets through the first of lines that begin alike, then one a minute that says how many came."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[str, tuple[float, int]] = {}  # when the last one was let through, and how many since

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is to be logged; `logging` calls this for one after the other."""
        key, now = record.getMessage()[:ALIKE_CHARACTERS], time.monotonic()
        last, count = self._seen.get(key, (float("-inf"), 0))
        if now - last < REPEATED_EVERY_S:
            self._seen[key] = (last, count + 1)
            return False
        if count:
            record.msg, record.args = f"{record.getMessage()} ({count} more like it before)", ()
        if len(self._seen) >= MAX_KINDS:
            self._seen.clear()
        self._seen[key] = (now, 0)
        return True
