"""One video that is to be annotated: what is asked, how it is doing, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from stream_server.video.options import Options, SideOutput

State = Literal["uploading", "queued", "running", "done", "failed"]
ENDED: tuple[State, ...] = ("done", "failed")


def _split(words: object) -> object:
    """Return the words of a list written in a URL."""
    if isinstance(words, str):
        return tuple(word.strip() for word in words.split(",") if word.strip())
    return words


Words = Annotated[tuple[str, ...], BeforeValidator(_split)]


class VideoOptions(BaseModel):
    """What is to be done with a video."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    format: Literal["mp4", "mkv", "avi", "gif"] = Field("mp4", description="What is written.")
    model: str | None = Field(
        None, max_length=255, description="Name of the model that looks for objects; default: the detector's."
    )
    score: float | None = Field(None, ge=0, le=1, description="Least score; default: the detector's.")
    classes: Words | None = Field(
        None, max_length=1000, description="Labels to keep; default: the detector's."
    )
    every: int = Field(1, ge=1, le=10_000, description="Analyse each so many-th frame.")
    start_s: float = Field(0, ge=0, le=1e7, description="Where to begin, in seconds.")
    end_s: float | None = Field(None, gt=0, le=1e7, description="Where to end, in seconds.")
    blur: Words = Field((), max_length=1000, description="Labels that are made unrecognisable.")
    trails: bool = Field(False, description="Draw the way that objects came.")
    labels: bool = Field(True, description="Write label, score and number at each box.")
    side: Annotated[tuple[SideOutput, ...], BeforeValidator(_split)] = Field(
        (), max_length=16, description="What is written beside the video."
    )

    @field_validator("end_s")
    @classmethod
    def _check_end(cls, end_s: float | None, info: ValidationInfo) -> float | None:
        start_s = info.data.get("start_s", 0)
        if end_s is not None and end_s <= start_s:
            raise ValueError(f"expected more than start_s, which is {start_s:g}")
        return end_s

    @field_validator("side")
    @classmethod
    def _check_side(cls, side: tuple[SideOutput, ...], info: ValidationInfo) -> tuple[SideOutput, ...]:
        if "clips" in side and info.data.get("format") == "gif":
            raise ValueError("expected no clips: a GIF cannot be cut")
        return side

    def for_video(self, model: str, score: float, classes: tuple[str, ...] | None) -> Options:
        """Return it with the detector's own where nothing was said. Raises OptionError."""
        return Options(
            model=model,
            score=score if self.score is None else self.score,
            classes=classes if self.classes is None else self.classes,
            every=self.every,
            start_s=self.start_s,
            end_s=self.end_s,
            blur=self.blur,
            trails=self.trails,
            draw_labels=self.labels,
            side=frozenset(self.side),
        )


class VideoSummary(BaseModel):
    """What became of a video."""

    frames: int = Field(description="Written: as many as were read.")
    analysed: int = Field(description="Of them; the detector looked at these.")
    failed: int = Field(description="That could not be analysed, though they should have been.")
    objects: dict[str, int] = Field(description="How many of each label were followed.")
    duration_s: float = Field(description="Length of the result, in seconds.")
    took_s: float = Field(description="How long the last run took, in seconds.")
    notes: tuple[str, ...] = Field(description="What one should know, e.g. that the file ends in the middle.")


@dataclass(frozen=True, slots=True)
class Job:
    """A video and its state.

    owner: whose it is. path: under the media root, None for an upload. bytes: of the video.
    runs: how often work on it was begun. Times are seconds since 1970.
    """

    id: str
    owner: str
    name: str
    path: str | None
    options: VideoOptions
    bytes: int
    state: State
    created_at: float
    reason: str | None = None
    summary: VideoSummary | None = None
    runs: int = 0
    started_at: float | None = None
    ended_at: float | None = None
