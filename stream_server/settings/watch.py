"""Notices that the configuration file was changed by hand, or that somebody asks to read it again."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Literal

from stream_server.settings.live import LiveSettings

log = logging.getLogger(__name__)

POLL_INTERVAL_S = 1.0
SETTLE_S = 0.3
"""A file that changed is taken once it stays the same for so long: until then somebody writes it."""
CLOSE_TIMEOUT_S = 3.0


class ConfigWatcher:
    """A thread that looks at the file's content, not its dates, which network file systems round."""

    def __init__(self, settings: LiveSettings) -> None:
        """Prepare; `start` begins."""
        self._settings = settings
        # Put to by a signal handler, which may interrupt anything, itself too: no other queue allows that.
        self._asked: SimpleQueue[Literal["reload", "end"]] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="settings", daemon=True)

    def __enter__(self) -> ConfigWatcher:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread; may be called twice and from any thread."""
        self._asked.put("end")
        if self._thread.is_alive():
            self._thread.join(CLOSE_TIMEOUT_S)

    def ask(self) -> None:
        """Have all read again soon; signal handlers may call this."""
        self._asked.put("reload")

    def _run(self) -> None:
        changed: str | None = None
        while "end" not in (asked := self._wait(POLL_INTERVAL_S if changed is None else SETTLE_S)):
            try:
                changed = self._look(changed, is_asked="reload" in asked)
            except Exception:
                log.exception("the configuration could not be read again")

    def _wait(self, timeout_s: float) -> set[str]:
        """Return what was asked for, nothing after so long; asking often at once is asking once."""
        asked: set[str] = set()
        with suppress(Empty):
            asked.add(self._asked.get(timeout=timeout_s))
            while True:
                asked.add(self._asked.get_nowait())
        return asked

    def _look(self, changed: str | None, *, is_asked: bool) -> str | None:
        """Take what there is; return what is new but may be half of what comes."""
        if is_asked:
            self._settings.reload()
            return None
        news = self._settings.has_news()
        if news is not None and news == changed:
            self._settings.take(news)
            return None
        return news
