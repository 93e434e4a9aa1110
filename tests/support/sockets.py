"""The TCP sockets of this machine, from the kernel's table."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

CLOSE_WAIT, LISTEN = 0x08, 0x0A  # include/net/tcp_states.h


class Row(NamedTuple):
    """One socket; inode is 0 when no process has it open any more."""

    remote_port: int
    state: int
    unsent_bytes: int
    unread_bytes: int
    inode: int


def sockets(port: int) -> list[Row]:
    """Return the IPv4 sockets bound to `port` on this machine, from /proc/net/tcp (proc(5))."""
    rows = []
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, queues, *rest = line.split()
        if local.endswith(f":{port:04X}"):
            remote_port = int(remote.partition(":")[2], 16)
            unsent, unread = (int(size, 16) for size in queues.split(":"))
            rows.append(Row(remote_port, int(state, 16), unsent, unread, int(rest[4])))
    return rows


def held_connections(port: int) -> int:
    """Return how many connections to `port` are still descriptors of the server."""
    return sum(row.state != LISTEN and row.inode != 0 for row in sockets(port))


def unsent_bytes(server_port: int, viewer_port: int) -> int:
    """Return how much the kernel holds of what the server sent to a viewer."""
    return sum(row.unsent_bytes for row in sockets(server_port) if row.remote_port == viewer_port)


def unread_bytes(server_port: int, viewer_port: int) -> int:
    """Return how much of what a viewer sent the server has not taken yet."""
    return sum(row.unread_bytes for row in sockets(server_port) if row.remote_port == viewer_port)
