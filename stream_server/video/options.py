"""What is to be done with a video."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from detector.detector import SCORE_THRESHOLD
from detector.zoo.catalog import DEFAULT_MODEL
from stream_server.detection.model_labels import ModelLabels
from stream_server.errors import OptionError

SideOutput = Literal["json", "csv", "srt", "coco", "contact-sheet", "clips"]


@dataclass(frozen=True, slots=True)
class Crop:
    """A part of the picture, upright as it is shown: its upper left corner and size, in pixels."""

    x: int
    y: int
    width: int
    height: int

    def within(self, size_wh: tuple[int, int]) -> Crop:
        """Return it. Raises OptionError where it reaches out of a picture of `size_wh`."""
        is_inside = self.x + self.width <= size_wh[0] and self.y + self.height <= size_wh[1]
        if min(self.x, self.y) < 0 or min(self.width, self.height) < 1 or not is_inside:
            raise OptionError(
                "crop",
                f"got {self.x},{self.y},{self.width},{self.height}, expected x,y,width,height "
                f"within {size_wh[0]}x{size_wh[1]}",
            )
        return self


@dataclass(frozen=True, slots=True)
class Options:
    """What is looked for, what is drawn, and what is written beside the video.

    model: name or path. score: least score, 0..1, of an object. classes: labels to keep; None: all.
    every: each so many-th frame is analysed; in others, what is followed is carried on.
    start_s, end_s: the part of the video, in seconds from its beginning; None: to its end.
    crop: the part of the picture. blur: labels that are made unrecognisable, whether they are drawn or not.
    trails: draw the way that objects came. draw_labels: write label, score and number at the boxes.
    fps: frames a second where the input has none of its own: pictures of a folder.
    duration_s: how long a live source is recorded.
    side: what is written beside the video.
    """

    model: str = DEFAULT_MODEL
    score: float = SCORE_THRESHOLD
    classes: tuple[str, ...] | None = None
    every: int = 1
    start_s: float = 0.0
    end_s: float | None = None
    crop: Crop | None = None
    blur: tuple[str, ...] = ()
    trails: bool = False
    draw_labels: bool = True
    fps: float = 25.0
    duration_s: float | None = None
    side: frozenset[SideOutput] = frozenset()

    def __post_init__(self) -> None:
        """Raise OptionError for what makes no sense."""
        if self.every < 1:
            raise OptionError("every", f"got {self.every}, expected 1 or more")
        if not 0 <= self.score <= 1:
            raise OptionError("score", f"got {self.score:g}, expected 0 to 1")
        if self.start_s < 0:
            raise OptionError("start", f"got {self.start_s:g}, expected 0 or more")
        if self.end_s is not None and self.end_s <= self.start_s:
            raise OptionError("end", f"got {self.end_s:g}, expected more than the start, {self.start_s:g}")
        if not 0 < self.fps <= 240:
            raise OptionError("fps", f"got {self.fps:g}, expected more than 0, up to 240")
        if self.duration_s is not None and self.duration_s <= 0:
            raise OptionError("duration", f"got {self.duration_s:g}, expected more than 0")

    @property
    def looked_for(self) -> tuple[str, ...] | None:
        """The labels that the detector is asked for; None: all."""
        return None if self.classes is None else tuple(dict.fromkeys((*self.classes, *self.blur)))

    def check_labels(self, labels: Mapping[int, str]) -> None:
        """Raise OptionError for labels that the model does not know; labels: what it knows, by class id."""
        model = ModelLabels(self.model, labels)
        model.check("classes", self.classes)
        model.check("blur", self.blur)
