"""A model loaded at one input size: an image in, raw detections out."""

from __future__ import annotations

from collections.abc import Iterable

from detector.backends import Backend
from detector.detections import BGRImage, Detections
from detector.heads import head_for
from detector.letterbox import Letterbox, Placement

SizeWH = tuple[int, int]


class Network:
    """Runtime, letterbox and head of a model; for one thread.

    input_wh: width and height of its input in pixels. class_count: class ids are 0 to class_count - 1.
    """

    def __init__(self, backend: Backend) -> None:
        """Take over `backend`. Raises ModelError when no head understands its outputs."""
        self.input_wh = backend.input_wh
        self._backend = backend
        self._head = head_for(backend.input_wh, backend.output_shapes)
        self._letterbox = Letterbox(backend.input_wh)
        self.class_count = self._head.class_count

    def find(self, image: BGRImage, score_threshold: float) -> Detections:
        """Return every object in `image` with at least that score, best first, duplicates included."""
        placement = self._letterbox.fill(image)
        found = self._head.decode(self._backend.run(self._letterbox.input), score_threshold)
        return placement.to_image(found)

    def close(self) -> None:
        """Free the model; may be called twice."""
        self._backend.close()


def smallest_input(image_wh: SizeWH, inputs_wh: Iterable[SizeWH]) -> SizeWH:
    """Return the smallest input that shows an image as large as the largest input does."""
    by_area = sorted(inputs_wh, key=lambda size_wh: size_wh[0] * size_wh[1])
    shown_wh = Placement.centred(image_wh, by_area[-1]).placed_wh
    return next(size for size in by_area if Placement.centred(image_wh, size).placed_wh == shown_wh)
