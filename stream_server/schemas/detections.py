"""What is said about an object that was found: over HTTP, over WebSockets and on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from detector.detections import Detections
from stream_server.base.clock import wall_clock
from stream_server.detection.camera_detector import FrameDetections
from stream_server.detection.tracking import Followed


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


class Track(BaseModel):
    """An object that is followed: where it is on any frame taken about when it was seen.

    In a frame taken t seconds after `seen_at` its box is `box_relative` + t * `speed_relative`, with t no
    less than -1 and no more than 1.
    """

    label: str
    class_id: int
    score: float = Field(ge=0, le=1)
    track_id: int
    box_relative: Box = Field(description="When it was last seen, 0..1 of width and height.")
    speed_relative: Box = Field(description="What each of these gains in a second.")
    first_seen_at: datetime = Field(description="UTC.")
    seen_at: datetime = Field(description="When it was last seen, UTC.")
    shown_until: datetime = Field(description="Not to be shown in frames taken later, UTC.")


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


def track_list(followed: Followed, size_wh: tuple[int, int], labels: Mapping[int, str]) -> list[Track]:
    """Return what is followed in a camera with pictures of `size_wh` as the API shows it."""
    width, height = size_wh
    found = followed.detections
    return [
        Track(
            label=labels.get(int(class_id), str(class_id)),
            class_id=int(class_id),
            score=round(float(score), 4),
            track_id=int(track_id),
            box_relative=_box(box, width, height, 5),
            speed_relative=_box(speed, width, height, 5),
            first_seen_at=_utc(times[0]),
            seen_at=_utc(times[1]),
            shown_until=_utc(times[2]),
        )
        for box, speed, score, class_id, track_id, *times in zip(
            found.boxes,
            followed.speeds,
            found.scores,
            found.class_ids,
            found.track_ids,
            followed.first_seen_at,
            followed.seen_at,
            followed.shown_until,
            strict=True,
        )
    ]


def _utc(monotonic_s: float) -> datetime:
    return datetime.fromtimestamp(wall_clock(float(monotonic_s)), timezone.utc)


def _box(box: NDArray[np.float32], width: float, height: float, digits: int) -> Box:
    x_min, y_min, x_max, y_max = (float(side) for side in box)
    return Box(
        x_min=round(x_min / width, digits),
        y_min=round(y_min / height, digits),
        x_max=round(x_max / width, digits),
        y_max=round(y_max / height, digits),
    )


class DetectionList(BaseModel):
    """What was found in the newest analysed frame of a camera."""

    camera: str
    sequence: int | None = Field(description="The frame's number; null before the first analysed frame.")
    captured_at: datetime | None = Field(description="When the frame arrived, UTC.")
    width: int
    height: int
    detections: list[Detection]
    tracks: list[Track] | None = Field(
        None, description="What is followed since, also where this frame does not show it; if asked for."
    )

    @classmethod
    def of(
        cls, camera: str, labels: Mapping[int, str], analysis: FrameDetections | None, *, tracks: bool = False
    ) -> DetectionList:
        """Return what an analysis of a camera's frame says; None: that there was none yet.

        labels: the names of the class ids. tracks: what is followed, too.
        """
        if analysis is None:
            return cls(camera=camera, sequence=None, captured_at=None, width=0, height=0, detections=[])
        frame = analysis.frame
        return cls(
            camera=camera,
            sequence=frame.sequence,
            captured_at=datetime.fromtimestamp(wall_clock(frame.captured_at), timezone.utc),
            width=frame.size_wh[0],
            height=frame.size_wh[1],
            detections=detection_list(analysis.detections, frame.size_wh, labels),
            tracks=track_list(analysis.followed, frame.size_wh, labels) if tracks else None,
        )
