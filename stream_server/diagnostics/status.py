"""How the server is doing, as one who asks may know it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

import stream_server
from detector.backends.loading import kind_of
from detector.errors import ModelError
from detector.pool import PoolStatus
from detector.pool.worker_slot import WorkerState
from stream_server.accounts.grants import Access, Grant
from stream_server.base.clock import wall_clock
from stream_server.base.logs import RECENT_LOG
from stream_server.diagnostics.cameras import CameraInfo
from stream_server.diagnostics.problems import (
    BROKEN,
    Level,
    Problem,
    camera_problems,
    clock_troubles,
    crowd_troubles,
    detector_troubles,
    disk_troubles,
    memory_troubles,
    pace_troubles,
    settings_troubles,
    verdict,
)
from stream_server.diagnostics.readiness import detector_fault, has_cameras
from stream_server.engine import Engine
from stream_server.pipeline import Pipeline
from stream_server.settings.live import LiveSettings
from stream_server.streaming.streams import Viewer
from stream_server.telemetry.percentiles import Counts, Latencies, percentile_s, total
from stream_server.telemetry.stages import BUCKETS_S, STAGES, Stage
from stream_server.telemetry.system_load import Load, LoadMeter

Detection = Literal["off", "starting", "on"]


class CameraStatus(CameraInfo):
    """A camera, how it is doing, and how far it falls behind."""

    skipped: int = Field(description="Frames that were to be analysed, and had no turn at the detector.")
    overload: int = Field(description="Steps by which quality and rate are lowered, 0 to 3.")

    @classmethod
    def of(cls, pipeline: Pipeline) -> CameraStatus:
        """Return how `pipeline` and its camera are doing now."""
        info = CameraInfo.of(pipeline)
        return cls(**info.model_dump(), skipped=pipeline.counters.skipped, overload=pipeline.overload.level)


class StageStatus(BaseModel):
    """How long frames spend in a stage."""

    stage: Stage
    frames: int
    p50_ms: float | None = Field(description="Half of them took no longer; null when there were none.")
    p99_ms: float | None = Field(description="99 % took no longer; the last bound means that or more.")
    counts: list[int] = Field(description="Frames by time: for each of `bounds_ms`, and above all of them.")

    @classmethod
    def of(cls, stage: Stage, counts: list[int]) -> StageStatus:
        """Return what the counts of a stage's histogram say."""
        p50_ms, p99_ms = (_ms(percentile_s(counts, percent)) for percent in (50, 99))
        return cls(stage=stage, frames=sum(counts), p50_ms=p50_ms, p99_ms=p99_ms, counts=counts)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000 * seconds, 2)


class LatencyStatus(BaseModel):
    """How long frames spend in each stage."""

    window_s: float | None = Field(
        description="Over so many seconds; null: since each camera's start, as nobody has asked for a minute."
    )
    bounds_ms: list[float]
    stages: list[StageStatus]

    @classmethod
    def of(cls, window_s: float | None, counts: Counts) -> LatencyStatus:
        """Return what the histograms of some cameras together say."""
        rows: list[list[int]] = counts.tolist()
        stages = [StageStatus.of(stage, row) for stage, row in zip(STAGES, rows, strict=True)]
        return cls(window_s=window_s, bounds_ms=[1000 * bound for bound in BUCKETS_S], stages=stages)


class WorkerInfo(BaseModel):
    """A detector worker, over all the processes that have held its place."""

    number: int
    pid: int | None
    state: WorkerState
    images: int = Field(description="Answered.")
    inference_ms: float = Field(description="For an image, mean of the last ten or so; 0 before the first.")
    restarts: int = Field(description="After crashes and late answers.")
    memory_bytes: int


class DetectorInfo(BaseModel):
    """What looks for objects."""

    model: str
    models: list[str] = Field(description="All that are loaded.")
    runtime: str = Field(description="What runs the model, and its version.")
    threads: int = Field(description="That the runtime uses in each worker.")
    waiting: int = Field(description="Images in line.")
    error: str | None = Field(description="What went wrong last, until all workers are well again.")
    workers: list[WorkerInfo]


class ProcessInfo(BaseModel):
    """A process of the server."""

    pid: int
    name: str
    cores: float | None = Field(description="That it keeps busy; null until it is seen for a second time.")
    memory_bytes: int


