"""Types of settings, each with its check."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, SecretStr, ValidationInfo

from detector.zoo.catalog import is_known
from stream_server.base import redaction
from stream_server.config.polygons import Point, check_polygon

Overlay = Literal["live", "exact", "none"]
NeededCameras = Literal["none", "any", "all"]

_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CAMERA_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def _check_name(name: object) -> str:
    """Return the camera's name; it stands in URLs and log lines."""
    if not _CAMERA_NAME.fullmatch(str(name)):
        raise ValueError("expected a camera name of letters, digits, '-' and '_', 64 at most")
    return str(name)


CameraName = Annotated[str, BeforeValidator(_check_name)]


def _read_secret(value: object) -> object:
    """Return the secret meant by a plain string, `{env: NAME}` or `{file: PATH}`."""
    if isinstance(value, dict) and len(value) == 1:
        ((where, name),) = value.items()
        if where == "env":
            if name not in os.environ:
                raise ValueError(f"the environment variable {name} is not set")
            value = os.environ[name]
        elif where == "file":
            try:
                value = Path(name).read_text(encoding="utf-8").rstrip("\r\n")
            except OSError as exc:
                raise ValueError(f"cannot read {name}: {exc.strerror}") from None
    if isinstance(value, dict):
        raise ValueError("expected a string, {env: NAME} or {file: PATH}")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str):
        redaction.register(value)
    return value


def _read_database(value: object) -> object:
    """Return the address of a database, whose password is to be shown nowhere."""
    address = _read_secret(value)
    if isinstance(address, str):
        redaction.register_address(address)
    return address


Secret = Annotated[SecretStr, BeforeValidator(_read_secret)]
DatabaseURL = Annotated[SecretStr, BeforeValidator(_read_database)]


def _check_score(score: float) -> float:
    if not 0 <= score <= 1:
        raise ValueError("expected 0 to 1")
    return score


Score = Annotated[float, AfterValidator(_check_score)]

_TILES = re.compile(r"([1-4])x([1-4])")


def _check_tiles(tiles: str) -> str:
    """Return the columns and rows of tiles, e.g. "2x2"."""
    if not _TILES.fullmatch(tiles) or tiles == "1x1":
        raise ValueError("expected columns x rows, 1 to 4 each, e.g. 2x2")
    return tiles


Tiles = Annotated[str, AfterValidator(_check_tiles)]


def _check_region(points: tuple[Point, ...]) -> tuple[Point, ...]:
    check_polygon(points)
    return points


Region = Annotated[tuple[Point, ...], AfterValidator(_check_region)]

_JOINERS = "\u200c\u200d"
"""Letters of some scripts, and emoji, are joined or kept apart by these; they show nothing by themselves."""


def _check_title(title: object) -> str:
    """Return a camera's title, blanks folded; it stands in pages, log lines and on the picture."""
    if isinstance(title, int | float) and not isinstance(title, bool):
        title = str(title)
    if not isinstance(title, str):
        raise ValueError("expected text")
    text = " ".join(title.split())
    if not 1 <= len(text) <= 100:
        raise ValueError("expected 1 to 100 characters")
    if odd := next((c for c in text if not c.isprintable() and c not in _JOINERS), None):
        raise ValueError(f"expected characters that can be shown, not U+{ord(odd):04X}")
    return text


Title = Annotated[str, BeforeValidator(_check_title)]


def _check_model_name(name: object) -> str:
    """Return the name of a model of one's own, which must not hide a known one."""
    text = str(name)
    if not _MODEL_NAME.fullmatch(text):
        raise ValueError("expected a model's name of letters, digits, '.', '-' and '_', 64 at most")
    if is_known(text):
        raise ValueError("a known model has this name; give yours another")
    return text


def _per_channel(value: object) -> object:
    """Return one number, or three, as three."""
    values = value if isinstance(value, (list, tuple)) else [value] * 3
    if len(values) != 3 or not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values):
        raise ValueError("expected a number or a list of three, one a channel")
    return tuple(values)


def at_config_file(value: str, info: ValidationInfo) -> str:
    """Return a path that is relative to the configuration file as one from the root."""
    folder = (info.context or {}).get("folder", Path())
    return str(folder / Path(value).expanduser())


def at_config_file_if_any(value: str | None, info: ValidationInfo) -> str | None:
    """Return such a path, or None where there is none."""
    return None if value is None else at_config_file(value, info)


ModelName = Annotated[str, BeforeValidator(_check_model_name)]
PerChannel = Annotated[tuple[float, float, float], BeforeValidator(_per_channel)]
