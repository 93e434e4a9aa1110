"""JSON that is the web's alone."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class Health(BaseModel):
    """Whether the process lives."""

    status: Literal["ok", "broken"]


class Readiness(BaseModel):
    """Whether the server does its whole job."""

    status: Literal["ready", "not ready"]
    troubles: list[str] = Field([], description="What does not work, for those who may see all cameras.")


class ProblemDetails(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    field: str | None = Field(None, description="The part of the request that is wrong.")
    limit: int | None = Field(None, description="The limit that was exceeded.")


class Pushed(BaseModel):
    """What was taken of what was pushed to a camera."""

    camera: str
    pictures: int
    rejected: int = Field(description="Parts that were no JPEG, or one that is too large.")
