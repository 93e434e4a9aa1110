"""What is said of videos in the background."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from stream_server.config.section import Section
from stream_server.config.types import at_config_file, at_config_file_if_any


class VideosConfig(Section):
    """Videos that are annotated in the background, and how much of the machine they may take."""

    folder: Annotated[str, AfterValidator(at_config_file)] = Field(
        "data/videos",
        validate_default=True,
        description="Where uploads and results are kept. Relative to the configuration file.",
    )
    media_root: Annotated[str | None, AfterValidator(at_config_file_if_any)] = Field(
        None,
        description="Folder whose videos may be named instead of being uploaded, by who may see all cameras. "
        "Default: none may.",
    )
    max_running: int = Field(1, ge=0, le=16, description="Videos annotated at once; others wait. 0: none.")
    nice: int = Field(
        19,
        ge=0,
        le=19,
        description="How much they give way to cameras and viewers; 0: not at all, 19: they get the rest.",
    )
    max_jobs_per_user: int = Field(
        10,
        ge=1,
        le=10000,
        description="Videos of a user or token that wait, come or are annotated; more get 429.",
    )
    max_bytes: int = Field(4 * 2**30, ge=1, description="Bytes of a video, at most.")
    max_length_s: float = Field(4 * 3600, gt=0, le=1e7, description="Its length in seconds, at most.")
    quota_bytes: int = Field(
        20 * 2**30, ge=1, description="Bytes of all uploads and results; more get 507 until some are deleted."
    )
    keep_s: float | None = Field(
        30 * 86400,
        gt=0,
        description="Seconds after which what is done, or failed, is deleted; null: nothing is.",
    )
    keep_uploads_s: float | None = Field(
        86400,
        gt=0,
        description="Seconds after which an upload is deleted that nobody goes on with; null: none is.",
    )
