"""What people name as a video: a file, a folder of pictures, or a camera."""

from __future__ import annotations

import os
import re
from pathlib import Path

from stream_server.video.input.film import FileReader
from stream_server.video.input.footage import VideoReader
from stream_server.video.options import Options

_CAMERA = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|demo:$|\d{1,3}$|/dev/")


def is_camera(name: str | Path) -> bool:
    """Whether `name` is the address of a camera rather than a path."""
    return isinstance(name, str) and _CAMERA.match(name) is not None


def open_footage(name: str | Path, options: Options) -> VideoReader:
    """Return what is called `name`, open: a camera's address, a folder of pictures, or a video file.

    Raises SourceError with the reason.
    """
    if is_camera(name):
        from stream_server.video.input.recording import Recording  # noqa: PLC0415

        return Recording(str(name), options)
    path = Path(name)
    if os.path.isdir(path):
        from stream_server.video.input.slides import FolderReader  # noqa: PLC0415

        return FolderReader(path, options)
    return FileReader(path, options)
