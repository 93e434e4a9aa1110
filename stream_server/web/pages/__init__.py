"""Pages of the browser."""

from __future__ import annotations

from flask import Blueprint

from stream_server.web.pages import cameras, embed, regions, settings, try_it

BLUEPRINTS: tuple[Blueprint, ...] = (
    cameras.blueprint,
    embed.blueprint,
    regions.blueprint,
    settings.blueprint,
    try_it.blueprint,
)
