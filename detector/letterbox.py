"""Fits an image of any size into a model's input, and boxes found there back onto the image."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.detections import BGRImage, Detections


@dataclass(frozen=True, slots=True)
class Placement:
    """Where in the model's input an image lies; all sizes and offsets in pixels, x first.

    offset_xy: the image's upper left corner in the input.
    placed_wh: the image's size in the input.
    image_wh: the image's own size.
    """

    offset_xy: tuple[int, int]
    placed_wh: tuple[int, int]
    image_wh: tuple[int, int]

    @classmethod
    def centred(cls, image_wh: tuple[int, int], input_wh: tuple[int, int]) -> Placement:
        """Return the largest placement that keeps the image's proportions, in the middle of the input."""
        scale = min(input_wh[0] / image_wh[0], input_wh[1] / image_wh[1])
        width = min(max(round(image_wh[0] * scale), 1), input_wh[0])
        height = min(max(round(image_wh[1] * scale), 1), input_wh[1])
        offset_xy = ((input_wh[0] - width) // 2, (input_wh[1] - height) // 2)
        return cls(offset_xy, (width, height), image_wh)

    def to_image(self, detections: Detections) -> Detections:
        """Return `detections`, given in pixels of the input, in pixels of the image.

        Boxes are clipped to the image; one that lies in the border around it alone is left out.
        """
        image_whwh, placed_whwh, offset_xyxy = (
            np.array(pair * 2, np.float32) for pair in (self.image_wh, self.placed_wh, self.offset_xy)
        )
        scale = np.divide(image_whwh, placed_whwh, dtype=np.float32)
        boxes = np.clip((detections.boxes - offset_xyxy) * scale, 0, image_whwh)
        moved = Detections(boxes, detections.scores, detections.class_ids, detections.track_ids)
        return moved[np.all(boxes[:, 2:] > boxes[:, :2], axis=1)]


class Letterbox:
    """Keeps a model's input array and fills it with one image after the other; for one thread.

    input: (1, H, W, 3) float32, RGB, 0..255, grey around the image. Overwritten by the next `fill`.
    """

    BORDER = 127.0

    def __init__(self, input_wh: tuple[int, int]) -> None:
        self.input: NDArray[np.float32] = np.full((1, input_wh[1], input_wh[0], 3), self.BORDER, np.float32)
        self._input_wh = input_wh
        self._placement: Placement | None = None
        self._resized: BGRImage = np.empty((0, 0, 3), np.uint8)

    def fill(self, image: BGRImage) -> Placement:
        """Put `image`, (H, W, 3) uint8 BGR of any size, into `input` and return where it lies."""
        image_wh = (image.shape[1], image.shape[0])
        if self._placement is None or self._placement.image_wh != image_wh:
            self._placement = self._make_room(image_wh)
        placement = self._placement
        (x, y), (width, height) = placement.offset_xy, placement.placed_wh
        # 0.24 ms for 1280x720 into 512x512; swapping the channels in NumPy instead costs 0.35 more.
        cv2.resize(image, placement.placed_wh, dst=self._resized)
        cv2.cvtColor(self._resized, cv2.COLOR_BGR2RGB, dst=self._resized)
        self.input[0, y : y + height, x : x + width] = self._resized
        return placement

    def _make_room(self, image_wh: tuple[int, int]) -> Placement:
        placement = Placement.centred(image_wh, self._input_wh)
        self.input.fill(self.BORDER)
        self._resized = np.empty((placement.placed_wh[1], placement.placed_wh[0], 3), np.uint8)
        return placement
