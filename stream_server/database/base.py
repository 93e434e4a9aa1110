"""The base class of all tables."""

from __future__ import annotations

from sqlalchemy import Double
from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    """What all tables share."""

    type_annotation_map = {float: Double}  # noqa: RUF012 - as SQLAlchemy wants it; MySQL's FLOAT has 24 bits
