"""The document of all routes."""

from __future__ import annotations

from flask import Blueprint

from stream_server.web.openapi import document

BLUEPRINTS: tuple[Blueprint, ...] = (document.blueprint,)
