"""What the virtual webcam looks at: frames that carry their number, and a record of when each was there.

`python -m benchmarks._sensor FOLDER FORMAT TIMES` writes each frame into a named pipe when the driver of the
webcam in FOLDER fetches one, and appends the time it was complete (monotonic seconds, a double) to TIMES.
"""

from __future__ import annotations

import struct
import sys
import time
from pathlib import Path

import cv2

from detector.detections import BGRImage
from stream_server.media.encode import encode_jpeg
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
"""By then the driver has closed the pipe."""

TIME = struct.Struct("d")


def main(folder: Path, pixel_format: str, times: Path) -> None:
    """Serve frames until killed."""
    made = {"MJPG": as_jpeg, "YUYV": as_yuyv}[pixel_format]
    demo = DemoScene(SIZE_WH, FPS)
    frames = [made(with_number(demo.frame(n), n)) for n in range(NUMBERS)]  # now: it would hold up viewers
    with times.open("ab", buffering=0) as record:
        number = 0
        while True:
            with (folder / PIPE).open("wb") as pipe:  # waits for the driver
                pipe.write(frames[number % NUMBERS])
                pipe.flush()
                record.write(TIME.pack(time.monotonic()))
            time.sleep(READER_RESTS_S)
            number += 1


def as_jpeg(image: BGRImage) -> bytes:
    """Return `image` as a camera sends it that compresses."""
    return encode_jpeg(image, JPEG_QUALITY)


def as_yuyv(image: BGRImage) -> bytes:
    """Return `image` as a camera sends it that does not."""
    return cv2.cvtColor(image, cv2.COLOR_BGR2YUV_YUYV).tobytes()


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
