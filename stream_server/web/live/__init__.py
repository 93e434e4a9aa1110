"""Endpoints that last: stream, wall, detections, images, push."""

from __future__ import annotations

from flask import Blueprint

from stream_server.web.live import detections, images, mjpeg, push, wall

BLUEPRINTS: tuple[Blueprint, ...] = (
    detections.blueprint,
    images.blueprint,
    mjpeg.blueprint,
    push.blueprint,
    wall.blueprint,
)