class MachineInfo(BaseModel):
    """The machine, and what the server takes of it; null: not told, or not yet."""

    cores: int = Field(description="That the server may use.")
    busy: float | None = Field(description="Share of all the machine's CPU time, 0 to 1, whoever uses it.")
    memory_total_bytes: int | None
    memory_available_bytes: int | None
    disk_total_bytes: int | None = Field(description="Of the disk on which videos are kept.")
    disk_free_bytes: int | None
    processes: list[ProcessInfo]

    @classmethod
    def of(cls, load: Load) -> MachineInfo:
        """Return what was read of the machine."""
        disk = load.disk
        return cls(
            cores=load.cores,
            busy=None if load.busy is None else round(load.busy, 3),
            memory_total_bytes=load.memory_total_bytes,
            memory_available_bytes=load.memory_available_bytes,
            disk_total_bytes=disk.total_bytes if disk else None,
            disk_free_bytes=disk.free_bytes if disk else None,
            processes=[
                ProcessInfo(
                    pid=process.pid,
                    name=process.name,
                    cores=None if process.cores is None else round(process.cores, 3),
                    memory_bytes=process.memory_bytes,
                )
                for process in load.processes
            ],
        )


class ViewerInfo(BaseModel):
    """One who watches."""

    number: int = Field(description="Another one for every viewer there ever was.")
    camera: str
    address: str
    user: str = Field(description="By whose account or token; empty where none is needed.")
    overlay: str
    width: int | None = Field(description="Null: the camera's own.")
    quality: int | None = Field(description="Null: the configured one.")
    fps: int = Field(description="Pictures sent in the last full second.")
    most_fps: float = Field(description="That may be sent.")
    bytes: int = Field(description="Written to its socket.")
    since: datetime

    @classmethod
    def of(cls, camera: str, viewer: Viewer, now: float) -> ViewerInfo:
        """Return what one viewer of a camera gets. now: monotonic seconds."""
        variant = viewer.stream.variant
        return cls(
            number=viewer.number,
            camera=camera,
            address=viewer.address,
            user=viewer.lease.grant.name,
            overlay=variant.overlay,
            width=variant.width,
            quality=variant.quality,
            fps=viewer.sent_fps(now),
            most_fps=viewer.fps,
            bytes=viewer.sent_bytes,
            since=datetime.fromtimestamp(wall_clock(viewer.since), timezone.utc),
        )


class LogEntry(BaseModel):
    """A line of the log, with secrets masked."""

    number: int
    at: datetime
    level: str
    text: str


class ServerStatus(BaseModel):
    """The server and how it is doing, as far as who asks may know.

    `detector` and `machine` are for who may see all cameras; `watching` is for admins, about the cameras that
    they may see; `log` for admins of all cameras.
    """

    version: str
    now: datetime
    started_at: datetime
    uptime_s: float
    is_ready: bool = Field(
        description="Whether the detector works, and as many cameras show pictures as `server.ready_cameras` "
        "asks for."
    )
    access: Access = Field(
        description="Who gets in: those who have an account; `this machine`: all who ask from it, as long as "
        "there is no account; `everyone`: all, since the configuration says so."
    )
    level: Level
    summary: str = Field(description="How the server is doing, in one sentence.")
    troubles: list[Problem]
    cameras: list[CameraStatus]
    viewers: int
    detection: Detection
    latency: LatencyStatus
    detector: DetectorInfo | None
    machine: MachineInfo | None
    watching: list[ViewerInfo] | None
    log: list[LogEntry] | None


