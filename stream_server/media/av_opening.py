"""What FFmpeg opens: one way for all files and streams that the product reads."""

from __future__ import annotations

import codecs
import stat
import time
from pathlib import Path
from typing import IO, Any

import av
from av.container import InputContainer

from stream_server.base.file_names import readable
from stream_server.errors import SourceError
from stream_server.media.av_decoder import CODEC_WHITELIST

_AS_WINDOWS_1252 = "stream-server-windows-1252"


def _read_as_windows_1252(error: UnicodeError) -> tuple[str, int]:
    """Return what the bytes mean that are no UTF-8: FFmpeg hands on a title as the file has it."""
    assert isinstance(error, UnicodeDecodeError)
    wrong = error.object[error.start : error.end]
    return wrong.decode("cp1252", "replace"), error.end


codecs.register_error(_AS_WINDOWS_1252, _read_as_windows_1252)


class TimeLeft:
    """Counts down the seconds that all steps of opening share.

    Given to `open_input` as its limit: PyAV would allow the whole of a number twice, to connect and to look
    at the streams, but makes a float of what it is given before each.
    """

    LEAST_S = 0.1
    """For FFmpeg to see what has come, however late that was."""

    def __init__(self, seconds: float) -> None:
        self.until = time.monotonic() + seconds

    def __float__(self) -> float:
        """Return the seconds left, LEAST_S where there are less."""
        return max(self.LEAST_S, self.until - time.monotonic())


def open_input(
    address: str | IO[bytes], demuxer: str, options: dict[str, str], **more: Any
) -> InputContainer:
    """Return what is at `address`, open; more: as `av.open` has it. Raises av.FFmpegError and OSError."""
    options = {"codec_whitelist": CODEC_WHITELIST, **options}
    container: InputContainer = av.open(
        address, format=demuxer, options=options, metadata_errors=_AS_WINDOWS_1252, **more
    )
    return container


def open_file(path: Path, demuxer: str) -> InputContainer:
    """Return the file at `path`, open. Raises av.FFmpegError and OSError."""
    # "file:" and the absolute path: no part of the name is taken for a protocol or an option.
    return open_input(f"file:{path.absolute()}", demuxer, {"protocol_whitelist": "file"})


def open_video_file(path: Path, demuxer: str) -> InputContainer:
    """Return the video at `path`, open. Raises SourceError with the reason."""
    _check_file(path)
    try:
        return open_file(path, demuxer)
    except (av.FFmpegError, OSError):
        kind = path.suffix[1:].lower()
        raise SourceError(f"cannot play {readable(path)}: damaged, incomplete, or no {kind} video") from None


def _check_file(path: Path) -> None:
    """Raise SourceError with the reason when there is no file at `path` that can be read."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # before opening: a named pipe would be waited for
            raise SourceError(f"cannot open {readable(path)}: not a file")
        path.open("rb").close()
    except (OSError, ValueError) as exc:  # ValueError: a name with a NUL
        reason = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
        raise SourceError(f"cannot open {readable(path)}: {reason.lower()}") from None
