"""Cameras' sections as they may be shown, and back: `***` stands for a secret that is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from stream_server.base.redaction import MASK, mask_address, unmask_address
from stream_server.config.source_url import parse_source
from stream_server.errors import ConfigError

Section = Mapping[str, Any]


def masked(section: Section) -> dict[str, Any]:
    """Return a camera's section without its secrets; `{env: NAME}` and `{file: PATH}` are none."""
    shown = dict(section)
    if isinstance(shown.get("source"), str):
        shown["source"] = mask_address(shown["source"])
    if shown.get("password") and not isinstance(shown["password"], dict):
        shown["password"] = MASK
    return shown


def unmasked(section: Section, stored: Section, within: str = "") -> dict[str, Any]:
    """Return a section that came from outside with the secrets of the stored one for each `***`.

    within: what stands before keys in messages, e.g. "cameras.front.".

    A stored secret goes to the host it was stored for and to no other: who may change cameras is not to learn
    passwords, the server's variables or its files thereby.

    Raises ConfigError.
    """
    meant, password = dict(section), section.get("password")
    if isinstance(password, dict) and password != stored.get("password"):
        raise ConfigError(
            f"{within}password: expected the password itself; {{env: NAME}} and {{file: PATH}} are written "
            "into the file by hand"
        )
    if password == MASK:
        if "password" not in stored:
            raise ConfigError(f"{within}password: no password is stored that {MASK} could stand for")
        meant["password"] = stored["password"]
    source, before = section.get("source"), str(stored.get("source", ""))
    if isinstance(source, str):
        try:
            meant["source"] = unmask_address(source, before)
        except ValueError as exc:
            raise ConfigError(f"{within}source: {exc}") from None
    is_kept = meant.get("source") != source or (password is not None and meant["password"] is not password)
    if (is_kept or isinstance(password, dict)) and _host(meant.get("source")) not in (None, _host(before)):
        raise ConfigError(f"{within}password: give it again, it was stored for another host")
    return meant


def _host(source: object) -> str | None:
    """Return the host that a camera's address names, None where it names none."""
    try:
        address = parse_source(str(source)).address
        return urlsplit(address).hostname if "://" in address else None
    except ValueError:
        return None
