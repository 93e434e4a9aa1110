"""What is in a video, followed from frame to frame, and drawn."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np

from detector.detections import BGRImage, Detections
from stream_server.detection.tracking import Tracker
from stream_server.drawing.annotate import Style, annotate, line_width
from stream_server.drawing.colours import class_colour
from stream_server.video.detecting import DetectedFrame
from stream_server.video.options import Options

TRAIL_S = 2.0
_BLUR_MARGIN = 0.1
_BLUR_CELLS = 6


@dataclass(frozen=True, slots=True)
class Scene:
    """A frame and what is in it.

    objects: with their numbers; boxes in pixels of the picture. hidden: what is to be unrecognisable.
    trails: by track id, the points (x, y) where the object came along, the oldest first.
    """

    seen: DetectedFrame
    objects: Detections
    hidden: Detections
    trails: Mapping[int, list[tuple[int, int]]]

    @property
    def is_plain(self) -> bool:
        """Whether nothing is drawn on it."""
        return not len(self.objects) and not len(self.hidden) and not self.trails and not self.seen.error


class Follower:
    """Follows the objects of one video; frames come in their order."""

    def __init__(self, options: Options, labels: Mapping[int, str]) -> None:
        self._tracker = Tracker(options.score)
        self._drawn = _ids(labels, options.classes)
        self._blurred = _ids(labels, options.blur)
        self._keeps_trails = options.trails
        self._trails: dict[int, deque[tuple[float, int, int]]] = defaultdict(deque)

    def follow(self, seen: DetectedFrame) -> Scene:
        """Return what is in the frame: what was found, else what is followed, carried on."""
        time_s = seen.shot.time_s
        if seen.found is None:
            objects = hidden = self._tracker.at(time_s)
        else:
            objects = self._tracker.update(seen.found, time_s)
            # What the detector misses for a moment stays hidden, and so does what it is not sure of.
            hidden = _joined(seen.found, self._tracker.at(time_s)) if self._blurred else Detections.none()
        if self._drawn is not None:
            objects = objects[np.isin(objects.class_ids, list(self._drawn))]
        hidden = hidden[np.isin(hidden.class_ids, list(self._blurred or ()))]
        return Scene(seen, objects, hidden, self._extend_trails(objects, time_s))

    def _extend_trails(self, objects: Detections, time_s: float) -> dict[int, list[tuple[int, int]]]:
        if not self._keeps_trails:
            return {}
        for (left, _, right, bottom), track_id in zip(objects.boxes.tolist(), objects.track_ids, strict=True):
            if track_id:
                self._trails[int(track_id)].append((time_s, round((left + right) / 2), round(bottom)))
        for track_id, points in list(self._trails.items()):
            while points and points[0][0] < time_s - TRAIL_S:
                points.popleft()
            if not points:
                del self._trails[track_id]
        return {track_id: [(x, y) for _, x, y in points] for track_id, points in self._trails.items()}


def draw(scene: Scene, image: BGRImage, labels: Mapping[int, str], options: Options) -> BGRImage:
    """Return a copy of `image`, the picture of the scene, with what is in it."""
    if len(scene.hidden):
        image = blur(image, scene.hidden)
    caption = ("not analysed",) if scene.seen.error else ()
    canvas = annotate(image, scene.objects, labels, caption=caption, style=Style(labels=options.draw_labels))
    class_of = dict(zip(scene.objects.track_ids.tolist(), scene.objects.class_ids.tolist(), strict=True))
    for track_id, points in scene.trails.items():
        line_px = line_width((canvas.shape[1], canvas.shape[0]))
        colour = class_colour(class_of.get(track_id, track_id))
        cv2.polylines(canvas, [np.array(points, np.int32)], False, colour, line_px, cv2.LINE_AA)
    return canvas


def blur(image: BGRImage, hidden: Detections) -> BGRImage:
    """Return a copy of `image` in which what is in the boxes, and a little around, is a few flat squares.

    Squares of means, unlike a soft blur, cannot be undone: of each box some 36 colours are left.
    """
    canvas = image.copy()
    height, width = canvas.shape[:2]
    for left, top, right, bottom in hidden.boxes.tolist():
        x_margin, y_margin = _BLUR_MARGIN * (right - left), _BLUR_MARGIN * (bottom - top)
        x, y = max(0, int(left - x_margin)), max(0, int(top - y_margin))
        part = image[y : min(height, int(bottom + y_margin) + 1), x : min(width, int(right + x_margin) + 1)]
        if part.size:
            size_wh = (part.shape[1], part.shape[0])
            cells_wh = (min(size_wh[0], _BLUR_CELLS), min(size_wh[1], _BLUR_CELLS))
            few = cv2.resize(part, cells_wh, interpolation=cv2.INTER_AREA)
            canvas[y : y + size_wh[1], x : x + size_wh[0]] = cv2.resize(
                few, size_wh, interpolation=cv2.INTER_NEAREST
            )
    return canvas


def _ids(labels: Mapping[int, str], wanted: Collection[str] | None) -> set[int] | None:
    return None if wanted is None else {class_id for class_id, label in labels.items() if label in wanted}


def _joined(first: Detections, second: Detections) -> Detections:
    return replace(
        first,
        boxes=np.concatenate([first.boxes, second.boxes]),
        scores=np.concatenate([first.scores, second.scores]),
        class_ids=np.concatenate([first.class_ids, second.class_ids]),
        track_ids=np.concatenate([first.track_ids, second.track_ids]),
    )
