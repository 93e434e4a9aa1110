"""Worker processes, and the fair line before them."""

from detector.pool.client import PoolClient
from detector.pool.pool import DetectorPool, PoolStatus

__all__ = ["DetectorPool", "PoolClient", "PoolStatus"]
