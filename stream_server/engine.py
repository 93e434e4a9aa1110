"""Owns cameras, pipelines, detectors and the fan-out loop: starts them in order, ends them in reverse."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from types import TracebackType

from detector.errors import DetectorError, ModelError
from detector.model_file import ModelFile
from detector.pool import DetectorPool
from detector.pool.messages import DetectOptions
from stream_server.accounts.accounts import Accounts
from stream_server.accounts.grants import Lease
from stream_server.accounts.marker import Marker
from stream_server.cameras import crashes
from stream_server.config import CameraConfig, Config, SourceConfig
from stream_server.detection.checks import check_classes, check_detector
from stream_server.detection.workers import make_pool
from stream_server.errors import ConfigError, UnknownCamera
from stream_server.images.admission import Admission
from stream_server.images.service import ImageDetectionService
from stream_server.jobs.jobs import Jobs
from stream_server.pipeline import Pipeline
from stream_server.services import Service
from stream_server.sources import open_source
from stream_server.sources.base import Source
from stream_server.sources.push import Inbox, PushSource
from stream_server.streaming.fanout import Fanout
from stream_server.streaming.streams import Variant, Viewer
from stream_server.streaming.viewer_limits import ViewerLimits
from stream_server.telemetry.stages import Telemetry

log = logging.getLogger(__name__)

CHECK_EVERY_S = 0.5
CLOSE_TIMEOUT_S = 3.0
LABELS_TIMEOUT_S = 10.0
"""How long a change of the cameras waits for the labels of models that are being loaded."""


class Engine:
    """All that runs behind the pages. Any thread may call anything."""

    def __init__(
        self,
        config: Config,
        *,
        open_source: Callable[[SourceConfig], Source] = open_source,
        marker: Marker | None = None,
    ) -> None:
        """Prepare it all; `start` opens cameras and spawns detectors. marker: see `Accounts`."""
        self.config = config
        self.started_at = time.monotonic()
        self.accounts = Accounts(config, marker)
        self.telemetry = Telemetry()
        self._models: tuple[ModelFile, ...] = ()
        self.pool: DetectorPool | None = None
        self.image_analyst: ImageDetectionService | None = None
        self._use_pool(config)  # may fail: before anything is open
        self.fanout = Fanout()
        self.image_requests = Admission(config.api.max_requests, config.api.max_requests_per_address)
        self._open_source = open_source
        cameras = config.enabled_cameras
        self.inboxes = self._inboxes_for(cameras, {})
        self.pipelines = {name: self._make_pipeline(name, camera) for name, camera in cameras.items()}
        self.videos = Jobs(config, self._labels_of)
        self._services: tuple[Service, ...] = (self.accounts, self.videos, self.fanout)
        self.viewer_limits = ViewerLimits(
            config.server, lambda: [pipeline.streams for pipeline in self.pipelines.values()]
        )
        self.long_requests = threading.BoundedSemaphore(config.server.max_websockets)
        self._stop = threading.Event()
        self._changing = threading.Lock()  # one change of the cameras at a time, and none after the end
        self._closing = threading.Lock()  # the second close waits for the first
        self._watchdog = threading.Thread(target=self._watch_cameras, name="watchdog", daemon=True)

    def __enter__(self) -> Engine:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Spawn the detectors and start the cameras; returns before either is ready.

        Raises AccountsError or ConfigError, with no camera started, when accounts or videos cannot be read.
        """
        for service in self._services:
            service.start()
        if self.pool:
            self.pool.start()
        for pipeline in self.pipelines.values():
            pipeline.start()
        self._watchdog.start()

    def close(self) -> None:
        """End streams, cameras and detectors, in this order; may be called twice and from any thread."""
        with self._closing:
            with self._changing:
                self._stop.set()
            for inbox in self.inboxes.values():
                inbox.end()
            for pipeline in self.pipelines.values():
                pipeline.stop()
            for service in reversed(self._services):
                service.close()
            _join(self.pipelines.values())
            if self._watchdog.is_alive():
                self._watchdog.join(CLOSE_TIMEOUT_S)
            if self.pool:
                self.pool.close()

    # Cameras that come, change and go.

    def check(self, config: Config) -> None:
        """Raise ConfigError or ModelError where `apply` could not do what `config` says of its cameras."""
        if self.pool is None:
            check_detector(config)
            return
        for name, camera in config.enabled_cameras.items():
            if camera.detect.enabled:
                self._check_model(config, f"cameras.{name}.detect.model", camera.detect.model)
        if not self.pool.labels:
            with suppress(DetectorError):  # said elsewhere; classes are then not looked at
                self.pool.wait_ready(LABELS_TIMEOUT_S)
        check_classes(config, {model.name: self.pool.labels_of(model.name) for model in self._models})

    def _check_model(self, config: Config, key: str, name: str | None) -> None:
        try:
            is_loaded = config.detector.file(name) in self._models
        except ModelError as exc:
            raise ConfigError(f"{key}: {exc}") from None
        if not is_loaded:
            raise ConfigError(f"{key}: got {name!r}, which was not loaded at the start; restart to use it")

    def apply(self, config: Config) -> None:
        """Run the cameras of `config`, which `check` found right, and no others.

        What is as before goes on untouched. Viewers of a camera that is changed stay, streams of one that is
        removed end. Nothing but cameras is looked at: all else takes a restart.
        """
        with self._changing:
            if self.is_closing:
                return
            before, cameras = self.pipelines, config.enabled_cameras
            if self.pool is None:
                self._use_pool(config)
                if self.pool:
                    self.pool.start()
            old_inboxes, self.inboxes = self.inboxes, self._inboxes_for(cameras, self.inboxes)
            pipelines = {
                name: before.get(name) or self._make_pipeline(name, camera)
                for name, camera in cameras.items()
            }
            removed = [before[name] for name in before.keys() - pipelines.keys()]
            for pipeline in removed:  # first: a camera that was renamed lets go of its device
                pipeline.stop()
                self.telemetry.forget(pipeline.name)
            for name in old_inboxes.keys() - self.inboxes.keys():
                old_inboxes[name].end()
            for name, camera in cameras.items():
                if name not in before:
                    pipelines[name].start()
                elif before[name].config != camera:
                    self._reconfigure(before[name], camera)
            self.config, self.pipelines = config, pipelines  # others read them at any time: never changed
        _join(removed)

    def _reconfigure(self, pipeline: Pipeline, camera: CameraConfig) -> None:
        pipeline.reconfigure(
            camera,
            pool=self.pool,
            options=self._detect_options(camera),
            model=self._model_name(camera),
        )

    def _make_pipeline(self, name: str, camera: CameraConfig) -> Pipeline:
        return Pipeline(
            name,
            camera,
            partial(self._open, name),
            pool=self.pool,
            options=self._detect_options(camera),
            model=self._model_name(camera),
            stopwatch=self.telemetry.stopwatch(name),
            on_publish=self.fanout.notify,
        )

    def _inboxes_for(
        self, cameras: Mapping[str, CameraConfig], before: Mapping[str, Inbox]
    ) -> dict[str, Inbox]:
        """Return an inbox for each camera that is sent its pictures, the one it has if any."""
        return {
            name: before.get(name) or Inbox() for name, camera in cameras.items() if camera.url.kind == "push"
        }

    def _open(self, name: str, config: SourceConfig) -> Source:
        """Return the source of a camera: its inbox, if it is sent its pictures.

        Raises SourceError for one that crashed the server again and again.
        """
        crashes.check(name, config)
        inbox = self.inboxes.get(name) if config.url.kind == "push" else None
        return self._open_source(config) if inbox is None else PushSource(config, inbox)

    @property
    def is_closing(self) -> bool:
        """Whether all who watch are to go."""
        return self._stop.is_set()

    @property
    def viewers(self) -> int:
        """How many watch now, over all cameras."""
        return self.viewer_limits.viewers

    def watch(
        self, camera: str, variant: Variant, fps: float, address: str = "", lease: Lease | None = None
    ) -> Viewer:
        """Return a new viewer of a camera.

        address: of the client, for the limit of viewers per address. lease: what lets it watch; None: nothing
        has to.

        Raises UnknownCamera, LimitError when as many watch already as may.
        """
        pipeline = self.pipelines.get(camera)
        if pipeline is None:
            raise UnknownCamera(camera)
        return self.viewer_limits.watch(pipeline.streams, variant, fps, address, lease)

    @property
    def is_alive(self) -> bool:
        """Whether the threads that carry frames all run; a lost camera or detector does not count here."""
        return (
            self._watchdog.is_alive()
            and all(service.is_alive for service in self._services)
            and all(p.is_alive for p in self.pipelines.values())
        )

    def _watch_cameras(self) -> None:
        while not self._stop.wait(CHECK_EVERY_S):
            for pipeline in self.pipelines.values():
                try:
                    pipeline.camera.check()
                except Exception:
                    log.exception("camera %s: could not be checked", pipeline.name)

    def _labels_of(self, model: str) -> dict[int, str]:
        """Return what a model knows that is loaded; nothing of others."""
        return self.pool.labels_of(model) if self.pool else {}

    def _use_pool(self, config: Config) -> None:
        self.pool = make_pool(config)
        if self.pool:
            self._models = tuple(config.model_files())
            self.image_analyst = ImageDetectionService(self.pool, config)

    def _model_name(self, camera: CameraConfig) -> str | None:
        is_needed = self.pool and camera.detect.enabled
        return self.config.detector.file(camera.detect.model).name if is_needed else None

    def _detect_options(self, camera: CameraConfig) -> DetectOptions:
        ours, default = camera.detect, self.config.detector
        return DetectOptions(
            score_threshold=default.score_threshold if ours.score_threshold is None else ours.score_threshold,
            iou_threshold=default.iou_threshold,
            classes=default.classes if ours.classes is None else ours.classes,
            max_detections=default.max_detections,
        )


def _join(pipelines: Iterable[Pipeline]) -> None:
    """Wait for pipelines that were stopped, all of them together `CLOSE_TIMEOUT_S`."""
    until = time.monotonic() + CLOSE_TIMEOUT_S
    for pipeline in pipelines:
        pipeline.join(max(0.1, until - time.monotonic()))