class StatusReporter:
    """Looks how an engine is doing; remembers what figures over time need. Any thread may ask."""

    def __init__(self, engine: Engine, settings: LiveSettings) -> None:
        """Nothing is done before somebody asks. settings: what the engine runs by."""
        self._engine = engine
        self._settings = settings
        self._load = LoadMeter()
        self._latencies = Latencies(engine.telemetry)
        self._installed_s = Path(stream_server.__file__).stat().st_mtime

    def report(self, grant: Grant, log_after: int = 0) -> ServerStatus:
        """Return how the engine is doing, as `grant` may know it. log_after: number of a line of the log."""
        pipelines = self._engine.pipelines
        seen = {name: pipeline for name, pipeline in pipelines.items() if grant.may_see(name)}
        sees_all, is_admin = grant.cameras is None, grant.role == "admin"
        runs_it = sees_all and is_admin
        status = self._engine.pool.status() if self._engine.pool else None
        load = self._read_load(status) if sees_all else None
        detection = _detection(seen, status)
        troubles = list(self._general_troubles(status, with_reason=sees_all))
        troubles += [trouble for pipeline in seen.values() for trouble in camera_problems(pipeline)]
        troubles += pace_troubles(seen.values(), status) if status else ()
        troubles += self._machine_troubles(load) if sees_all else ()
        troubles += settings_troubles(self._settings.show()) if runs_it else ()
        states = [pipeline.camera.state for pipeline in seen.values()]
        level, summary = verdict(states, detection, troubles)
        window_s, counts = self._latencies.read(pipelines)
        now = time.monotonic()
        return ServerStatus(
            version=stream_server.__version__,
            now=datetime.now(timezone.utc),
            started_at=datetime.fromtimestamp(wall_clock(self._engine.started_at), timezone.utc),
            uptime_s=round(now - self._engine.started_at, 1),
            is_ready=has_cameras(states, self._engine.config.server.ready_cameras)
            and detector_fault(status) is None,
            access=self._engine.accounts.access,
            level=level,
            summary=summary,
            troubles=troubles,
            cameras=[CameraStatus.of(pipeline) for pipeline in seen.values()],
            viewers=sum(pipeline.streams.viewers for pipeline in seen.values()),
            detection=detection,
            latency=LatencyStatus.of(window_s, total(counts[name] for name in seen)),
            detector=self._detector(status) if sees_all and status else None,
            machine=MachineInfo.of(load) if load else None,
            watching=_watching(seen, now) if is_admin else None,
            log=_log(log_after) if runs_it else None,
        )

    def _read_load(self, status: PoolStatus | None) -> Load | None:
        workers = status.workers if status else ()
        names = {worker.pid: f"detector {worker.number}" for worker in workers if worker.pid}
        return self._load.read(names, Path(self._engine.config.videos.folder))

    def _general_troubles(self, status: PoolStatus | None, *, with_reason: bool) -> Iterator[Problem]:
        if not self._engine.is_alive:
            yield BROKEN
        if status:
            yield from detector_troubles(status, with_reason=with_reason)

    def _machine_troubles(self, load: Load | None) -> Iterator[Problem]:
        if load:
            yield from memory_troubles(load)
        if load and load.disk:
            yield from disk_troubles(load.disk)
        yield from clock_troubles(time.time(), self._installed_s)
        yield from crowd_troubles(self._engine.viewers, self._engine.config.server.max_viewers)

    def _detector(self, status: PoolStatus) -> DetectorInfo:
        pool, config = self._engine.pool, self._engine.config.detector
        return DetectorInfo(
            model=status.model,
            models=list(pool.models) if pool else [],
            runtime=_runtime(config.file().path),
            threads=status.threads,
            waiting=status.waiting,
            error=status.error,
            workers=[
                WorkerInfo(
                    number=worker.number,
                    pid=worker.pid,
                    state=worker.state,
                    images=worker.images,
                    inference_ms=round(worker.inference_ms, 1),
                    restarts=worker.restarts,
                    memory_bytes=worker.memory_bytes,
                )
                for worker in status.workers
            ],
        )


def _detection(seen: Mapping[str, Pipeline], status: PoolStatus | None) -> Detection:
    if status is None or not any(pipeline.detects for pipeline in seen.values()):
        return "off"
    return "on" if _is_detecting(status) else "starting"


def _is_detecting(status: PoolStatus) -> bool:
    return any(worker.state in ("idle", "busy") for worker in status.workers)


@lru_cache(maxsize=8)
def _runtime(model: Path) -> str:
    """Return what runs a model file, with its version."""
    try:
        name, package = (
            ("LiteRT", "ai-edge-litert") if kind_of(model) == "tflite" else ("TensorFlow", "tensorflow")
        )
        return f"{name} {version(package)}"
    except (ModelError, PackageNotFoundError):
        return "unknown"


def _watching(seen: Mapping[str, Pipeline], now: float) -> list[ViewerInfo]:
    return [
        ViewerInfo.of(name, viewer, now)
        for name, pipeline in seen.items()
        for viewer in pipeline.streams.everyone
    ]


def _log(after: int) -> list[LogEntry]:
    return [
        LogEntry(
            number=line.number,
            at=datetime.fromtimestamp(line.at, timezone.utc),
            level=line.level,
            text=line.text,
        )
        for line in RECENT_LOG.lines(after)
    ]
