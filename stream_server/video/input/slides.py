"""A folder of pictures as footage: time lapses, and what other programs have taken out of videos."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame

from detector.detections import BGRImage
from stream_server.errors import ImageError, SourceError
from stream_server.media.encode import fit
from stream_server.media.image_decoding import decode_image
from stream_server.video.input.footage import Colours, VideoFrameItem, VideoInfo, VideoReader
from stream_server.video.options import Options

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
_MAX_BYTES = 200 * 2**20


def pictures_in(folder: Path) -> list[Path]:
    """Return the pictures in `folder`, 2.jpg before 10.jpg. Raises SourceError when it cannot be read."""
    try:
        return sorted(
            (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES), key=_natural_order
        )
    except OSError as exc:
        raise SourceError(f"cannot read {folder}: {(exc.strerror or str(exc)).lower()}") from None


class FolderReader(VideoReader):
    """The pictures of a folder, `options.fps` a second, in the size of the first; others are made to fit.

    A picture that cannot be read is left out, and named.
    """

    def __init__(self, folder: Path, options: Options) -> None:
        """Raises SourceError when there is no picture."""
        super().__init__()
        rate = Fraction(options.fps).limit_denominator(1001)
        paths = pictures_in(folder)
        first = round(options.start_s * rate)
        last = None if options.end_s is None else round(options.end_s * rate)
        self._begin_s = float(first / rate)
        self._paths = paths[first:last]
        size_wh = self._first_size_wh()
        if size_wh is None:
            raise SourceError(
                f"{folder} has no picture ({', '.join(s[1:] for s in SUFFIXES)}) that can be read"
            )
        # What "unspecified" is taken for depends on the size: say it.
        self.look = VideoInfo(size_wh, rate, 1 / rate, colours=Colours(1, 1, 1, 1))
        self.expected_frames = len(self._paths)

    def _first_size_wh(self) -> tuple[int, int] | None:
        for path in self._paths:
            try:
                image = _decode(path)
            except (ImageError, OSError):
                continue
            return image.shape[1], image.shape[0]
        return None

    def read(self) -> Iterator[VideoFrameItem]:
        """Yield the pictures, once."""
        number = 0
        for path in self._paths:
            try:
                image = _decode(path)
            except (ImageError, OSError) as exc:
                self.notes.append(f"{path.name} is left out: {exc}")
                continue
            number += 1
            yield VideoFrameItem(
                number,
                number - 1,
                1,
                self._begin_s + float((number - 1) / self.look.rate),
                self._frame(image),
            )

    def _frame(self, image: BGRImage) -> VideoFrame:
        frame = VideoFrame.from_ndarray(fit(image, self.look.size_wh), format="bgr24")
        frame.colorspace, frame.color_range = self.look.colours.space, self.look.colours.range
        return frame

    def close(self) -> None:
        """Nothing is open."""


def _decode(path: Path) -> BGRImage:
    if path.stat().st_size > _MAX_BYTES:
        raise ImageError(f"larger than {_MAX_BYTES >> 20} MiB")
    return np.ascontiguousarray(decode_image(path.read_bytes()))


def _natural_order(path: Path) -> list[tuple[int, str]]:
    return [
        (int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name.lower())
    ]
