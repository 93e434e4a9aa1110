"""What a video is before it is annotated: how it looks, its frames and what is copied, in turn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias

from av.audio.stream import AudioStream
from av.packet import Packet
from av.subtitles.stream import SubtitleStream
from av.video.frame import VideoFrame

from stream_server.media.orientation import UPRIGHT, turned_wh

if TYPE_CHECKING:
    from av.container import Chapter

CopiedStream: TypeAlias = "AudioStream | SubtitleStream"
CopiedPacket: TypeAlias = "Packet[AudioStream] | Packet[SubtitleStream]"


@dataclass(frozen=True, slots=True)
class Copied:
    """Sound or subtitles that are to be copied; sample: the first packets, to be tried."""

    stream: CopiedStream
    sample: Sequence[CopiedPacket]


@dataclass(frozen=True, slots=True)
class Colours:
    """What pixels' numbers mean, in FFmpeg's codes (libavutil/pixfmt.h); 2 (range: 0) is unspecified."""

    range: int = 0
    space: int = 2
    primaries: int = 2
    transfer: int = 2


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a video has besides its frames.

    size_wh: in pixels, as it is stored. orientation: how players turn it, 1 to 8 as in EXIF.
    rate: frames a second, the average where it varies. time_base: the unit of time stamps, in seconds.
    aspect: width of a pixel by its height. disposition: FFmpeg's flags, e.g. default.
    """

    size_wh: tuple[int, int]
    rate: Fraction
    time_base: Fraction
    orientation: int = UPRIGHT
    aspect: Fraction = Fraction(1)
    colours: Colours = Colours()
    metadata: Mapping[str, str] = field(default_factory=dict)
    video_metadata: Mapping[str, str] = field(default_factory=dict)
    chapters: tuple[Chapter, ...] = ()
    disposition: int = 0

    @property
    def upright_wh(self) -> tuple[int, int]:
        """Width and height as it is shown, in pixels."""
        return turned_wh(self.size_wh, self.orientation)


@dataclass(frozen=True, slots=True)
class VideoFrameItem:
    """One frame. number: 1, 2, 3... in what is annotated.

    pts: when it is shown, in units of the look's `time_base` from where the output begins; ever greater.
    duration: how long it is shown, in the same units, as far as is known.
    time_s: when it is shown in the input, in seconds from where that begins.
    """

    number: int
    pts: int
    duration: int
    time_s: float
    frame: VideoFrame


class VideoReader(ABC):
    """An input, open. A context manager; for one thread at a time."""

    look: VideoInfo
    #: Sound and subtitles to be copied; packets come between the frames, time stamps as the output has them.
    copied: tuple[Copied, ...] = ()
    #: About how many frames there are, None when that is not known.
    expected_frames: int | None = None
    #: What its user should know about it, e.g. that it ends in the middle; may grow while it is read.
    notes: list[str]

    def __init__(self) -> None:
        self.notes = []

    @abstractmethod
    def read(self) -> Iterator[VideoFrameItem | CopiedPacket]:
        """Yield frames, sound and subtitles in the order of the file, once."""

    @abstractmethod
    def close(self) -> None:
        """Close it; may be called twice."""

    def interrupt(self) -> None:  # noqa: B027 - optional
        """Make a wait in `read` end soon; may be called from any thread."""

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Clock:
    """Time stamps that grow: frames without one, or with one that does not grow, follow at the usual pace."""

    def __init__(self, frame_ticks: int) -> None:
        """frame_ticks: how long a frame is usually shown."""
        self.frame_ticks = max(1, frame_ticks)
        self._last: int | None = None

    def stamp(self, pts: int | None) -> int:
        """Return when a frame is shown that says `pts`, in the same unit."""
        if pts is None:
            pts = 0 if self._last is None else self._last + self.frame_ticks
        elif self._last is not None and pts <= self._last:
            pts = self._last + 1
        self._last = pts
        return pts
