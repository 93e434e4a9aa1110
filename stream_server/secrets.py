"""Every secret the process knows, and the filter that keeps them out of whatever is shown."""

from __future__ import annotations

import logging
import re
import threading
from urllib.parse import quote, quote_plus

MASK = "***"

_URL_CREDENTIALS = re.compile(r"(?<=://)[^/\s@'\"]*:[^\s/'\"]*@")

_lock = threading.Lock()  # guards _known
_known: set[str] = set()


def register(secret: str) -> None:
    """Make `redact` hide `secret` from now on, plain and percent-encoded. Short ones (< 3) would hide too much."""
    if len(secret) < 3:
        return
    with _lock:
        _known.update((secret, quote(secret, safe=""), quote(secret), quote_plus(secret)))


def redact(text: str) -> str:
    """Return `text` with every registered secret, and whatever stands as user:password@ in a URL, masked."""
    with _lock:
        secrets = sorted(_known, key=len, reverse=True)
    for secret in secrets:
        text = text.replace(secret, MASK)
    return _URL_CREDENTIALS.sub(f"{MASK}@", text)


class RedactingFormatter(logging.Formatter):
    """Formats a record, its traceback included, and masks secrets in the result."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the finished line or lines."""
        return redact(super().format(record))
