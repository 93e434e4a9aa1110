"""What was found in one image."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from detector.errors import DetectorError

BGRImage = NDArray[np.uint8]
"""(H, W, 3) uint8, blue-green-red, C-contiguous. Read-only once published."""


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Objects found in one image, best score first; nothing found is arrays of length 0.

    boxes: (N, 4) float32, x_min, y_min, x_max, y_max in pixels of the image that was given.
    scores: (N,) float32 in [0, 1].
    class_ids: (N,) int64, keys of the detector's labels.
    track_ids: (N,) int64, 1.. for an object followed over frames, 0 for one that is not.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    track_ids: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    def __post_init__(self) -> None:
        if len(self.track_ids) != len(self.boxes):
            object.__setattr__(self, "track_ids", np.zeros(len(self.boxes), np.int64))

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, keep: NDArray[np.bool_] | NDArray[np.int64] | slice) -> Detections:
        """Return the detections chosen by a mask (N,), an index array or a slice."""
        return Detections(self.boxes[keep], self.scores[keep], self.class_ids[keep], self.track_ids[keep])

    @classmethod
    def none(cls) -> Detections:
        """Return the answer for an image in which nothing was found."""
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64))


def check_image(image: object) -> None:
    """Raise DetectorError, with what it is instead, for anything but a BGR image with pixels."""
    if not isinstance(image, np.ndarray):
        raise DetectorError(f"the image is {type(image).__name__}, expected an array (H, W, 3) uint8, BGR")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise DetectorError(f"the image is {image.shape} {image.dtype}, expected (H, W, 3) uint8, BGR")
