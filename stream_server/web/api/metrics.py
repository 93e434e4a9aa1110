"""What Prometheus reads."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import astuple

from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stream_server.engine import Engine
from stream_server.web.context import engine

blueprint = Blueprint("metrics", __name__)


@blueprint.get("/metrics")
def metrics() -> Response:
    """Return stage times, and cameras, streams, detector and process as they are now."""
    running = engine()
    state = CollectorRegistry()
    state.register(_EngineCollector(running))
    ProcessCollector(registry=state)
    text = generate_latest(running.telemetry.registry) + generate_latest(state)
    return Response(text, content_type=CONTENT_TYPE_LATEST)


class _EngineCollector(Collector):
    """Reads the engine's state when asked, so that nothing is counted twice or kept in step by hand."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterable[Metric]:
        """Return all families with their current values."""
        yield from self._cameras()
        yield from self._streams()
        yield from self._detector()
        threads = GaugeMetricFamily("stream_server_threads", "Threads of the web worker.")
        threads.add_metric((), threading.active_count())
        yield threads

    def _cameras(self) -> Iterable[Metric]:
        online = GaugeMetricFamily(
            "stream_server_camera_online", "1 while pictures come.", labels=("camera",)
        )
        fps = GaugeMetricFamily("stream_server_camera_fps", "Pictures per second.", labels=("camera",))
        overload = GaugeMetricFamily("stream_server_overload", "Steps taken down.", labels=("camera",))
        frames = CounterMetricFamily(
            "stream_server_frames", "Frames by what became of them.", labels=("camera", "event")
        )
        for name, pipeline in self._engine.pipelines.items():
            online.add_metric((name,), pipeline.camera.is_online)
            fps.add_metric((name,), pipeline.camera.fps)
            overload.add_metric((name,), pipeline.overload.level)
            frames.add_metric((name, "captured"), pipeline.camera.captured)
            counts = {**vars(pipeline.counters), "decode_errors": pipeline.decode_errors}
            for event, count in counts.items():
                frames.add_metric((name, event), count)
        return online, fps, overload, frames

    def _streams(self) -> Iterable[Metric]:
        labels = ("camera", "overlay", "width", "quality", "labels", "caption", "boxes")
        viewers = GaugeMetricFamily("stream_server_viewers", "Who watches now.", labels=labels)
        fps = GaugeMetricFamily("stream_server_stream_fps", "Frames published per second.", labels=labels)
        sent = CounterMetricFamily(
            "stream_server_sent_bytes", "Written to viewers' sockets.", labels=("camera",)
        )
        for name, pipeline in self._engine.pipelines.items():
            sent.add_metric((name,), pipeline.streams.sent_bytes)
            audience = pipeline.streams.audience()
            for stream, count in audience.items():
                variant = stream.variant
                values = (name, *(str(value or "") for value in astuple(variant)))
                viewers.add_metric(values, count)
                fps.add_metric(values, stream.rate.per_second)
            if not audience:  # a series that is not there is no 0: sums and alerts would have nothing
                viewers.add_metric((name, *[""] * (len(labels) - 1)), 0)
        return viewers, fps, sent

    def _detector(self) -> Iterable[Metric]:
        workers = GaugeMetricFamily(
            "stream_server_detector_workers", "Detectors by state.", labels=("state",)
        )
        images = CounterMetricFamily("stream_server_detector_images", "Images answered.", labels=("worker",))
        restarts = CounterMetricFamily("stream_server_detector_restarts", "Workers lost.", labels=("worker",))
        seconds = GaugeMetricFamily("stream_server_inference_seconds", "Recent mean.", labels=("worker",))
        running = self._engine.pool.status().workers if self._engine.pool else ()
        for state in ("starting", "idle", "busy", "stopping", "down"):
            workers.add_metric((state,), sum(worker.state == state for worker in running))
        for worker in running:
            number = str(worker.number)
            images.add_metric((number,), worker.images)
            restarts.add_metric((number,), worker.restarts)
            seconds.add_metric((number,), worker.inference_ms / 1000)
        return workers, images, restarts, seconds
