"""Where an image of any size lies in a model's input, and how boxes found there get back onto the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detector.detections import Detections
from detector.model_file import SizeWH


@dataclass(frozen=True, slots=True)
class Placement:
    """Where in the model's input an image lies; all sizes and offsets in pixels, x first.

    offset_xy: the image's upper left corner in the input.
    placed_wh: the image's size in the input.
    image_wh: the image's own size.
    """

    offset_xy: tuple[int, int]
    placed_wh: SizeWH
    image_wh: SizeWH

    @classmethod
    def centred(cls, image_wh: SizeWH, input_wh: SizeWH) -> Placement:
        """Return the largest placement that keeps the image's proportions, in the middle of the input."""
        width, height = _largest_wh(image_wh, input_wh)
        return cls(((input_wh[0] - width) // 2, (input_wh[1] - height) // 2), (width, height), image_wh)

    @classmethod
    def upper_left(cls, image_wh: SizeWH, input_wh: SizeWH) -> Placement:
        """Return the largest placement that keeps the image's proportions, in the upper left corner."""
        return cls((0, 0), _largest_wh(image_wh, input_wh), image_wh)

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


def _largest_wh(image_wh: SizeWH, input_wh: SizeWH) -> SizeWH:
    scale = min(input_wh[0] / image_wh[0], input_wh[1] / image_wh[1])
    width = min(max(round(image_wh[0] * scale), 1), input_wh[0])
    height = min(max(round(image_wh[1] * scale), 1), input_wh[1])
    return width, height
