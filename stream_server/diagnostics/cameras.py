"""JSON about a camera and how it is doing."""

from __future__ import annotations

from pydantic import BaseModel, Field

from stream_server.cameras.camera import CameraState
from stream_server.pipeline import Pipeline


class CameraInfo(BaseModel):
    """A camera and how it is doing."""

    name: str
    title: str = Field(description="What people call the camera; its name where it has no title.")
    state: CameraState
    reason: str = Field(description="Why it is not online, in one line; empty when it is.")
    description: str = Field(description="What the source says about itself, e.g. its codec and transport.")
    width: int = Field(description="Of the last picture, in pixels; 0 before the first.")
    height: int
    fps: float = Field(description="Pictures per second that arrive.")
    age_s: float | None = Field(description="Seconds since the last picture.")
    viewers: int
    detects: bool = Field(description="Whether objects are looked for.")
    detection_fps: float = Field(description="Frames analysed per second.")
    latency_ms: float | None = Field(description="From a frame's arrival to its detections, the last one's.")
    objects: dict[str, int] = Field(description="How many of each label the last analysed frame shows.")
    frames: int = Field(description="Pictures seen since the start.")
    dropped: int = Field(description="Pictures replaced by a newer one before anyone looked.")
    drawn: int = Field(description="Pictures annotated.")
    encoded: int = Field(description="Pictures encoded.")
    decode_errors: int = Field(
        description="Pictures that were broken, or predicted from one that was broken or lost on the way."
    )
    detector_errors: int

    @classmethod
    def of(cls, pipeline: Pipeline) -> CameraInfo:
        """Return how `pipeline` and its camera are doing now."""
        camera, counters, analysis = pipeline.camera, pipeline.counters, pipeline.analysis
        return cls(
            name=pipeline.name,
            title=pipeline.title,
            state=camera.state,
            reason=camera.reason,
            description=camera.description,
            width=camera.size_wh[0],
            height=camera.size_wh[1],
            fps=round(camera.fps, 2),
            age_s=None if camera.age_s is None else round(camera.age_s, 3),
            viewers=pipeline.streams.viewers,
            detects=pipeline.detects,
            detection_fps=round(pipeline.detections_per_s, 2),
            latency_ms=round(1000 * analysis.latency_s, 1) if analysis else None,
            objects=pipeline.objects(),
            frames=counters.seen,
            dropped=counters.dropped,
            drawn=counters.drawn,
            encoded=counters.encoded,
            decode_errors=pipeline.decode_errors,
            detector_errors=counters.detector_errors,
        )


class CameraList(BaseModel):
    """All cameras, in the order of the configuration."""

    cameras: list[CameraInfo]
