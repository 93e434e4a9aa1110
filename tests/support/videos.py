"""Videos to be annotated, what is in the results, and a detector that some frames end."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from detector import BGRImage, Detections
from tests.support.fakes import PatchDetector
from tests.support.needs import need

BARS = np.array([(60, 60, 190), (60, 190, 70), (200, 120, 60), (30, 200, 220), (150, 60, 170)], np.uint8)
"""Colours (BGR) that no detector of these tests takes for an object."""
BARS_HEIGHT = 24
RED, BLUE, GREY, WHITE = (0, 0, 255), (255, 0, 0), (90, 90, 90), (255, 255, 255)


class TouchyDetector(PatchDetector):
    """A PatchDetector that a white frame ends."""

    def detect(self, image: BGRImage, *, classes: Collection[str] | None = None, **_: object) -> Detections:  # type: ignore[override]
        if image.mean() > 230:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().detect(image, classes=classes)


def load_touchy(model: str) -> TouchyDetector:
    """Return a TouchyDetector, whatever `model` is."""
    return TouchyDetector()


def scene(number: int, size_wh: tuple[int, int] = (160, 120), *, patch: bool = True) -> BGRImage:
    """Return a grey picture with a blue patch that moves to the right by 2 pixels a frame."""
    width, height = size_wh
    image = np.full((height, width, 3), GREY, np.uint8)
    if patch:
        left = 10 + 2 * number % (width - 50)
        image[height // 4 : 3 * height // 4, left : left + 30] = BLUE
    return image


def write_scenes(
    path: Path,
    count: int,
    *,
    size_wh: tuple[int, int] = (160, 120),
    pts: list[int] | None = None,
    tick: Fraction = Fraction(1, 1000),
    pixel_format: str = "yuv420p",
    codec: str = "libx264",
    turn: int = 0,
    colours: tuple[int, int, int, int] | None = None,
    white: Collection[int] = (),
    empty: Collection[int] = (),
    options: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Write `count` scenes at 25 frames a second, or at `pts` in units of `tick`.

    white, empty: numbers, from 0, of frames that are white, or without the patch.
    colours: codes of range, matrix, primaries and transfer function, as which the pixels are encoded;
    then `BARS` stand below the patch.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = size_wh
        stream.pix_fmt = pixel_format
        context = stream.codec_context
        context.time_base = tick if pts else Fraction(1, 25)
        if colours:
            context.color_range, context.colorspace, context.color_primaries, context.color_trc = colours
        if turn:
            stream.set_display_rotation(turn)
        container.metadata.update(metadata or {})
        for number in range(count):
            image = scene(number, size_wh, patch=number not in empty)
            if number in white:
                image[:] = WHITE
            if colours:
                image[-BARS_HEIGHT:] = np.repeat(BARS, size_wh[0] // len(BARS), axis=0)
            frame = _encodable(image, pixel_format, colours)
            frame.pts, frame.time_base = pts[number] if pts else number, context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _encodable(
    image: BGRImage, pixel_format: str, colours: tuple[int, int, int, int] | None
) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(image, format="bgr24")
    if colours is None:
        return frame.reformat(format=pixel_format)
    color_range, matrix, _, _ = colours
    return frame.reformat(
        format=pixel_format,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange(color_range),
        dst_colorspace=Colorspace.ITU709 if matrix == 1 else Colorspace.ITU601,
    )


def add_sound(path: Path, out: Path, seconds: float, codec: str = "aac") -> Path:
    """Write the video at `path` with a tone of that length to `out`."""
    tone = f"sine=frequency=440:duration={seconds}"
    command = [need("ffmpeg"), "-v", "error", "-y", "-i", str(path), "-f", "lavfi", "-i", tone]
    subprocess.run([*command, "-c:v", "copy", "-c:a", codec, str(out)], check=True, timeout=60)
    return out


@dataclass(frozen=True)
class Found:
    """What FFmpeg's own programs say about a video. times_s: when its frames are shown."""

    times_s: list[float]
    size_wh: tuple[int, int]
    codec: str
    turn: int


def probe(path: Path) -> Found:
    """Return what is in the video at `path`, all of it decoded."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [(frame.time, frame.rotation) for frame in container.decode(stream)]
        times = [float(time or 0) for time, _ in frames]
        size_wh = stream.codec_context.width, stream.codec_context.height
        return Found(times, size_wh, stream.codec_context.name, frames[0][1] % 360 if frames else 0)


def images_of(path: Path) -> list[BGRImage]:
    """Return the pictures of a video, as stored."""
    with av.open(str(path)) as container:
        return [np.asarray(f.to_ndarray(format="bgr24"), np.uint8) for f in container.decode(video=0)]


def ffmpeg_images_of(path: Path) -> list[BGRImage]:
    """Return the pictures of a video as FFmpeg's program shows them, ranges and matrices heeded."""
    width, height = probe(path).size_wh
    command = [need("ffmpeg"), "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "bgr24", "-"]
    raw = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
    return list(np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3))


def sound_of(path: Path) -> list[tuple[int, bytes]]:
    """Return the time stamps and bytes of the sound as they lie in the file."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.size]
        return [(packet.pts or 0, bytes(packet)) for packet in packets]


def subtitles_of(path: Path) -> list[tuple[float, float, str]]:
    """Return when each subtitle begins, from the first frame on, how long it is shown, and what it says."""
    zero_s, said = None, []
    with av.open(str(path)) as container:
        for packet in container.demux(video=0, subtitles=0):
            at_s = float((packet.pts or 0) * packet.time_base)
            if packet.size and packet.stream.type == "video":
                zero_s = at_s if zero_s is None else min(zero_s, at_s)
            elif packet.size:
                said.append((at_s, float(packet.duration * packet.time_base), bytes(packet).decode()))
    return [(round(at_s - (zero_s or 0.0), 2), round(length_s, 2), text) for at_s, length_s, text in said]


def decoded_sound(path: Path) -> bytes:
    """Return a checksum of the sound as it is heard."""
    command = [need("ffmpeg"), "-v", "error", "-i", str(path), "-map", "0:a", "-f", "md5", "-"]
    return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout


def write_with_latin_title(path: Path) -> Path:
    """Write 12 scenes; the title is café, in Latin-1 rather than UTF-8."""
    write_scenes(path, 12, metadata={"title": "cafX"})
    path.write_bytes(path.read_bytes().replace(b"cafX", b"caf\xe9"))
    return path
