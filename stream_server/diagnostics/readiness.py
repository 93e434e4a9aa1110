"""Whether the server does its job, as `/readyz` answers and `/status` says."""

from __future__ import annotations

from collections.abc import Iterable

from detector.pool import PoolStatus
from stream_server.cameras.camera import CameraState
from stream_server.config import NeededCameras

WELL: frozenset[CameraState] = frozenset({"online", "idle", "waiting", "ended"})
"""States of a camera that does what can be expected of it."""


def has_cameras(states: Iterable[CameraState], needed: NeededCameras) -> bool:
    """Return whether as many cameras are well as `server.ready_cameras` asks for; without any: they are."""
    are_well = [state in WELL for state in states]
    if needed == "none" or not are_well:
        return True
    return all(are_well) if needed == "all" else any(are_well)


def detector_fault(status: PoolStatus | None) -> str | None:
    """Return why the detector does not work, or with fewer workers than it should; None where it does.

    status: None where nothing is to be detected.
    """
    if status is None:
        return None
    if status.degraded:
        return f"detector: {status.error or 'a worker is missing'}"
    if all(worker.state in ("starting", "stopping", "down") for worker in status.workers):
        return f"detector: {status.error or 'the model is being loaded'}"
    return None
