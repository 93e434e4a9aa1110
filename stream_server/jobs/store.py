"""The videos as they are kept in the database."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import asdict

from sqlalchemy import Engine, delete, func, select, update
from sqlalchemy.orm import Session as Transaction

from stream_server.database.connection import database_errors, open_database
from stream_server.errors import AccountsError
from stream_server.jobs.job import Job, State, VideoOptions, VideoSummary
from stream_server.jobs.tables import VideoRow


class JobStore:
    """The videos of a database. Any thread may call anything; all raise AccountsError."""

    def __init__(self, engine: Engine) -> None:
        """engine: as `open_database` returns it; closed with the store."""
        self._engine = engine

    @classmethod
    def open(cls, address: str) -> JobStore:
        """Return the store at an SQLAlchemy URL, made if need be."""
        engine = open_database(address, create=True)
        assert engine
        return cls(engine)

    def close(self) -> None:
        """Let go of the database; may be called twice."""
        self._engine.dispose()

    def add(self, job: Job) -> None:
        """Keep a new job."""
        values = asdict(job) | {"options": job.options.model_dump(mode="json"), "summary": None}
        with database_errors(), Transaction(self._engine) as transaction, transaction.begin():
            transaction.add(VideoRow(**values))

    def find(self, id: str) -> Job | None:
        """Return the job of that id."""
        with database_errors(), Transaction(self._engine) as transaction:
            row = transaction.get(VideoRow, id)
            return _job(row) if row else None

    def jobs(self, owner: str | None = None) -> list[Job]:
        """Return all jobs, or those of `owner`, the newest first."""
        query = select(VideoRow).order_by(VideoRow.created_at.desc(), VideoRow.id)
        if owner is not None:
            query = query.where(VideoRow.owner == owner)
        with database_errors(), Transaction(self._engine) as transaction:
            return [_job(row) for row in transaction.scalars(query)]

    def count(self, owner: str, states: Collection[State]) -> int:
        """Return how many jobs of `owner` are in one of `states`."""
        query = select(func.count()).where(VideoRow.owner == owner, VideoRow.state.in_(states))
        with database_errors(), Transaction(self._engine) as transaction:
            return transaction.scalars(query).one()

    def claim(self) -> Job | None:
        """Return the oldest job that waits, which is running from now on; one caller at a time."""
        query = select(VideoRow).where(VideoRow.state == "queued").order_by(VideoRow.created_at).limit(1)
        with database_errors(), Transaction(self._engine) as transaction, transaction.begin():
            row = transaction.scalars(query).one_or_none()
            if row is None:
                return None
            row.state, row.runs, row.started_at = "running", row.runs + 1, time.time()
            return _job(row)

    def queue(self, id: str) -> None:
        """Let a job wait for its turn."""
        self._set(id, state="queued")

    def finish(self, id: str, summary: VideoSummary) -> None:
        """Note what became of a job."""
        self._set(id, state="done", summary=summary.model_dump(mode="json"), ended_at=time.time())

    def fail(self, id: str, reason: str) -> None:
        """Note why nothing became of a job."""
        self._set(id, state="failed", reason=reason, ended_at=time.time())

    def requeue_running(self, but: Collection[str]) -> None:
        """Let those that were being worked on wait for their turn again, `but` those that are now."""
        query = update(VideoRow).where(VideoRow.state == "running", VideoRow.id.not_in(but))
        query = query.values(state="queued")
        with database_errors(), Transaction(self._engine) as transaction, transaction.begin():
            transaction.execute(query)

    def remove(self, id: str) -> None:
        """Forget a job."""
        with database_errors(), Transaction(self._engine) as transaction, transaction.begin():
            transaction.execute(delete(VideoRow).where(VideoRow.id == id))

    def _set(self, id: str, **values: object) -> None:
        with database_errors(), Transaction(self._engine) as transaction, transaction.begin():
            transaction.execute(update(VideoRow).where(VideoRow.id == id).values(**values))


def _job(row: VideoRow) -> Job:
    names = Job.__dataclass_fields__.keys() - {"options", "summary"}
    values = {name: getattr(row, name) for name in names}
    try:
        options = VideoOptions.model_validate(row.options)
        summary = None if row.summary is None else VideoSummary.model_validate(row.summary)
    except ValueError as exc:
        raise AccountsError(f"the video {row.id} was made by another version: {exc}") from None
    return Job(**values, options=options, summary=summary)
