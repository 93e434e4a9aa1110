"""What kinds of files are made of videos, as HTTP calls them."""

from __future__ import annotations

from pathlib import Path

MEDIA_TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/x-m4v",
    ".mov": "video/quicktime",
    ".mkv": "video/x-matroska",
    ".avi": "video/x-msvideo",
    ".gif": "image/gif",
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".ndjson": "application/x-ndjson",
    ".csv": "text/csv",
    ".srt": "application/x-subrip",
}
"""By the file's extension; Python's own table differs from system to system."""


def media_type_of(path: Path) -> str:
    """Return the media type of a file, by its extension."""
    return MEDIA_TYPES.get(path.suffix.lower(), "application/octet-stream")
