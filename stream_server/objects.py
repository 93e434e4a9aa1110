"""What is said about an object that was found: over HTTP, over WebSockets and on the command line."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from detector.detections import Detections


class Box(BaseModel):
    """Corners of a rectangle."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float


class Detection(BaseModel):
    """One object in a picture."""

    label: str
    class_id: int
    score: float = Field(ge=0, le=1)
    track_id: int | None = Field(
        description="Stays with an object from frame to frame; null before it is sure, and in a still."
    )
    box: Box = Field(description="In pixels of the picture.")
    box_relative: Box = Field(description="The same box, 0..1 of width and height.")


def detection_list(
    detections: Detections, size_wh: tuple[int, int], labels: Mapping[int, str]
) -> list[Detection]:
    """Return `detections` of an image of `size_wh` as the API shows them."""
    width, height = size_wh
    return [
        Detection(
            label=labels.get(int(class_id), str(class_id)),
            class_id=int(class_id),
            score=round(float(score), 4),
            track_id=int(track_id) or None,
            box=_box(box, 1, 1, 1),
            box_relative=_box(box, width, height, 5),
        )
        for box, score, class_id, track_id in zip(
            detections.boxes, detections.scores, detections.class_ids, detections.track_ids, strict=True
        )
    ]


def _box(box: NDArray[np.float32], width: float, height: float, digits: int) -> Box:
    x_min, y_min, x_max, y_max = (float(side) for side in box)
    return Box(
        x_min=round(x_min / width, digits),
        y_min=round(y_min / height, digits),
        x_max=round(x_max / width, digits),
        y_max=round(y_max / height, digits),
    )
