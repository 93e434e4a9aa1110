"""Makes what viewers of a variant get of a frame: scaled, drawn on, encoded, and framed for the wire."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from detector.detections import BGRImage, Detections
from stream_server.base.clock import wall_clock
from stream_server.drawing.annotate import Style, annotate
from stream_server.drawing.message import message_picture
from stream_server.media.encode import encode_jpeg, resize, scaled_wh
from stream_server.media.frames import EncodedFrame, Frame
from stream_server.streaming.multipart import CANONICAL, overload_note
from stream_server.streaming.overload import OverloadController
from stream_server.streaming.streams import Variant
from stream_server.telemetry.stages import Counters, Stopwatch


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown of a camera beside its picture.

    labels: the names of the class ids. caption: pieces of the line below. quality: of JPEGs, 1..100, where a
    variant asks for none.
    """

    labels: Mapping[int, str]
    caption: Sequence[str]
    quality: int


class Renderer:
    """Renders the frames of one camera, for one thread."""

    def __init__(self, counters: Counters, stopwatch: Stopwatch, controller: OverloadController) -> None:
        """controller: says how far quality is stepped down."""
        self._counters, self._stopwatch, self._controller = counters, stopwatch, controller

    def render(self, variant: Variant, frame: Frame, detections: Detections, shown: Shown) -> EncodedFrame:
        """Return `frame` as viewers of `variant` get it: the camera's own JPEG where nothing is changed.

        Raises ImageError for a picture that is broken, EncodeError for one that cannot be encoded.
        """
        jpeg, size_wh = self._jpeg(variant, frame, detections, shown)
        return self._framed(jpeg, size_wh, frame.sequence, frame.captured_at)

    def message(
        self, variant: Variant, size_wh: tuple[int, int], texts: tuple[str, str], sequence: int, quality: int
    ) -> EncodedFrame:
        """Return a picture of words for viewers of `variant`, now.

        size_wh: of the camera's pictures. texts: the camera's title, and why it shows none. sequence: of the
        last frame. quality: as in `Shown`.
        """
        size_wh = scaled_wh(size_wh, variant.width)
        image = message_picture(size_wh, *texts, f"{datetime.now():%Y-%m-%d %H:%M:%S}")
        jpeg = self._encode(image, variant.quality or quality)
        return self._framed(jpeg, size_wh, sequence, time.monotonic(), is_message=True)

    def image_of(self, frame: Frame) -> BGRImage:
        """Return the frame's pixels, and count how long that takes where it has to be decoded first.

        Any thread may ask. Raises ImageError for a picture that is broken.
        """
        if frame.picture.is_decoded:
            return frame.image
        with self._stopwatch.time("decode"):
            return frame.image

    def _jpeg(
        self, variant: Variant, frame: Frame, detections: Detections, shown: Shown
    ) -> tuple[bytes, tuple[int, int]]:
        jpeg = frame.picture.jpeg
        size_wh = scaled_wh(frame.size_wh, variant.width)
        if jpeg is not None and not variant.is_drawn_on and not variant.quality and size_wh == frame.size_wh:
            self._counters.passed_through += 1
            return jpeg, size_wh
        image = resize(self.image_of(frame), variant.width)
        if variant.is_drawn_on:
            scale = np.float32(image.shape[1] / frame.size_wh[0])
            image = self._draw(variant, image, replace(detections, boxes=detections.boxes * scale), shown)
        return self._encode(image, variant.quality or shown.quality), size_wh

    def _draw(self, variant: Variant, image: BGRImage, detections: Detections, shown: Shown) -> BGRImage:
        self._counters.drawn += 1
        with self._stopwatch.time("draw"):
            return annotate(
                image,
                detections if variant.boxes else Detections.none(),
                shown.labels,
                caption=shown.caption if variant.caption else (),
                style=Style(labels=variant.labels),
            )

    def _encode(self, image: BGRImage, quality: int) -> bytes:
        self._counters.encoded += 1
        with self._stopwatch.time("encode"):
            return encode_jpeg(image, self._controller.quality(quality))

    def _framed(
        self,
        jpeg: bytes,
        size_wh: tuple[int, int],
        sequence: int,
        captured_at: float,
        is_message: bool = False,
    ) -> EncodedFrame:
        level = self._controller.level
        part = CANONICAL.part(jpeg, wall_clock(captured_at), overload_note(level))
        return EncodedFrame(jpeg, part, size_wh, sequence, captured_at, time.monotonic(), is_message, level)
