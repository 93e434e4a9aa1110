"""Reads what people write as a camera's address, and refuses all that is not on the list."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal
from urllib.parse import unquote, urlsplit, urlunsplit

SourceKind = Literal["webcam", "rtsp", "http", "hls", "file", "demo"]

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mpg", ".mpeg", ".mjpeg", ".mjpg")

EXPECTED = (
    "a webcam (0 or /dev/video0), rtsp://…, rtsps://…, http://…, https://…, demo: "
    f"or the path of a video file ({', '.join(suffix[1:] for suffix in VIDEO_SUFFIXES)})"
)

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*):")
_DEVICE = re.compile(r"^/dev/(video\d{1,3}|v4l/by-(id|path)/[\w.:@+-]+)$")
_INDEX = re.compile(r"^\d{1,3}$")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class SourceURL:
    """An address split into what may be shown and what may not.

    address: what is opened, without credentials: a URL, a device path, a file path or "demo:".
    username, password: percent-decoded, None where the address carried none.
    """

    kind: SourceKind
    address: str
    username: str | None = None
    password: str | None = None


def parse_source(text: str) -> SourceURL:
    """Return what `text` points at. Raises ValueError that says what is allowed; it never repeats a password."""
    if not text or _CONTROL.search(text) or text.strip() != text:
        raise ValueError(f"expected {EXPECTED}, without line breaks or outer spaces")
    if _INDEX.match(text):
        return SourceURL("webcam", f"/dev/video{int(text)}")
    if _DEVICE.match(text):
        return SourceURL("webcam", text)
    if scheme := _SCHEME.match(text):
        return _parse_url(scheme[1].lower(), text)
    if text.startswith(("-", "\\", "//")) or PurePath(text).suffix.lower() not in VIDEO_SUFFIXES:
        raise ValueError(f"expected {EXPECTED}")
    return SourceURL("file", text)


def _parse_url(scheme: str, text: str) -> SourceURL:
    if scheme == "demo":
        if text.lower() != "demo:":
            raise ValueError("expected 'demo:' alone; set its width, height and fps as keys of their own")
        return SourceURL("demo", "demo:")
    if scheme == "file":
        raise ValueError("the scheme 'file:' is not allowed; give the plain path of a video file")
    if scheme not in ("rtsp", "rtsps", "http", "https"):
        raise ValueError(f"the scheme '{scheme}:' is not allowed; expected {EXPECTED}")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"not a valid {scheme} address; expected {scheme}://host[:port]/path") from None
    if not host or re.search(r"[\s\\]", text):
        raise ValueError(f"the address names no host; expected {scheme}://host[:port]/path")
    netloc = f"[{host}]" if ":" in host else host
    if port is not None:
        netloc += f":{port}"
    kind: SourceKind = "rtsp" if scheme.startswith("rtsp") else "http"
    if kind == "http" and parts.path.lower().endswith(".m3u8"):
        kind = "hls"
    return SourceURL(
        kind,
        urlunsplit((scheme, netloc, parts.path, parts.query, "")),
        unquote(parts.username) if parts.username else None,
        unquote(parts.password) if parts.password else None,
    )
