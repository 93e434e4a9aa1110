"""`/settings`: cameras are added, changed and removed; the configuration's models say what each key means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from flask import Blueprint, current_app, render_template, url_for
from markupsafe import Markup
from pydantic import BaseModel

from stream_server.config import CameraConfig
from stream_server.config.validation import value_range
from stream_server.sources.v4l2 import find_webcams
from stream_server.web.html import inline

blueprint = Blueprint("settings", __name__)

Widget = Literal["text", "number", "switch", "choice", "list", "scores"]


@dataclass(frozen=True, slots=True)
class SourceHelp:
    """A kind of source as the form offers it. address: what its source is, where that is always the same."""

    kind: str
    name: str
    example: str
    help: str
    address: str = ""


KINDS = (
    SourceHelp(
        "rtsp",
        "Network camera (RTSP)",
        "rtsp://192.168.1.20/stream1",
        "What most network cameras speak. The camera's manual or its app names the address.",
    ),
    SourceHelp(
        "http",
        "MJPEG or snapshots (HTTP)",
        "http://192.168.1.21/video.mjpg",
        "An address that shows the moving picture in a browser, or a JPEG that is asked for again and again.",
    ),
    SourceHelp("hls", "HLS", "https://example.com/live/index.m3u8", "An address that ends in .m3u8."),
    SourceHelp("webcam", "Webcam", "/dev/video0", "A camera that is plugged into the server."),
    SourceHelp("file", "Video file", "/videos/street.mp4", "The path of a video on the server."),
    SourceHelp(
        "push",
        "Pictures are sent here",
        "push:",
        "A browser, a phone, an ESP32 or FFmpeg sends pictures to /api/v1/cameras/NAME/push.",
        address="push:",
    ),
    SourceHelp("demo", "Demo", "demo:", "A moving picture made by the server itself.", address="demo:"),
)

_NETWORK = "rtsp http hls"
KINDS_OF = {
    "username": _NETWORK,
    "password": _NETWORK,
    "transport": "rtsp",
    "verify_tls": _NETWORK,
    "width": "webcam demo",
    "height": "webcam demo",
    "fps": "webcam demo http",
    "realtime": "file",
    "at_end": "file",
    "connect_timeout_s": _NETWORK,
    "read_timeout_s": "rtsp http hls webcam push",
}
"""The kinds of source for which a setting matters; those that are not here: all."""

ELSEWHERE = frozenset(
    {"title", "source", "username", "password", "enabled", "detect.inside", "detect.ignore"}
)
"""Settings that the form has in a way of its own, or that are made at another place: regions are drawn."""

NAMES = {
    "on_demand": "Open only while somebody watches",
    "width": "Width",
    "height": "Height",
    "fps": "Frames per second",
    "detect.enabled": "Look for objects",
    "detect.fps": "Frames analysed per second",
    "detect.score_threshold": "Least score",
    "detect.classes": "Objects to look for",
    "transport": "RTSP over",
    "verify_tls": "Check the camera's certificate",
    "realtime": "Play at its own speed",
    "at_end": "At the end of the file",
    "connect_timeout_s": "Seconds to connect",
    "read_timeout_s": "Seconds without a picture",
    "detect.model": "Model",
    "detect.weight": "Share of the detector",
    "detect.max_age_s": "Seconds a frame may wait",
    "detect.score_thresholds": "Least score by object",
    "detect.min_width": "Least width of an object",
    "detect.min_height": "Least height of an object",
    "detect.tiles": "Tiles for small objects",
    "detect.motion.gate": "Analyse only what moves",
    "detect.motion.threshold": "Motion: change of brightness",
    "detect.motion.min_area": "Motion: least area",
    "detect.motion.refresh_s": "Motion: seconds until a look anyway",
    "stream.fps": "Stream: frames per second",
    "stream.width": "Stream: width",
    "stream.quality": "Stream: JPEG quality",
    "stream.overlay": "Stream: boxes",
    "stream.labels": "Stream: labels at boxes",
    "stream.caption": "Stream: name and time",
}
ESSENTIAL = tuple(NAMES)[:8]
"""What people need; all else is folded away."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A key of a camera's section as the form shows it.

    default: as JSON has it, None where there is none. kinds: of sources for which it matters, all if empty.
    """

    key: str
    name: str
    widget: Widget
    meaning: Markup
    default: Any
    default_words: str
    choices: tuple[str, ...]
    bounds: str
    kinds: str


@blueprint.get("/settings")
def page() -> str:
    """Show the page; what it does is done by its scripts, over the settings' API."""
    settings = {setting.key: setting for setting in camera_settings()}
    return render_template(
        "settings.html",
        essential=[settings[key] for key in ESSENTIAL],
        advanced=[setting for key, setting in settings.items() if key not in ESSENTIAL],
        network=_NETWORK,
        kinds=KINDS,
        webcams=[{"source": found.by_id or found.path, "name": found.name} for found in find_webcams()],
        discovery=_discovery(),
    )


def camera_settings() -> Iterator[Setting]:
    """Yield the settings of a camera that the form has."""
    return (_setting(model, name, key) for model, name, key in _keys(CameraConfig) if key not in ELSEWHERE)


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[type[BaseModel], str, str]]:
    """Yield for each key below `model`: the model it is of, its name there, and its whole path."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _keys(inner, f"{prefix}{name}.")
        else:
            yield model, name, prefix + name


def _setting(model: type[BaseModel], name: str, key: str) -> Setting:
    field = model.model_fields[name]
    widget, choices = _widget(field.annotation)
    default = None if field.default_factory or field.is_required() else field.default
    return Setting(
        key=key,
        name=NAMES.get(key, key.replace("_", " ")),
        widget=widget,
        meaning=inline(field.description or ""),
        default=default,
        default_words=_in_words(default),
        choices=choices,
        bounds=value_range(model, name),
        kinds=KINDS_OF.get(key, ""),
    )


def _widget(annotation: Any) -> tuple[Widget, tuple[str, ...]]:
    """Return how values of a type are entered, and what there is to choose from."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return "choice", arguments
    if origin is tuple:
        return "list", ()
    if origin is dict:
        return "scores", ()
    if origin is Union or arguments:  # something or None, or with validators
        return _widget(arguments[0])
    kinds: dict[Any, Widget] = {bool: "switch", int: "number", float: "number"}
    return kinds.get(annotation, "text"), ()


def _in_words(default: object) -> str:
    if isinstance(default, bool):
        return "on" if default else "off"
    return "" if default is None else str(default)


def _discovery() -> str:
    """Return the address that searches the network for cameras, empty where there is none."""
    rules = current_app.url_map.iter_rules()
    endpoint = next((rule.endpoint for rule in rules if rule.rule == "/api/v1/discovery"), None)
    return url_for(endpoint) if endpoint else ""
