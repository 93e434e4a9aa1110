"""The command line of `stream-server user` and `token`; what one command alone needs is imported there."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

import click

from stream_server.accounts.grants import Role
from stream_server.accounts.marker import marker_for
from stream_server.accounts.passwords import MAX_PASSWORD_LENGTH, MIN_PASSWORD_LENGTH, looks_like_token
from stream_server.base.redaction import redact
from stream_server.config import Config, database_of
from stream_server.errors import AccountsError, ConfigError, StreamServerError

if TYPE_CHECKING:
    from stream_server.accounts.store import Store
    from stream_server.accounts.tables import Token, User

P = ParamSpec("P")
Row = dict[str, str | list[str] | None]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_SPAN = re.compile(r"(\d{1,5})([mhdw])")
_SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

_JSON = click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
_CAMERA = click.option(
    "--camera",
    "cameras",
    multiple=True,
    metavar="NAME",
    help="May see this one; again for more. Default: all.",
)
_PASSWORD = click.option(
    "--password-file",
    type=click.Path(path_type=Path, allow_dash=True),
    help="File with the password in its first line, '-' for stdin; else it is asked for.",
)


def _role(default: Role) -> Callable[[Callable[P, None]], Callable[P, None]]:
    return click.option(
        "--role", type=click.Choice(("viewer", "admin")), default=default, show_default=True, help="What for."
    )


def with_store(function: Callable[P, None]) -> Callable[P, None]:
    """Add the options that say which database; show our own errors in one line each, with exit code 2."""
    options = (
        click.option(
            "--config", "config_file", type=click.Path(path_type=Path), help="The server's YAML file."
        ),
        click.option(
            "--set",
            "overrides",
            multiple=True,
            metavar="KEY=VALUE",
            help="E.g. auth.database=sqlite:////x.db.",
        ),
    )

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except StreamServerError as exc:
            for line in str(exc).splitlines():
                click.echo(f"stream-server: {redact(line)}", err=True)
            sys.exit(2)

    for option in options:
        wrapped = option(wrapped)
    return wrapped


def _find(config_file: Path | None, overrides: tuple[str, ...]) -> Store:
    """Return the accounts of a server with this configuration; there must be some."""
    from stream_server.accounts.store import Store  # noqa: PLC0415

    store = Store.find(_database(config_file, overrides))
    if store is None:
        beside = config_file.absolute().parent if config_file else Path.cwd()
        raise AccountsError(f"nobody was added yet in {beside}; --config says for which server it is")
    return store


def _make(config_file: Path | None, overrides: tuple[str, ...], cameras: Iterable[str]) -> Store:
    """Return the accounts of a server with this configuration; it must know `cameras`, if it names any."""
    from stream_server.accounts.store import Store  # noqa: PLC0415

    config = Config.load(config_file, overrides)
    unknown = set(cameras) - set(config.cameras)
    if config.cameras and unknown:
        known = ", ".join(config.cameras)
        raise ConfigError(f"--camera {min(unknown)}: there is no such camera; expected one of {known}")
    return Store.open(database_of(config, config_file))


def _database(config_file: Path | None, overrides: tuple[str, ...]) -> str:
    return database_of(Config.load(config_file, overrides), config_file)


def _note_change(store: Store, config_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Remember whether there are accounts, and say whom a change lets in, or keeps out, by surprise."""
    marker, has_users = marker_for(_database(config_file, overrides), config_file), bool(store.users())
    if has_users or any(token.revoked_at is None for token in store.tokens()):
        with suppress(AccountsError):  # the server says so, where it matters
            marker.set()
        if not has_users:
            click.echo(
                "There is no user who could log in on the pages: `stream-server user add NAME` adds one.",
                err=True,
            )
    else:
        marker.clear()
        click.echo("Nobody is left: a server on 127.0.0.1 asks no one from now on.", err=True)


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise AccountsError(f"got the name {name!r}, expected letters, digits and . _ @ -, 64 at most")
    return name


def _scope(cameras: tuple[str, ...]) -> frozenset[str] | None:
    return frozenset(cameras) or None


# Users.


@click.group(short_help="Add, list and remove people who may log in.")
def user() -> None:
    """Say who may log in. As long as there is nobody, a server on 127.0.0.1 asks no one."""


