"""What Alembic runs; the connection comes from `stream_server.database.connection`."""

from __future__ import annotations

from alembic import context

from stream_server.database.base import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
