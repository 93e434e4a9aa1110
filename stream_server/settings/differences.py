"""What differs between two configurations."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from stream_server.config import Config


def keys_for_restart(old: Config, new: Config) -> list[str]:
    """Return the keys that differ outside `cameras`: they take effect with a restart."""
    return [key for key in _differing(old, new, "") if not key.startswith("cameras")]


def _differing(old: BaseModel, new: BaseModel, prefix: str) -> Iterator[str]:
    for name in type(old).model_fields:
        before, after = getattr(old, name), getattr(new, name)
        if isinstance(before, BaseModel) and isinstance(after, BaseModel):
            yield from _differing(before, after, f"{prefix}{name}.")
        elif before != after:
            yield prefix + name


def describe_cameras(old: Config, new: Config) -> str:
    """Return in one line what became of the cameras, e.g. "added garden; removed door"."""
    before, after = old.cameras, new.cameras
    names = {
        "added": [name for name in after if name not in before],
        "changed": [name for name in after if name in before and after[name] != before[name]],
        "removed": [name for name in before if name not in after],
    }
    parts = [f"{what} {', '.join(which)}" for what, which in names.items() if which]
    return "; ".join(parts) or "no camera changed"
