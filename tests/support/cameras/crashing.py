"""`stream-server` with demos that crash it, as their width says: opened, by a picture, in another thread."""

from __future__ import annotations

import ctypes
import itertools
import threading

from stream_server.cli import main
from stream_server.media.frames import Picture
from stream_server.sources.demo import DemoSource

AT_ONCE, BY_A_PICTURE, ELSEWHERE = 336, 352, 384


def _open(self: DemoSource) -> None:
    if self.size_wh[0] == AT_ONCE:
        ctypes.string_at(0)
    _really_open(self)


def _read(self: DemoSource, wanted: bool = True) -> Picture | None:
    if self.size_wh[0] == BY_A_PICTURE and next(_count) == 5:
        ctypes.string_at(0)
    if self.size_wh[0] == ELSEWHERE and next(_count) == 5:
        threading.Thread(target=ctypes.string_at, args=(0,)).start()
    return _really_read(self, wanted)


_count = itertools.count()
_really_open, _really_read = DemoSource.open, DemoSource.read

if __name__ == "__main__":
    DemoSource.open, DemoSource.read = _open, _read  # type: ignore[method-assign]
    main()
