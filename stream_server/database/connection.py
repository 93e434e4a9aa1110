"""The database of accounts: it is made where it is missing, for no other eyes, with this version's tables."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import URL, Engine, NullPool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from stream_server.database.address import is_absent
from stream_server.errors import AccountsError, ConfigError

_MIGRATING = threading.Lock()
"""One thread at a time: Alembic keeps what it is doing in global variables."""


def open_database(address: str, *, create: bool) -> Engine | None:
    """Return the database at an SQLAlchemy URL, with all tables; None where there is no such SQLite file yet.

    create: make the file, readable by its owner alone, and its folder.

    Raises ConfigError for an address that is none, AccountsError for a database that cannot be used.
    """
    url = _parse(address)
    if url.get_backend_name() != "sqlite":
        engine = _make_engine(url)
    else:
        path = Path(url.database or "")
        if not create and is_absent(address):
            return None
        _make_private(path, create=create)
        # Nothing to be forked with, or left of a deleted file; and none is made in place of one that is gone.
        there = url.set(database=f"file:{quote(str(path))}", query={**url.query, "mode": "rw", "uri": "true"})
        engine = _make_engine(there, poolclass=NullPool)
        event.listen(engine, "connect", _enforce_foreign_keys)
    with database_errors():
        _migrate(engine)
    return engine


def _parse(address: str) -> URL:
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        raise ConfigError(
            "auth.database: expected the URL of a database, e.g. sqlite:////var/lib/accounts.db or "
            "postgresql://HOST/NAME"
        ) from None
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise ConfigError("auth.database: expected a file; one in memory is another in each process")
    return url


def _make_engine(url: URL, **options: object) -> Engine:
    try:
        return create_engine(url, pool_pre_ping=True, **options)
    except NoSuchModuleError:
        raise ConfigError(f"auth.database: SQLAlchemy knows no database {url.drivername!r}") from None
    except ModuleNotFoundError as exc:
        raise ConfigError(f"auth.database: needs the Python package {exc.name}; pip install it") from None


def _make_private(path: Path, *, create: bool) -> None:
    """Make the file if need be, and take it away from all but its owner."""
    try:
        if create:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT * create | os.O_CLOEXEC, 0o600))
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except OSError as exc:
        raise AccountsError(f"{path}: cannot be used: {exc.strerror}") from None


def _enforce_foreign_keys(connection: sqlite3.Connection, _: object) -> None:
    connection.execute("PRAGMA foreign_keys=ON")


def _migrate(engine: Engine) -> None:
    config = AlembicConfig()
    config.set_main_option("script_location", "stream_server.database:migrations")
    newest = ScriptDirectory.from_config(config).get_current_head()
    with _MIGRATING, engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # another process may be at it
        if MigrationContext.configure(connection).get_current_revision() == newest:
            return
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def database_errors() -> Iterator[None]:
    """Turn what goes wrong with the database into AccountsError, in one line."""
    try:
        yield
    except CommandError as exc:
        raise AccountsError(f"the database of accounts is of another version: {exc}") from exc
    except SQLAlchemyError as exc:
        reason = " ".join(str(getattr(exc, "orig", None) or exc).split())
        raise AccountsError(f"the database of accounts cannot be used: {reason}") from exc
