"""Videos as the API tells of them."""

from __future__ import annotations

from datetime import datetime, timezone

from flask import url_for
from pydantic import BaseModel, Field

from stream_server.jobs.job import Job, State, VideoOptions, VideoSummary
from stream_server.jobs.jobs import Jobs
from stream_server.video.pace import Pace


class VideoProgress(BaseModel):
    """How far work on a video is."""

    frames: int = Field(description="Done.")
    expected: int | None = Field(description="About how many there are.")
    objects: int = Field(description="Followed so far.")
    position_s: float = Field(description="In the video, in seconds.")
    fps: float = Field(description="Frames done per second, lately.")
    left_s: float | None = Field(description="Seconds until the end, about.")
    share: float | None = Field(
        description="Of the time in which it could work, that in which others leave it the processor, 0 to 1."
    )
    waits_for: str | None = Field(description="What holds it up, in a line; null: nothing does.")

    @classmethod
    def of(cls, pace: Pace) -> VideoProgress:
        """Return it as numbers for people."""
        left_s = None if pace.left_s is None else round(pace.left_s, 1)
        return cls(
            frames=pace.frames,
            expected=pace.expected,
            objects=pace.objects,
            position_s=pace.position_s,
            fps=round(pace.fps, 2),
            left_s=left_s,
            share=None if pace.share is None else round(pace.share, 2),
            waits_for=pace.waits_for,
        )


class VideoFile(BaseModel):
    """One of the files that were made."""

    name: str
    bytes: int
    url: str


class VideoInfo(BaseModel):
    """A video and how it is doing."""

    id: str
    name: str
    state: State
    reason: str | None = Field(description="Why it failed, in one line.")
    bytes: int = Field(description="Of the video.")
    received: int = Field(description="Of them, those that are here.")
    options: VideoOptions
    progress: VideoProgress | None = Field(description="While it is running.")
    summary: VideoSummary | None = Field(description="When it is done.")
    result: str | None = Field(description="Address of the annotated video, when it is done.")
    files: list[VideoFile] = Field(description="That and what was written beside it, when it is done.")
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    kept_until: datetime | None = Field(
        description="When it will be deleted: after `videos.keep_s`, an upload after `videos.keep_uploads_s`."
    )

    @classmethod
    def of(cls, videos: Jobs, job: Job) -> VideoInfo:
        """Return how `job` is doing now."""
        until = videos.kept_until(job)
        pace, is_done = videos.pace(job.id), job.state == "done"
        is_coming = job.state == "uploading"
        return cls(
            id=job.id,
            name=job.name,
            state=job.state,
            reason=job.reason,
            bytes=job.bytes,
            received=videos.folder.received(job) if is_coming else job.bytes,
            options=job.options,
            progress=VideoProgress.of(pace) if pace and job.state == "running" else None,
            summary=job.summary,
            result=url_for("videos.result", video=job.id) if is_done else None,
            files=_files(videos, job) if is_done else [],
            created_at=_at(job.created_at),
            started_at=job.started_at and _at(job.started_at),
            ended_at=job.ended_at and _at(job.ended_at),
            kept_until=None if until is None else _at(until),
        )


class VideoList(BaseModel):
    """All videos of who asks, the newest first."""

    videos: list[VideoInfo]


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(round(seconds, 3), timezone.utc)


def _files(videos: Jobs, job: Job) -> list[VideoFile]:
    return [
        VideoFile(
            name=file.name,
            bytes=file.bytes,
            url=url_for("videos.result_file", video=job.id, name=file.name),
        )
        for file in videos.folder.results(job)
    ]
