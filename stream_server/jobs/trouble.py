"""What keeps a thread from its work, such as a full disk: said when it begins, not each time it is met."""

from __future__ import annotations

import logging

from stream_server.errors import StreamServerError, reason_of


class Trouble:
    """Tells the log of errors, each that follows itself once; used by one thread at a time."""

    def __init__(self, log: logging.Logger, what: str) -> None:
        """what: does not happen meanwhile, e.g. "videos wait"."""
        self._log, self._what = log, what
        self._reason = ""

    def tell(self, error: Exception) -> None:
        """Log an error in a line, with its traceback where nobody expected it."""
        reason = reason_of(error)
        if reason != self._reason:
            is_expected = isinstance(error, (StreamServerError, OSError))
            self._log.error("%s: %s", self._what, reason, exc_info=None if is_expected else error)
        self._reason = reason

    def end(self) -> None:
        """Know that it is over: the next one is told again."""
        self._reason = ""