@user.command("add", short_help="Let somebody log in.")
@click.argument("name")
@_role("admin")
@_CAMERA
@_PASSWORD
@with_store
def add_user(
    *,
    name: str,
    role: Role,
    cameras: tuple[str, ...],
    password_file: Path | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Let NAME log in with a password that is asked for."""
    _check_name(name)
    store = _make(config_file, overrides, cameras)
    if any(there.name == name for there in store.users()):  # before a password is asked for
        raise AccountsError(f"there is a user {name!r} already; `passwd` changes the password")
    store.add_user(name, _password(password_file), role, _scope(cameras))
    click.echo(f"Added {role} {name}.", err=True)
    _note_change(store, config_file, overrides)


@user.command("passwd", short_help="Change a password.")
@click.argument("name")
@_PASSWORD
@with_store
def change_password(
    name: str, password_file: Path | None, config_file: Path | None, overrides: tuple[str, ...]
) -> None:
    """Change the password of NAME, who is logged out everywhere."""
    store = _find(config_file, overrides)
    if not any(there.name == name for there in store.users()):
        raise AccountsError(f"there is no user {name!r}; `list` shows those there are")
    store.set_password(name, _password(password_file))
    click.echo(f"Changed the password of {name}.", err=True)


@user.command("remove", short_help="Let somebody in no more.")
@click.argument("name")
@with_store
def remove_user(name: str, config_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Remove NAME, whose streams end within seconds."""
    store = _find(config_file, overrides)
    store.remove_user(name)
    click.echo(f"Removed {name}.", err=True)
    _note_change(store, config_file, overrides)


@user.command("forget", short_help="Say that there are to be no users.")
@with_store
def forget_users(config_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Say that lost users and tokens are to be none: a server on 127.0.0.1 asks no one then.

    Those that are still in the database stay; `remove` and `token revoke` take them away.
    """
    marker = marker_for(_database(config_file, overrides), config_file)
    if not marker.is_set:
        raise AccountsError(f"there were no users or tokens: {marker.path} names none for this database")
    marker.clear()
    click.echo("Forgot that there were users and tokens.", err=True)


@user.command("list", short_help="Show who may log in.")
@_JSON
@with_store
def list_users(as_json: bool, config_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Show who may log in."""
    users = _find(config_file, overrides).users()
    _show([_rights(user) for user in users], ("name", "role", "cameras", "created"), as_json)


def _password(file: Path | None) -> str:
    """Return the password of a file or of who sits there, never of an argument: others see those."""
    password = _ask() if file is None else _first_line(file)
    if not MIN_PASSWORD_LENGTH <= len(password) <= MAX_PASSWORD_LENGTH:
        raise AccountsError(
            f"the password has {len(password)} characters, "
            f"expected {MIN_PASSWORD_LENGTH} to {MAX_PASSWORD_LENGTH}"
        )
    if looks_like_token(password):
        raise AccountsError("this is a token, expected a password")
    return password


def _ask() -> str:
    if not sys.stdin.isatty():
        raise AccountsError("there is no terminal to ask for the password; give it with --password-file")
    answer: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return answer


def _first_line(file: Path) -> str:
    try:
        with click.open_file(str(file), encoding="utf-8") as opened:
            return str(opened.readline()).rstrip("\r\n")
    except OSError as exc:
        raise AccountsError(f"--password-file {file}: cannot be read: {exc.strerror}") from None
    except UnicodeDecodeError:
        raise AccountsError(f"--password-file {file}: is not a text file in UTF-8") from None


# Tokens.


@click.group(short_help="Add, list and revoke tokens for programs.")
def token() -> None:
    """Give programs a token to show, and take it away again."""


@token.command("add", short_help="Make a token for a program.")
@click.argument("name")
@_role("viewer")
@_CAMERA
@click.option("--expires", metavar="WHEN", help="After 30m, 12h, 90d or 4w, or on a day: 2030-12-31.")
@with_store
def add_token(
    *,
    name: str,
    role: Role,
    cameras: tuple[str, ...],
    expires: str | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Make a token called NAME and print it. It cannot be shown again."""
    _check_name(name)
    expires_at = None if expires is None else _expiry(expires, time.time())
    store = _make(config_file, overrides, cameras)
    made = store.add_token(name, role, _scope(cameras), expires_at)
    click.echo(f"Added {role} token {name}; it is shown this once:", err=True)
    click.echo(made)
    _note_change(store, config_file, overrides)


@token.command("revoke", short_help="Make a token worthless.")
@click.argument("name")
@with_store
def revoke_token(name: str, config_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Revoke the token NAME; streams that were opened with it end within seconds."""
    store = _find(config_file, overrides)
    store.revoke_token(name)
    click.echo(f"Revoked {name}.", err=True)
    _note_change(store, config_file, overrides)


@token.command("list", short_help="Show the tokens there are.")
@_JSON
@with_store
def list_tokens(as_json: bool, config_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Show the tokens there are and were."""
    now = time.time()
    rows = [
        {
            **_rights(token),
            "expires": _when(token.expires_at),
            "used": _when(token.used_at),
            "state": _state(token, now),
        }
        for token in _find(config_file, overrides).tokens()
    ]
    _show(rows, ("name", "role", "cameras", "created", "expires", "used", "state"), as_json)


def _expiry(when: str, now: float) -> float:
    """Return the seconds since 1970 that `when` means: a span from now, or the end of a day (UTC)."""
    if span := _SPAN.fullmatch(when):
        return now + int(span[1]) * _SECONDS[span[2]]
    try:
        day = datetime.strptime(when, "%Y-%m-%d").replace(tzinfo=timezone.utc)
    except ValueError:
        raise AccountsError(f"--expires {when}: expected e.g. 12h, 90d, 4w or 2030-12-31") from None
    if day.timestamp() + _SECONDS["d"] <= now:
        raise AccountsError(f"--expires {when}: that day is over")
    return day.timestamp() + _SECONDS["d"]


def _state(token: Token, now: float) -> str:
    if token.revoked_at is not None:
        return "revoked"
    return "expired" if token.expires_at is not None and token.expires_at <= now else "valid"


# Showing.


def _rights(item: User | Token) -> Row:
    return {
        "name": item.name,
        "role": item.role,
        "cameras": item.cameras,
        "created": _when(item.created_at),
    }


def _when(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="seconds")


def _show(rows: Sequence[Row], columns: Sequence[str], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    lines = [tuple(column.upper() for column in columns), *(_cells(row, columns) for row in rows)]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cells(row: Mapping[str, str | list[str] | None], columns: Sequence[str]) -> tuple[str, ...]:
    return tuple(_cell(column, row[column]) for column in columns)


def _cell(column: str, value: str | list[str] | None) -> str:
    if value is None:
        return "all" if column == "cameras" else "never"
    return ",".join(value) if isinstance(value, list) else value
