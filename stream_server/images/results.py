"""What is asked about a picture and what is answered: over HTTP, WebSocket and on the command line."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from detector.detections import BGRImage, Detections
from detector.detector import MAX_DETECTIONS
from stream_server.config import DetectorConfig
from stream_server.detection.model_labels import ModelLabels
from stream_server.schemas.detections import Detection, detection_list

MOST_DETECTIONS = 1000


def _split(classes: object) -> object:
    """Return the words of a list written in a URL."""
    if isinstance(classes, str):
        return tuple(word.strip() for word in classes.split(",") if word.strip())
    return classes


class ImageOptions(BaseModel):
    """How a picture is looked at; what is not said is as the server's configuration has it."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    score_threshold: float | None = Field(None, ge=0, le=1, description="Least score of an object.")
    iou_threshold: float | None = Field(
        None, ge=0, le=1, description="Overlap above which two boxes of a class are one."
    )
    classes: Annotated[tuple[str, ...] | None, BeforeValidator(_split)] = Field(
        None, max_length=1000, description="Labels to keep; in a URL separated by commas."
    )
    max_detections: int | None = Field(None, ge=1, le=MOST_DETECTIONS, description="Most objects reported.")
    min_width: float = Field(
        0, ge=0, le=1, description="Least width of an object, as a part of the picture's."
    )
    min_height: float = Field(0, ge=0, le=1, description="Least height, likewise.")
    model: str | None = Field(None, description="Name of the model; default: the detector's.")

    def or_else(self, default: DetectorConfig) -> ImageOptions:
        """Return the options with the detector's own where nothing was said; its classes are its model's."""
        ours = {
            "score_threshold": default.score_threshold,
            "iou_threshold": default.iou_threshold,
            "max_detections": default.max_detections,
            "classes": default.classes if self.model is None else None,
        }
        said = self.model_dump(exclude_none=True)
        return ImageOptions.model_construct(**{**self.__dict__, **ours, **said})

    @property
    def wanted_detections(self) -> int:
        """How many are to be found before small ones are left out."""
        if self.min_width or self.min_height:
            return MOST_DETECTIONS
        return MAX_DETECTIONS if self.max_detections is None else self.max_detections

    def keep(self, found: Detections, size_wh: tuple[int, int]) -> Detections:
        """Return those of `found`, in a picture of `size_wh`, that are large enough, and not too many."""
        if self.min_width or self.min_height:
            sides = found.boxes[:, 2:] - found.boxes[:, :2]
            least = np.array((self.min_width * size_wh[0], self.min_height * size_wh[1]))
            found = found[np.flatnonzero((sides >= least).all(axis=1))]
        return found[: self.max_detections]


class Timings(BaseModel):
    """Where the time went, in milliseconds."""

    decode_ms: float = Field(description="From bytes to pixels.")
    wait_ms: float = Field(description="For a free detector, and on the way to it and back.")
    inference_ms: float = Field(description="In the detector.")
    total_ms: float = Field(description="From the picture's bytes being there to its detections.")

    @classmethod
    def of(cls, started: float, decoded: float, inference_s: float, ended: float) -> Timings:
        """Return the timings of a picture; times: `time.perf_counter()` seconds."""
        return cls(
            decode_ms=_ms(decoded - started),
            wait_ms=_ms(max(0.0, ended - decoded - inference_s)),
            inference_ms=_ms(inference_s),
            total_ms=_ms(ended - started),
        )


class ImageDetections(BaseModel):
    """What was found in one picture."""

    image: str | None = Field(description="The name it came with, if it had one.")
    width: int = Field(description="In pixels, upright as its EXIF data says.")
    height: int
    model: str
    detections: list[Detection]
    timings: Timings

    @classmethod
    def of(
        cls, name: str | None, image: BGRImage, found: Detections, timings: Timings, known: ModelLabels
    ) -> ImageDetections:
        """Return what is said about `image`, in which `found` is what is to be reported."""
        height, width = image.shape[:2]
        return cls(
            image=name,
            width=width,
            height=height,
            model=known.name,
            detections=detection_list(found, (width, height), known.labels),
            timings=timings,
        )


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 2)
