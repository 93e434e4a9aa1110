"""What somebody may do, whatever they showed for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["viewer", "admin"]
Access = Literal["accounts", "this machine", "everyone"]
"""Who gets in: who has an account; all who ask from here; all."""
LinkKind = Literal["stream", "snapshot", "embed"]
"""What a link shows; `embed` is a page, with all that it shows the camera by."""


@dataclass(frozen=True, slots=True)
class Link:
    """What a signed link says. expires_at: seconds since 1970. maker: the key of the grant it is part of."""

    kind: LinkKind
    camera: str
    expires_at: int
    maker: str


@dataclass(frozen=True, slots=True)
class Grant:
    """What somebody may do, and for how long.

    key: of what it came from, such as a token; all that came from the same has the same. name: for people.
    cameras: the names of those it is for, None: all. methods: of HTTP it is for, None: all.
    expires_at: in seconds since 1970, None: never. owner: the key of whose session it is, else empty.
    link: of which it is all.
    """

    key: str
    name: str
    role: Role
    cameras: frozenset[str] | None = None
    methods: frozenset[str] | None = None
    expires_at: float | None = None
    owner: str = ""
    link: Link | None = None

    def may_see(self, camera: str) -> bool:
        """Whether it is for this camera."""
        return self.cameras is None or camera in self.cameras

    def has_expired(self, now: float) -> bool:
        """Whether it is of no use any more; now: in seconds since 1970."""
        return self.expires_at is not None and now >= self.expires_at


OPEN = Grant(key="open", name="", role="admin")
"""Of who gets in without showing anything."""
NOBODY = Grant(key="", name="", role="viewer", cameras=frozenset())
"""Of who has shown nothing, and would have to."""


class Lease:
    """A grant in use, by a stream or a WebSocket; `is_over` becomes true when that has to end."""

    __slots__ = ("__weakref__", "grant", "is_over")

    def __init__(self, grant: Grant = OPEN) -> None:
        self.grant = grant
        self.is_over = False
