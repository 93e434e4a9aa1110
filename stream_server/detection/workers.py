"""The detector workers that a configuration asks for."""

from __future__ import annotations

from detector.machine import gpus_for
from detector.pool import DetectorPool
from detector.pool.tuning import planner_for
from stream_server.config import Config


def make_pool(config: Config) -> DetectorPool | None:
    """Return the pool that cameras and the API need, not started yet; None where nobody detects.

    Raises ModelError for a model that is not there.
    """
    files = config.model_files()
    if not files:
        return None
    gpus, workers = gpus_for(files), config.detector.workers
    if gpus and workers == "auto":
        workers = len(gpus)
    return DetectorPool(
        files,
        workers=planner_for(files[0], workers, config.detector.threads),
        devices=gpus,
        timeout_s=config.detector.timeout_s,
        max_batch=config.detector.max_batch,
        max_wait_s=config.detector.max_wait_ms / 1000,
    )
