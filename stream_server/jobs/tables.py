"""The table of the videos; a change of it needs a migration in `database/migrations/versions`.

Times are seconds since 1970.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from stream_server.database.base import Base

OWNER_LENGTH = 80
NAME_LENGTH = 255


class VideoRow(Base):
    """A video; see `job.Job`. A row is changed when its state does, not with each frame."""

    __tablename__ = "videos"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    owner: Mapped[str] = mapped_column(String(OWNER_LENGTH), index=True)
    name: Mapped[str] = mapped_column(String(NAME_LENGTH))
    path: Mapped[str | None] = mapped_column(Text)
    options: Mapped[dict[str, object]] = mapped_column(JSON)
    bytes: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(16), index=True)
    reason: Mapped[str | None] = mapped_column(Text)
    summary: Mapped[dict[str, object] | None] = mapped_column(JSON(none_as_null=True))
    runs: Mapped[int]
    created_at: Mapped[float]
    started_at: Mapped[float | None]
    ended_at: Mapped[float | None]
