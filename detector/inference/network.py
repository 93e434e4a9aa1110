"""A model loaded at one input size: images in, raw detections out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from detector.backends import Backend
from detector.detections import BGRImage, Detections
from detector.heads import head_for
from detector.inference.letterbox import Placement
from detector.inference.preprocessing import Preprocessor, preprocessing_for
from detector.model_file import ModelFile, SizeWH


class Network:
    """Runtime, preprocessing and head of a model; for one thread.

    input_wh: width and height of its input in pixels; None: those of each image.
    head: what its outputs mean. metadata: what its file says about itself.
    preprocessing: how images are prepared for it.
    """

    def __init__(self, backend: Backend, file: ModelFile, input_wh: SizeWH | None = None) -> None:
        """Take over `backend`, which runs `file`.

        input_wh: the size to work at, for a backend that takes any.

        Raises ModelError when no head understands its outputs.
        """
        image_input = backend.image_input
        self.input_wh = image_input.size_wh or input_wh
        self.head = head_for(self.input_wh, backend.outputs, file.head)
        self.preprocessing = preprocessing_for(file, image_input, backend.metadata, self.head.preprocessing)
        self.metadata = backend.metadata
        self._backend = backend
        self._preprocessor = Preprocessor(image_input, self.preprocessing, self.input_wh)

    def find(self, images: Sequence[BGRImage], score_threshold: float) -> list[Detections]:
        """Return for each image every object with at least that score, best first, duplicates included."""
        return [
            found for batch in self._batches(images) for found in self._find_in_batch(batch, score_threshold)
        ]

    def close(self) -> None:
        """Free the model; may be called twice."""
        self._backend.close()

    def _batches(self, images: Sequence[BGRImage]) -> Iterator[Sequence[BGRImage]]:
        """Return `images` in the order given, as many at a time as the model takes."""
        for _, group in groupby(images, key=lambda image: self.input_wh or image.shape):
            alike = list(group)
            count = self._backend.image_input.batch or (len(alike) if self.head.is_batched else 1)
            for start in range(0, len(alike), count):
                yield alike[start : start + count]

    def _find_in_batch(self, images: Sequence[BGRImage], score_threshold: float) -> list[Detections]:
        array, placements = self._preprocessor.prepare(images)
        outputs = self._backend.run(array)
        return [
            placement.to_image(
                self.head.decode(outputs, row, score_threshold, self.input_wh or placement.placed_wh)
            )
            for row, placement in enumerate(placements)
        ]


def smallest_input(image_wh: SizeWH, inputs_wh: Iterable[SizeWH]) -> SizeWH:
    """Return the smallest input that shows an image as large as the largest input does."""
    by_area = sorted(inputs_wh, key=lambda size_wh: size_wh[0] * size_wh[1])
    shown_wh = Placement.centred(image_wh, by_area[-1]).placed_wh
    return next(size for size in by_area if Placement.centred(image_wh, size).placed_wh == shown_wh)
