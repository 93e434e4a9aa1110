"""Addresses of other servers."""

from __future__ import annotations

from flask import Blueprint

from stream_server.web.compat import doods, frigate, google_vision, mjpg_streamer, ustreamer

BLUEPRINTS: tuple[Blueprint, ...] = (
    doods.blueprint,
    frigate.blueprint,
    google_vision.blueprint,
    mjpg_streamer.blueprint,
    ustreamer.blueprint,
)
