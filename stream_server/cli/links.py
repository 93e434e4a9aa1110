"""The command line of `stream-server urls`."""

from __future__ import annotations

from pathlib import Path

import click

from stream_server.accounts.links import key_beside
from stream_server.cli.accounts import with_store
from stream_server.config import Config, database_of
from stream_server.errors import AccountsError


@click.group(short_help="Revoke the signed links to cameras.")
def urls() -> None:
    """Deal with links that `POST /api/v1/urls` and the pages of cameras make."""


@urls.command("revoke-all", short_help="Make all links worthless.")
@with_store
def revoke_all(config_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Make all links worthless that there are; what was opened by them ends within seconds.

    The links of one user or token end with it.
    """
    key = key_beside(database_of(Config.load(config_file, overrides), config_file))
    if key is None or key.find() is None:
        raise AccountsError("there are no links yet")
    key.replace()
    click.echo("Revoked all links.", err=True)
