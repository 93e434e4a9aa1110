"""HLS playlists (RFC 8216) as text: which they are, which video a master leads to, and whole addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import urljoin

from stream_server.errors import SourceError

START = b"#EXTM3U"
_BOM = b"\xef\xbb\xbf"
_STREAM = "#EXT-X-STREAM-INF:"
_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^",]*)')
_URI = re.compile(r'(?<=[,:]URI=")[^"]*(?=")')
_VIDEO_CODECS = ("avc", "hvc", "hev", "dvh", "dva", "vp0", "vp8", "vp9", "av01", "mp4v", "h26", "mjp")
"""How the names of video codecs begin (RFC 6381)."""


def is_playlist(data: bytes) -> bool:
    """Return whether a file is a playlist; some begin with a byte-order mark or blanks."""
    return data[:64].removeprefix(_BOM).lstrip().startswith(START)


def is_master(text: str) -> bool:
    """Return whether a playlist names playlists rather than segments."""
    return _STREAM in text


def best_variant(text: str, url: str) -> str:
    """Return the address of the largest video that a master playlist names, of several the one of most bits.

    url: where the playlist was found. Sound, subtitles and variants of sound alone are passed over.

    Raises SourceError when it names no video.
    """
    variants = [(_rank(attributes), uri) for attributes, uri in _variants(text) if _has_video(attributes)]
    if not variants:
        raise SourceError("the playlist names no video")
    return _join(url, max(variants, key=lambda variant: variant[0])[1])


def with_whole_addresses(text: str, url: str) -> str:
    """Return a media playlist whose addresses do not depend on where it was found, `url`."""
    return "\n".join(_whole(line.strip(), url) for line in text.splitlines()) + "\n"


def _whole(line: str, url: str) -> str:
    if line.startswith("#"):
        return _URI.sub(lambda uri: _join(url, uri[0]), line)
    return _join(url, line) if line else line


def _join(url: str, uri: str) -> str:
    try:
        return urljoin(url, uri)
    except ValueError:
        raise SourceError("the playlist leads to something that is no address") from None


def _variants(text: str) -> Iterator[tuple[Mapping[str, str], str]]:
    """Yield the attributes and the address of each variant."""
    attributes: dict[str, str] | None = None
    for line in map(str.strip, text.splitlines()):
        if line.startswith(_STREAM):
            pairs = _ATTRIBUTE.findall(line.removeprefix(_STREAM))
            attributes = {name: value.strip('"') for name, value in pairs}
        elif line and not line.startswith("#") and attributes is not None:
            yield attributes, line
            attributes = None


def _has_video(attributes: Mapping[str, str]) -> bool:
    """Return whether a variant has video; one that does not say its codecs may."""
    codecs = attributes.get("CODECS", "").lower().split(",")
    return "RESOLUTION" in attributes or any(
        not codec or codec.strip().startswith(_VIDEO_CODECS) for codec in codecs
    )


def _rank(attributes: Mapping[str, str]) -> tuple[int, int]:
    width, _, height = attributes.get("RESOLUTION", "").lower().partition("x")
    return _number(width) * _number(height), _number(attributes.get("BANDWIDTH", ""))


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0
