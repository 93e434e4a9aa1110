"""The tables of the accounts; a change of them needs a migration in `database/migrations/versions`.

Times are seconds since 1970.
"""

from __future__ import annotations

from sqlalchemy import JSON, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from stream_server.database.base import Base

NAME_LENGTH = 64
HASH_LENGTH = 64


class _Rights:
    """cameras: the names of those that may be seen, None: all."""

    role: Mapped[str] = mapped_column(String(16))
    cameras: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[float]


class User(_Rights, Base):
    """A person; `password` is what `passwords.hash_password` made of it."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(NAME_LENGTH), unique=True)
    password: Mapped[str] = mapped_column(String(256))
    sessions: Mapped[list[Session]] = relationship(cascade="all, delete-orphan", back_populates="user")


class Token(_Rights, Base):
    """What a program shows; `hash` is what `passwords.hash_token` made of it. Revoked ones are kept."""

    __tablename__ = "tokens"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(NAME_LENGTH), index=True)
    hash: Mapped[str] = mapped_column(String(HASH_LENGTH), unique=True)
    expires_at: Mapped[float | None]
    used_at: Mapped[float | None]
    revoked_at: Mapped[float | None]


class Session(Base):
    """A browser in which a user has logged in; `hash` is of what its cookie holds."""

    __tablename__ = "sessions"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    hash: Mapped[str] = mapped_column(String(HASH_LENGTH), unique=True)
    created_at: Mapped[float]
    expires_at: Mapped[float]
    user: Mapped[User] = relationship(back_populates="sessions", lazy="joined")


class Change(Base):
    """One row: how often anything above was changed, so that a server need not read all to know."""

    __tablename__ = "changes"
    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int]
