"""A model loaded at one input size: an image in, raw detections out."""

from __future__ import annotations

from collections.abc import Iterable

from detector.backends import Backend
from detector.detections import BGRImage, Detections
from detector.errors import ModelError
from detector.heads import head_for
from detector.letterbox import Letterbox, Placement
from detector.model_file import SizeWH


class Network:
    """Runtime, letterbox and head of a model; for one thread.

    input_wh: width and height of its input in pixels. class_count: class ids are 0 to class_count - 1.
    """

    def __init__(self, backend: Backend) -> None:
        """Take over `backend`. Raises ModelError when no head understands its outputs."""
        size_wh = backend.image_input.size_wh
        if size_wh is None:
            raise ModelError("the input has no fixed size")
        self.input_wh = size_wh
        self._backend = backend
        self._head = head_for(size_wh, backend.outputs)
        self._letterbox = Letterbox(size_wh)
        self.class_count = self._head.class_count

    def find(self, image: BGRImage, score_threshold: float) -> Detections:
        """Return every object in `image` with at least that score, best first, duplicates included."""
        placement = self._letterbox.fill(image)
        outputs = self._backend.run(self._letterbox.input)
        found = self._head.decode(outputs, 0, score_threshold, self.input_wh)
        return placement.to_image(found)

    def close(self) -> None:
        """Free the model; may be called twice."""
        self._backend.close()


def smallest_input(image_wh: SizeWH, inputs_wh: Iterable[SizeWH]) -> SizeWH:
    """Return the smallest input that shows an image as large as the largest input does."""
    by_area = sorted(inputs_wh, key=lambda size_wh: size_wh[0] * size_wh[1])
    shown_wh = Placement.centred(image_wh, by_area[-1]).placed_wh
    return next(size for size in by_area if Placement.centred(image_wh, size).placed_wh == shown_wh)
