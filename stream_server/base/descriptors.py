"""How many descriptors the process may open (RLIMIT_NOFILE, getrlimit(2)), and what they are shared out for.

Each viewer and each connection takes one. What exceeds the share is refused or waits, for without any left
nothing else goes on either: no camera opens, no detector starts.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass

from stream_server.errors import ConfigError

CONNECTIONS = 1000
"""Besides viewers: requests, those that may come over kept connections, WebSockets."""
LEAST_VIEWERS, LEAST_CONNECTIONS = 8, 32
FOR_ALL_ELSE, FOR_EACH_CAMERA = 100, 8
"""Pipes, models, databases; a camera's socket, files and decoders, more than one while it is opened anew."""


@dataclass(frozen=True, slots=True)
class Share:
    """How many viewers and other connections there may be at once; limit: descriptors in all."""

    viewers: int
    connections: int
    limit: int


def share_out(viewers: int, cameras: int, least_connections: int = LEAST_CONNECTIONS) -> Share:
    """Return what fits below the hard limit, to which the soft one is raised as far as needed.

    viewers, cameras: how many there are to be. least_connections: that are not to be fewer.

    Raises ConfigError where next to nothing fits.
    """
    reserved = FOR_ALL_ELSE + FOR_EACH_CAMERA * cameras
    limit = _raise_to(reserved + CONNECTIONS + viewers)
    spare = limit - reserved
    if spare < LEAST_VIEWERS + least_connections:
        needed = reserved + LEAST_VIEWERS + least_connections
        raise ConfigError(
            f"the process may open {limit} files (ulimit -n), expected {needed} for {cameras} cameras; raise "
            "it (systemd: LimitNOFILE, Docker: --ulimit nofile)"
        )
    connections = min(CONNECTIONS, max(least_connections, spare // 4))
    return Share(min(viewers, spare - connections), connections, limit)


def _raise_to(needed: int) -> int:
    """Raise the soft limit to `needed` if the hard one allows, and return what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (OSError, ValueError):  # above what the kernel allows any process (fs.nr_open)
            pass
    return needed if soft == resource.RLIM_INFINITY else soft
