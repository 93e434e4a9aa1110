"""Writes the configuration reference into README.md from the models that check the configuration.

python tools/config_reference.py          rewrites README.md
python tools/config_reference.py --check  exit code 1 when README.md is not current
"""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from stream_server.config import (
    ApiConfig,
    AuthConfig,
    CameraConfig,
    DetectConfig,
    DetectorConfig,
    ModelConfig,
    MotionConfig,
    ServerConfig,
    StreamConfig,
    VideosConfig,
)
from stream_server.config.validation import value_range

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- config reference: begin -->", "<!-- config reference: end -->"

SECTIONS = (
    ("server", ServerConfig),
    ("auth", AuthConfig),
    ("api", ApiConfig),
    ("detector", DetectorConfig),
    ("detector.models.NAME", ModelConfig),
    ("videos", VideosConfig),
    ("cameras.NAME", CameraConfig),
    ("cameras.NAME.detect", DetectConfig),
    ("cameras.NAME.detect.motion", MotionConfig),
    ("cameras.NAME.stream", StreamConfig),
)


def reference() -> str:
    """Return the reference as Markdown: a table for each section."""
    return "\n\n".join(_section(title, model) for title, model in SECTIONS)


def updated(readme: str) -> str:
    """Return the text of README.md with the reference between its two markers made new."""
    block = f"{BEGIN}\n{reference()}\n{END}"
    return re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: block, readme, flags=re.DOTALL)


def _section(title: str, model: type[BaseModel]) -> str:
    rows = [
        f"| `{name}` | {_values(model, name, field)} | {_default(field)} | {field.description} |"
        for name, field in model.model_fields.items()
        if not _is_section(field)
    ]
    return "\n".join(
        (f"**`{title}`**", "", "| key | values | default | meaning |", "|---|---|---|---|", *rows)
    )


def _is_section(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory or field.default in (None, ()):
        return ""
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"


def _values(model: type[BaseModel], name: str, field: FieldInfo) -> str:
    words = _type_words(field.annotation)
    bounds = value_range(model, name)
    return f"{words}, {bounds}" if bounds else words


def _type_words(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _type_words(get_args(annotation)[0])
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(annotation))
    if origin in (Union, types.UnionType):
        return " or ".join(_type_words(arg) for arg in get_args(annotation) if arg is not type(None))
    if origin is tuple:
        return "list"
    if origin is dict:
        return "section"
    names = {str: "text", int: "whole number", float: "number", bool: "true, false", SecretStr: "secret"}
    return names[annotation]


def main() -> None:
    """Rewrite or check README.md."""
    old = README.read_text(encoding="utf-8")
    new = updated(old)
    if "--check" in sys.argv:
        raise SystemExit(0 if new == old else "README.md: the configuration reference is not current")
    README.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
