"""Endpoints that answer once."""

from __future__ import annotations

from flask import Blueprint

from stream_server.web.api import (
    cameras,
    discovery,
    health,
    history,
    images,
    metrics,
    settings,
    status,
    videos,
)

BLUEPRINTS: tuple[Blueprint, ...] = (
    cameras.blueprint,
    discovery.blueprint,
    health.blueprint,
    history.blueprint,
    images.blueprint,
    metrics.blueprint,
    settings.blueprint,
    status.blueprint,
    videos.blueprint,
)
