"""Reads what people write as a camera's address, and refuses all that is not on the list."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal
from urllib.parse import unquote

SourceKind = Literal["webcam", "rtsp", "http", "hls", "file", "push", "demo"]

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mpg", ".mpeg", ".mjpeg", ".mjpg")

EXPECTED = (
    "a webcam (0 or /dev/video0), rtsp://…, rtsps://…, http://…, https://…, push:, demo: "
    f"or the path of a video file ({', '.join(suffix[1:] for suffix in VIDEO_SUFFIXES)})"
)

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_DEVICE = re.compile(r"/dev/(video\d{1,3}|v4l/by-(id|path)/(?!\.{1,2}$)[\w.:@+-]+)", re.ASCII)
_INDEX = re.compile(r"\d{1,3}", re.ASCII)
# Control characters, and the invisible ones that come along when an address is copied from a web page.
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
_HOST = re.compile(r"[\w-]+(\.[\w-]+)*\.?")
_AUTHORITY_END = re.compile(r"[/?#]|$")


@dataclass(frozen=True, slots=True)
class SourceURL:
    """An address split into what may be shown and what may not.

    address: what is opened, without credentials: a URL, a device path, a file path, "push:" or "demo:".
    username, password: percent-decoded, None where the address carried none.
    """

    kind: SourceKind
    address: str
    username: str | None = None
    password: str | None = None


def parse_source(text: str) -> SourceURL:
    """Return what `text` points at. Raises ValueError that says what is allowed and repeats no password."""
    if not text or text.strip() != text:
        raise ValueError(f"expected {EXPECTED}, without blanks around it")
    if _UNSEEN.search(text):
        raise ValueError("has a line break or an invisible character in it")
    if _INDEX.fullmatch(text):
        return SourceURL("webcam", f"/dev/video{int(text)}")
    if _DEVICE.fullmatch(text):
        return SourceURL("webcam", text)
    if scheme := _SCHEME.match(text):
        return _parse_url(scheme[1].lower(), text)
    # FFmpeg takes what stands before a colon for a protocol, also with options: `subfile,,start,0,,:x.mp4`.
    is_path = not text.startswith(("-", "\\", "//")) and ":" not in text.partition("/")[0]
    if is_path and PurePath(text).suffix.lower() in VIDEO_SUFFIXES:
        return SourceURL("file", text)
    raise ValueError(f"expected {EXPECTED}")


def _parse_url(scheme: str, text: str) -> SourceURL:
    if scheme == "demo":
        if text.lower() != "demo:":
            raise ValueError("expected 'demo:' alone; set its width, height and fps as keys of their own")
        return SourceURL("demo", "demo:")
    if scheme == "push":
        if text.lower() != "push:":
            raise ValueError("expected 'push:' alone; its pictures are sent to /api/v1/cameras/NAME/push")
        return SourceURL("push", "push:")
    if scheme == "file":
        raise ValueError("the scheme 'file:' is not allowed; give the plain path of a video file")
    if scheme not in ("rtsp", "rtsps", "http", "https"):
        raise ValueError(f"the scheme '{scheme}:' is not allowed; expected {EXPECTED}")
    before, slashes, rest = text.partition("://")
    if not slashes or len(before) != len(scheme):
        raise ValueError(f"expected {scheme}://host[:port]/path")
    userinfo, authority, path = _split_authority(rest)
    if re.search(r"[\s\\]", authority + path):
        raise ValueError("has a blank or a backslash in it; write %20 or %5C")
    path = path.partition("#")[0]
    kind: SourceKind = "rtsp" if scheme.startswith("rtsp") else "http"
    if kind == "http" and path.partition("?")[0].lower().endswith(".m3u8"):
        kind = "hls"
    username, colon, password = (userinfo or "").partition(":")
    return SourceURL(
        kind,
        f"{scheme}://{_checked_authority(authority)}{path}",
        unquote(username) if username or colon else None,
        unquote(password) if colon else None,
    )


def _split_authority(rest: str) -> tuple[str | None, str, str]:
    """Split what follows `://` into credentials, host with port, and path with query.

    By RFC 3986 the host ends at the first `/`, `?` or `#`, and its last `@` ends the credentials. Passwords
    are pasted with these characters in them; where the host makes no sense that way, or a `#` comes before an
    `@`, the host is taken to begin behind the last `@` of the whole address.
    """
    end = _authority_end(rest)
    userinfo, at, authority = rest[:end].rpartition("@")
    is_sound = _is_authority(authority) and rest[end : end + 1] != "#"
    if is_sound or "@" not in rest[end:]:
        return userinfo if at else None, authority, rest[end:]
    userinfo, _, rest = rest.rpartition("@")
    end = _authority_end(rest)
    return userinfo, rest[:end], rest[end:]


def _authority_end(text: str) -> int:
    match = _AUTHORITY_END.search(text)
    assert match is not None
    return match.start()


def _is_authority(text: str) -> bool:
    try:
        _checked_authority(text)
    except ValueError:
        return False
    return True


def _checked_authority(text: str) -> str:
    """Return host and port, the host in lower case. Raises ValueError that does not repeat them."""
    host, bracket, port = text.rpartition("]")
    if bracket:
        if not host.startswith("[") or not _is_ipv6(host[1:]):
            raise ValueError("the host in brackets is no IPv6 address")
        host += "]"
        colon, port = port[:1], port[1:]
    else:
        host, colon, port = text.partition(":")
        if not host:
            raise ValueError("names no host; expected host[:port] after ://")
        if ":" in port and _is_ipv6(text):
            raise ValueError("an IPv6 address has to stand in brackets, as in [::1]")
        if not _HOST.fullmatch(host) or len(host) > 253:
            raise ValueError("the host is neither a name nor an IP address")
    if colon not in ("", ":") or (port and not _is_port(port)):
        raise ValueError(
            "the port has to be 1 to 65535; in a password write %3A for ':', %2F for '/', %40 for '@'"
        )
    return host.lower() + (f":{int(port)}" if port else "")


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(unquote(text))
    except ValueError:
        return False
    return True


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535
