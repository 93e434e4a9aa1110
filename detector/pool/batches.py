"""How a worker groups the images it is given, and looks at a group."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from detector.detections import BGRImage, Detections
from detector.pool.messages import DetectOptions, ImageDetector, InferenceJob

logger = logging.getLogger(__name__)


@runtime_checkable
class BatchDetector(Protocol):
    """A detector that can look at several images at once."""

    def detect_batch(
        self,
        images: Sequence[BGRImage],
        *,
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
        classes: Sequence[str] | None = None,
        max_detections: int | None = None,
    ) -> Sequence[Detections]:
        """Return what is in each of `images`."""


def collect(
    receive: Callable[[], InferenceJob], is_there: Callable[[float], bool], max_batch: int, max_wait_s: float
) -> list[InferenceJob]:
    """Wait for a job, and return it with those that come within `max_wait_s` of it, `max_batch` at most.

    receive: blocks for the next job. is_there: waits so many seconds for one to come.
    """
    jobs = [receive()]
    until = time.monotonic() + max_wait_s
    while len(jobs) < max_batch and is_there(max(0.0, until - time.monotonic())):
        jobs.append(receive())
    return jobs


def groups(jobs: Sequence[InferenceJob]) -> Iterator[list[InferenceJob]]:
    """Yield the jobs that can be done at once: of one model, with the same options; in order of arrival."""
    by_kind: dict[tuple[str, DetectOptions], list[InferenceJob]] = {}
    for job in jobs:
        by_kind.setdefault((job.model, job.options), []).append(job)
    yield from by_kind.values()


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of an image, and its part of the time, ms."""

    result: Detections | Exception
    inference_ms: float


def look_at(detector: ImageDetector, images: Sequence[BGRImage], options: DetectOptions) -> list[Finding]:
    """Return what `detector` finds in each image, or what it raises: a bad image costs no other."""
    if len(images) > 1 and isinstance(detector, BatchDetector):
        findings = _look_at_all(detector, images, options)
        if findings:
            return findings
    return [_look_at_one(detector, image, options) for image in images]


def _look_at_all(
    detector: BatchDetector, images: Sequence[BGRImage], options: DetectOptions
) -> list[Finding]:
    started = time.perf_counter()
    try:
        results = detector.detect_batch(
            images,
            score_threshold=options.score_threshold,
            iou_threshold=options.iou_threshold,
            classes=options.classes,
            max_detections=options.max_detections,
        )
    except Exception:  # each image alone tells whose fault it is
        logger.debug("a batch of %d images failed", len(images), exc_info=True)
        return []
    each_ms = (time.perf_counter() - started) * 1000 / len(images)
    return [Finding(result, each_ms) for result in results] if len(results) == len(images) else []


def _look_at_one(detector: ImageDetector, image: BGRImage, options: DetectOptions) -> Finding:
    started = time.perf_counter()
    result: Detections | Exception
    try:
        result = detector.detect(
            image,
            score_threshold=options.score_threshold,
            iou_threshold=options.iou_threshold,
            classes=options.classes,
            max_detections=options.max_detections,
        )
    except Exception as exc:  # whatever a detector or its runtime raises costs this image only
        result = exc
    return Finding(result, (time.perf_counter() - started) * 1000)
