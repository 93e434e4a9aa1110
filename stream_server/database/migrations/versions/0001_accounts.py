"""Users, tokens, sessions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "users", _id(), _name(unique=True), sa.Column("password", sa.String(256), nullable=False), *_rights()
    )
    op.create_table(
        "tokens",
        _id(),
        _name(index=True),
        _hash(),
        *_rights(),
        *(sa.Column(name, sa.Double) for name in ("expires_at", "used_at", "revoked_at")),
    )
    op.create_table(
        "sessions",
        _id(),
        sa.Column(
            "user_id", sa.Integer, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True
        ),
        _hash(),
        *(sa.Column(name, sa.Double, nullable=False) for name in ("created_at", "expires_at")),
    )
    changes = op.create_table("changes", _id(), sa.Column("number", sa.Integer, nullable=False))
    op.bulk_insert(changes, [{"id": 1, "number": 1}])


def downgrade() -> None:
    """Drop the tables."""
    for table in ("sessions", "tokens", "users", "changes"):
        op.drop_table(table)


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.Integer, primary_key=True)


def _name(*, unique: bool = False, index: bool = False) -> sa.Column[str]:
    return sa.Column("name", sa.String(64), nullable=False, unique=unique or None, index=index or None)


def _hash() -> sa.Column[str]:
    return sa.Column("hash", sa.String(64), nullable=False, unique=True)


def _rights() -> tuple[sa.Column[str], sa.Column[object], sa.Column[float]]:
    return (
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("cameras", sa.JSON(none_as_null=True)),
        sa.Column("created_at", sa.Double, nullable=False),
    )
