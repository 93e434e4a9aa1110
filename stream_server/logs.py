"""How the server talks on the terminal: one line an event, never a secret."""

from __future__ import annotations

import logging
import sys

from stream_server.secrets import RedactingFormatter


def set_up(verbose: bool = False) -> None:
    """Send all log lines to stderr; call it once, in the process's main function."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(RedactingFormatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler], force=True)
    for noisy in ("urllib3", "libav", "asyncio", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
