"""`/api/v1/cameras/<camera>/history`: how a camera did in the last minutes, for the charts of its page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone

from flask import Blueprint, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from stream_server.base.clock import wall_clock
from stream_server.cameras.history import KEPT_S, STEP_S, Sample
from stream_server.pipeline import Pipeline
from stream_server.web.arguments import read_query
from stream_server.web.context import pipeline

blueprint = Blueprint("history", __name__, url_prefix="/api/v1/cameras/<camera>")

SAME_S = 0.001
"""The wall clock is read anew for each answer: a sample's time may differ by so much from what it was."""


class HistoryQuery(BaseModel):
    """What is asked for."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    since: AwareDatetime | None = Field(
        None, description="Only what came after this time, with its zone: the `at` of the last sample known."
    )


class HistorySample(BaseModel):
    """How a camera did for some seconds."""

    at: datetime = Field(description="The end of that time, UTC.")
    fps: float = Field(description="Pictures per second that arrived.")
    detection_fps: float = Field(description="Frames analysed per second.")
    latency_ms: float | None = Field(
        description="From a frame's arrival to its detections, on average; null when none was analysed."
    )
    objects: dict[str, int] = Field(description="By label the most that one analysed frame showed.")


class CameraHistory(BaseModel):
    """How a camera did in the last minutes, since it was started at most."""

    camera: str
    step_s: float = Field(description="Seconds from sample to sample.")
    kept_s: float = Field(description="What is older is forgotten.")
    classes: dict[str, int] = Field(description="By label the class id, of what the samples show.")
    samples: list[HistorySample] = Field(description="The oldest first.")


@blueprint.get("/history")
def history(camera: str) -> Response:
    """Return how the camera did in the last ten minutes, a sample every two seconds."""
    watched = pipeline(camera)
    query = read_query(HistoryQuery)
    samples = watched.history.samples
    if query.since is not None:
        known = query.since.timestamp() + SAME_S
        samples = tuple(sample for sample in samples if wall_clock(sample.at) > known)
    return Response(_answer(watched, samples).model_dump_json(), content_type="application/json")


def _answer(watched: Pipeline, samples: Sequence[Sample]) -> CameraHistory:
    labels = watched.labels
    names = {class_id: labels.get(class_id, str(class_id)) for s in samples for class_id in s.objects}
    return CameraHistory(
        camera=watched.name,
        step_s=STEP_S,
        kept_s=KEPT_S,
        classes={label: class_id for class_id, label in names.items()},
        samples=[
            HistorySample(
                at=datetime.fromtimestamp(wall_clock(sample.at), timezone.utc),
                fps=round(sample.fps, 2),
                detection_fps=round(sample.detection_fps, 2),
                latency_ms=None if sample.latency_s is None else round(1000 * sample.latency_s, 1),
                objects={names[class_id]: count for class_id, count in sample.objects.items()},
            )
            for sample in samples
        ],
    )
