"""Video files whose frames tell their number by their brightness."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from detector.detections import BGRImage

STEP = 8


def numbered_image(number: int, size_wh: tuple[int, int]) -> BGRImage:
    """Return a grey image that `number_of` reads back, also after lossy coding; 0 to 29."""
    return np.full((size_wh[1], size_wh[0], 3), 10 + STEP * number, np.uint8)


def number_of(image: BGRImage) -> int:
    return round((float(image.mean()) - 10) / STEP)


def write_video(
    path: Path,
    images: list[BGRImage],
    *,
    fps: int = 25,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    options: dict[str, str] | None = None,
    aspect: Fraction | None = None,
) -> Path:
    """Write `images` as a video in the container that the suffix of `path` names.

    aspect: width of a pixel by its height.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pixel_format
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode())
    return path


def write_numbered(
    path: Path, count: int, *, size_wh: tuple[int, int] = (64, 48), fps: int = 25, **how: str
) -> Path:
    images = [numbered_image(number, size_wh) for number in range(count)]
    return write_video(path, images, fps=fps, **how)  # type: ignore[arg-type]


def turn_clockwise(path: Path, height: int) -> None:
    """Make players show the MP4 at `path` turned a quarter clockwise, as phones mark portrait videos.

    Overwrites the matrix in the track header, ISO 14496-12, 8.3.2: (x, y) is shown at (height - y, x).
    """
    data = bytearray(path.read_bytes())
    matrix_at = data.index(b"tkhd") + 4 + 4 + 20 + 16
    one, w_one = 1 << 16, 1 << 30
    data[matrix_at : matrix_at + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, height << 16, 0, w_one)
    path.write_bytes(data)
