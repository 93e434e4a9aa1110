"""The kinds of files that annotated videos are written as."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from av.video.stream import VideoStream

from stream_server.base.file_names import MAX_BYTES, size_of
from stream_server.errors import StreamServerError

_CAN_TURN = hasattr(VideoStream, "set_display_matrix")  # PyAV 18


_NO_ROOM = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO, errno.EROFS})
"""Errors of the disk: nothing more can be written there now."""


class OutputError(StreamServerError):
    """A file cannot be written, for this reason; what is there of it is kept.

    may_pass: whether it is the disk's fault, so that work may go on once that is mended.
    """

    may_pass = False

    @classmethod
    def of(cls, path: Path, error: Exception) -> OutputError:
        """Return why `path` cannot be written, as `error` says it."""
        number = getattr(error, "errno", None)
        is_system = isinstance(number, int) and 0 < number < 200
        made = cls(
            f"cannot write {path}: {os.strerror(int(number)).lower() if number and is_system else error}"
        )
        made.may_pass = number in _NO_ROOM
        return made


@dataclass(frozen=True, slots=True)
class Kind:
    """What a file is made of. tick: the unit of time where it is not the input's, None: one frame.

    is_even: whether sides have to be even. holds_turn: whether players can be told to turn or mirror it.
    """

    name: str
    muxer: str
    codec: str
    pixels: str
    options: dict[str, str]
    muxer_options: dict[str, str]
    is_even: bool = False
    holds_turn: bool = False
    holds_streams: bool = True
    holds_times: bool = True

    @property
    def demuxer(self) -> str:
        """FFmpeg's name of what reads it."""
        return "mov" if self.muxer == "mp4" else self.muxer

    @property
    def is_h264(self) -> bool:
        """Whether frames are H.264."""
        return self.codec == "libx264"

    @property
    def is_jpeg(self) -> bool:
        """Whether frames are JPEGs: BT.601, full range, whatever the input's (JFIF)."""
        return self.codec == "mjpeg"


# veryfast: 10.7 ms a frame of 1920x1080 on one core (superfast 8.9 for 1.7 times the bytes, faster 18.6).
# Without B-frames nothing is shifted against the sound, and a file can be continued at any frame.
# Looking 2 frames ahead, not 10, takes 50 MB less of 1920x1080, and no more bytes.
_X264 = {"preset": "veryfast", "crf": "21", "bf": "0", "rc-lookahead": "2"}
# A file that is not finished, since the power failed or the disk is full, plays nevertheless.
_MOV = {"movflags": "hybrid_fragmented+delay_moov"}
_MKV = {"default_mode": "passthrough"}  # else it marks others as default than the input did

NAME_BYTES = MAX_BYTES - len(".coco.json.part") + len(".mp4")
"""The longest name of a file, so that what is written beside it can be named after it."""
KINDS = {
    ".mp4": Kind("MP4", "mp4", "libx264", "yuv420p", _X264, _MOV, is_even=True, holds_turn=_CAN_TURN),
    ".m4v": Kind("MP4", "mp4", "libx264", "yuv420p", _X264, _MOV, is_even=True, holds_turn=_CAN_TURN),
    ".mov": Kind("MOV", "mov", "libx264", "yuv420p", _X264, _MOV, is_even=True, holds_turn=_CAN_TURN),
    ".mkv": Kind("MKV", "matroska", "libx264", "yuv420p", _X264, _MKV, is_even=True, holds_turn=_CAN_TURN),
    ".avi": Kind("AVI", "avi", "mjpeg", "yuvj420p", {"qmin": "2", "qmax": "4"}, {}, holds_times=False),
    ".gif": Kind("GIF", "gif", "gif", "pal8", {}, {}, holds_streams=False),
}
"""By the file's extension."""


def kind_of(path: Path) -> Kind:
    """Return what is written at `path`.

    Raises OutputError for an extension that is none of `KINDS`, or a name longer than `NAME_BYTES`.
    """
    if (size := size_of(path.name)) > NAME_BYTES:
        raise OutputError(f"{path}: expected a name of at most {NAME_BYTES} bytes, got {size}")
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        raise OutputError(f"{path}: expected the extension {', '.join(KINDS)}")
    return kind
