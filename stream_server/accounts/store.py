"""Users, tokens and sessions as they are kept in the database."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

from sqlalchemy import Engine, delete, select, update
from sqlalchemy.orm import Session as Transaction

from stream_server.accounts import passwords
from stream_server.accounts.grants import Grant, Role
from stream_server.accounts.snapshot import Snapshot
from stream_server.accounts.tables import Change, Session, Token, User
from stream_server.database.connection import database_errors, open_database
from stream_server.errors import AccountsError

Item = TypeVar("Item", User, Token)
Cameras = frozenset[str] | None


class Store:
    """The accounts of a database. Any thread may call anything; all raise AccountsError."""

    def __init__(self, engine: Engine, method: str = passwords.METHOD) -> None:
        """engine: as `open_database` returns it; closed with the store. method: of hashing passwords."""
        self._engine = engine
        self._method = method

    @classmethod
    def open(cls, address: str, method: str = passwords.METHOD) -> Store:
        """Return the store at an SQLAlchemy URL, made if need be. method: of hashing passwords."""
        engine = open_database(address, create=True)
        assert engine
        return cls(engine, method)

    @classmethod
    def find(cls, address: str) -> Store | None:
        """Return the store at an SQLAlchemy URL, None where there is none yet."""
        engine = open_database(address, create=False)
        return cls(engine) if engine else None

    def close(self) -> None:
        """Let go of the database; may be called twice."""
        self._engine.dispose()

    # Users.

    def users(self) -> list[User]:
        """Return all users, by name."""
        with self._reading() as transaction:
            return list(transaction.scalars(select(User).order_by(User.name)))

    def add_user(self, name: str, password: str, role: Role = "admin", cameras: Cameras = None) -> None:
        """Add a user; raises AccountsError also where there is one of that name."""
        kept = passwords.hash_password(password, self._method)
        with self._changing() as transaction:
            if _find(transaction, User, name):
                raise AccountsError(f"there is a user {name!r} already; `passwd` changes the password")
            transaction.add(User(name=name, password=kept, **_rights(role, cameras)))

    def set_password(self, name: str, password: str) -> None:
        """Change a password; whoever is logged in with the old one is logged out."""
        kept = passwords.hash_password(password, self._method)
        with self._changing() as transaction:
            user = _need(transaction, User, name)
            user.password = kept
            user.sessions.clear()

    def remove_user(self, name: str) -> None:
        """Remove a user, who is logged out everywhere."""
        with self._changing() as transaction:
            transaction.delete(_need(transaction, User, name))

    # Tokens.

    def tokens(self) -> list[Token]:
        """Return all tokens, by name, revoked ones too."""
        with self._reading() as transaction:
            return list(transaction.scalars(select(Token).order_by(Token.name, Token.id)))

    def add_token(
        self, name: str, role: Role = "viewer", cameras: Cameras = None, expires_at: float | None = None
    ) -> str:
        """Add a token and return it: it cannot be read again."""
        token = passwords.new_token()
        with self._changing() as transaction:
            if _find(transaction, Token, name):
                raise AccountsError(
                    f"there is a token {name!r} already; revoke it first or choose another name"
                )
            kept = passwords.hash_token(token)
            transaction.add(Token(name=name, hash=kept, expires_at=expires_at, **_rights(role, cameras)))
        return token

    def revoke_token(self, name: str) -> None:
        """Make a token worthless from now on."""
        with self._changing() as transaction:
            _need(transaction, Token, name).revoked_at = time.time()

    def note_use(self, used_at: Mapping[int, float]) -> None:
        """Note when the tokens of these ids were last used."""
        with database_errors(), Transaction(self._engine) as transaction, transaction.begin():
            for number, at in used_at.items():
                transaction.execute(update(Token).where(Token.id == number).values(used_at=at))

    # Sessions.

    def open_session(self, name: str, lifetime_s: float) -> str:
        """Return the secret of a new session of a user; who has it is that user, until it ends."""
        secret, now = passwords.new_token(), time.time()
        with self._changing() as transaction:
            transaction.execute(delete(Session).where(Session.expires_at <= now))
            user = _need(transaction, User, name)
            kept, ends_at = passwords.hash_token(secret), now + lifetime_s
            transaction.add(Session(user_id=user.id, hash=kept, created_at=now, expires_at=ends_at))
        return secret

    def close_session(self, secret: str) -> None:
        """End a session, if there is one with this secret."""
        with self._changing() as transaction:
            transaction.execute(delete(Session).where(Session.hash == passwords.hash_token(secret)))

    # All of it.

    def number(self) -> int:
        """Return how often anything was changed."""
        with self._reading() as transaction:
            return transaction.scalars(select(Change.number)).one()

    def read(self) -> Snapshot:
        """Return all that is of use."""
        with self._reading() as transaction:
            number = transaction.scalars(select(Change.number)).one()  # first: what changes now is read again
            users = transaction.scalars(select(User))
            tokens = transaction.scalars(select(Token).where(Token.revoked_at.is_(None)))
            sessions = transaction.scalars(select(Session))
            return Snapshot(
                number,
                {user.name: (_grant(user, _key_of(user)), user.password) for user in users},
                {token.hash: _grant(token, f"token:{token.id}", token.expires_at) for token in tokens},
                {item.hash: _grant_of_session(item) for item in sessions},
            )

    @contextmanager
    def _reading(self) -> Iterator[Transaction]:
        with database_errors(), Transaction(self._engine, expire_on_commit=False) as transaction:
            yield transaction

    @contextmanager
    def _changing(self) -> Iterator[Transaction]:
        """Change what there is; running servers get to know."""
        with database_errors(), Transaction(self._engine) as transaction, transaction.begin():
            # First: on SQLite and others it keeps two who change at once from reading the same.
            transaction.execute(update(Change).values(number=Change.number + 1))
            yield transaction


def _key_of(user: User) -> str:
    """Return the key of a user's grant: another one once the password is another."""
    return f"user:{user.id}:{passwords.hash_token(user.password)[:16]}"


def _grant(item: User | Token, key: str, expires_at: float | None = None) -> Grant:
    role: Role = "admin" if item.role == "admin" else "viewer"
    cameras = None if item.cameras is None else frozenset(item.cameras)
    return Grant(key, item.name, role, cameras, None, expires_at)


def _grant_of_session(session: Session) -> Grant:
    grant = _grant(session.user, f"session:{session.id}", session.expires_at)
    return replace(grant, owner=_key_of(session.user))


def _rights(role: Role, cameras: Cameras) -> dict[str, object]:
    listed = None if cameras is None else sorted(cameras)
    return {"role": role, "cameras": listed, "created_at": time.time()}


def _find(transaction: Transaction, kind: type[Item], name: str) -> Item | None:
    """Return the one of that name, None where there is none; a revoked token is none."""
    query = select(kind).where(kind.name == name)
    if kind is Token:
        query = query.where(Token.revoked_at.is_(None))
    return transaction.scalars(query).one_or_none()


def _need(transaction: Transaction, kind: type[Item], name: str) -> Item:
    found = _find(transaction, kind, name)
    if found is None:
        raise AccountsError(f"there is no {kind.__name__.lower()} {name!r}; `list` shows those there are")
    return found
