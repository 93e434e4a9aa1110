"""Who may ask for what, by which name, behind which proxy."""

from __future__ import annotations

from flask import Blueprint

from stream_server.web.security import login, signed_links

BLUEPRINTS: tuple[Blueprint, ...] = (
    login.blueprint,
    signed_links.blueprint,
)
