"""Whether the server does its job, as `/readyz` answers and `/status` says."""

from __future__ import annotations

from collections.abc import Iterable

from detector.pool import PoolStatus
from stream_server.cameras.camera import CameraState
from stream_server.config import NeededCameras
from stream_server.engine import Engine

NO_ACCOUNTS = "accounts: they cannot be read, and nobody gets in; the log says why"
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


def readiness(engine: Engine) -> tuple[bool, list[str]]:
    """Return whether the server does its job, and what is wrong, one line each.

    A lost camera is told, and keeps the server from being ready where `server.ready_cameras` says so.
    """
    cameras = {name: pipeline.camera for name, pipeline in engine.pipelines.items()}
    lines = [
        f"camera {name}: {camera.state}" + (f": {camera.reason}" if camera.reason else "")
        for name, camera in cameras.items()
        if camera.state not in WELL
    ]
    faults = [] if engine.accounts.are_known else [NO_ACCOUNTS]
    if fault := detector_fault(engine.pool.status() if engine.pool else None):
        faults.append(fault)
    is_enough = has_cameras((camera.state for camera in cameras.values()), engine.config.server.ready_cameras)
    return is_enough and not faults, lines + faults
