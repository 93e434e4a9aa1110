"""The accounts at one time, as a server holds them in memory."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from stream_server.accounts.grants import Grant


@dataclass(frozen=True)
class Snapshot:
    """All there is at a time, by what is shown for it.

    number: counts changes. users: the kept password with each. tokens, sessions: by hash.
    """

    number: int
    users: Mapping[str, tuple[Grant, str]]
    tokens: Mapping[str, Grant]
    sessions: Mapping[str, Grant]

    @property
    def is_empty(self) -> bool:
        """Whether there is nobody; a token that expired is still somebody's, a revoked one is not."""
        return not self.users and not self.tokens

    @property
    def lets_nobody_in(self) -> bool:
        """Whether there is nobody who could say who they are."""
        now = time.time()
        return not self.users and all(grant.has_expired(now) for grant in self.tokens.values())

    @cached_property
    def by_key(self) -> Mapping[str, Grant]:
        """All grants."""
        users = (grant for grant, _ in self.users.values())
        return {grant.key: grant for grant in (*users, *self.tokens.values(), *self.sessions.values())}


EMPTY = Snapshot(0, {}, {}, {})
