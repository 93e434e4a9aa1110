"""What the virtual webcam looks at: frames that carry their number, and a record of when each was there.

`python -m benchmarks._sensor FOLDER FORMAT TIMES` writes each frame into a named pipe when the driver of the
webcam in FOLDER fetches one, and appends the time it was complete (monotonic seconds, a double) to TIMES.
"""

from __future__ import annotations

import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2

from detector.detections import BGRImage
from stream_server.encode import encode_jpeg
from stream_server.sources.demo import DemoScene

SIZE_WH = (1280, 720)
FPS = 30
PIPE = "0.frame"
NUMBERS = 256
"""Frame n shows n modulo this: 8.5 s pass until a number comes again."""
BITS = 8
BLOCK_PX = 32
JPEG_QUALITY = 57
READER_RESTS_S = 0.02
"""By then the driver has closed the pipe and viewers have the frame: making the next one disturbs nobody."""

TIME = struct.Struct("d")


def main(folder: Path, pixel_format: str, times: Path) -> None:
    """Serve frames until killed."""
    make_frame = {"MJPG": jpeg_frames, "YUYV": yuyv_frames}[pixel_format]()
    with times.open("ab", buffering=0) as record:
        number = 0
        while True:
            frame = make_frame(number % NUMBERS)
            with (folder / PIPE).open("wb") as pipe:  # waits for the driver
                pipe.write(frame)
                pipe.flush()
                record.write(TIME.pack(time.monotonic()))
            time.sleep(READER_RESTS_S)
            number += 1


def jpeg_frames() -> Callable[[int], bytes]:
    """Return what gives frame n as a JPEG; all are made beforehand, as a camera does it in hardware."""
    demo = DemoScene(SIZE_WH, FPS)
    jpegs = [encode_jpeg(with_number(demo.frame(n), n), JPEG_QUALITY) for n in range(NUMBERS)]
    return jpegs.__getitem__


def yuyv_frames() -> Callable[[int], bytes]:
    """Return what gives frame n as raw pixels."""
    demo = DemoScene(SIZE_WH, FPS)

    def make(number: int) -> bytes:
        return cv2.cvtColor(with_number(demo.frame(number), number), cv2.COLOR_BGR2YUV_YUYV).tobytes()

    return make


def with_number(image: BGRImage, number: int) -> BGRImage:
    """Return `image` with the number drawn into its top left corner: a block a bit, white for 1."""
    for bit in range(BITS):
        image[:BLOCK_PX, bit * BLOCK_PX : (bit + 1) * BLOCK_PX] = 255 * (number >> bit & 1)
    return image


def number_in(image: BGRImage) -> int:
    """Return the number that `with_number` drew."""
    row = image[BLOCK_PX // 4, BLOCK_PX // 2 :: BLOCK_PX, 1][:BITS]
    return sum(int(value > 127) << bit for bit, value in enumerate(row))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
