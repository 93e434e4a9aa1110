"""What the motion gate saves and what it misses, against analysing every frame that is due, 5 a second.

Scenes: the demo (25 frames a second), OpenCV's `vtest.avi` (a busy street, in Debian's opencv-doc; 10 frames
a second), a quiet corner of it, and one of its frames standing still under a sensor's noise.

A frame the gate keeps back shows what the last analysed one did. Lost is a sure detection of analysing every
frame that no shown box of its class overlaps by more than half. The gate's time is for a picture of 1280x720
(raw BGR, H.264's planes, JPEG of quality 80), without making its pixels; its floor is to make one plane of
that size small. The time of regions is for 100 boxes in three polygons; its floor is OpenCV's test of each
point.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median

import av
import cv2
import numpy as np

from benchmarks._machine import machine
from benchmarks.tracking import VIDEO, print_table
from detector import BGRImage, Detections, Detector, load_detector
from detector.inference.nms import box_ious
from stream_server.config import MotionConfig
from stream_server.detection.motion import MotionGate
from stream_server.detection.regions import Regions
from stream_server.media.av_pictures import PictureMaker
from stream_server.media.encode import encode_jpeg
from stream_server.media.frames import Picture
from stream_server.media.jpeg import picture_of
from stream_server.sources.demo import DemoScene

SIZE_WH = (1280, 720)
MODEL = "centernet-mobilenetv3"
DETECTIONS_PER_SECOND = 5
FRAMES = 300  # a minute
SURE = 0.4
QUIET_CORNER = (slice(330, 576), slice(0, 330))  # rows and columns of vtest.avi
MOST_TIMES_FLOOR = {"raw": 2.5, "H.264": 2.0, "JPEG": 6.0, "regions": 1.5}

Scene = Callable[[], Iterator[BGRImage]]


@dataclass(frozen=True)
class Gated:
    """What became of a scene's due frames."""

    due: int
    analysed: int
    saved_percent: float
    sure: int
    lost_percent: float


@dataclass(frozen=True)
class Cost:
    """What a look costs, and how many times its floor in the same run that is."""

    ms: float
    times_floor: float


def main(argv: list[str]) -> None:
    """Measure and print tables and, last, one line of JSON."""
    parser = argparse.ArgumentParser("python -m benchmarks motion", description="The motion gate.")
    parser.add_argument("--video", type=Path, default=VIDEO, help="default: %(default)s")
    parser.add_argument(
        "--frames", type=int, default=FRAMES, help="due, of each scene (default: %(default)s)"
    )
    options = parser.parse_args(argv)
    scenes: dict[str, Scene] = {"demo": demo}
    if options.video.exists():
        name = options.video.stem
        scenes[name] = lambda: video(options.video)
        scenes[f"{name}, quiet corner"] = lambda: (
            image[QUIET_CORNER].copy() for image in video(options.video)
        )
        scenes[f"{name}, still and noisy"] = lambda: noise(next(video(options.video)))
    else:
        print(f"{options.video}: not found; it comes with Debian's package opencv-doc, or give --video")
    with load_detector(MODEL, threads=os.cpu_count() or 1) as detector:
        gated = {name: gate(detector, islice(scene(), options.frames)) for name, scene in scenes.items()}
    costs = {name: cost(make) for name, make in PICTURES.items()} | {"regions": regions_cost()}
    print(machine("numpy", "opencv-python-headless"))
    print_table("Frames due, and sure detections lost", gated)
    print_table("Looking for motion in 1280x720, and which of 100 boxes count", costs)
    figures = {name: vars(row) for name, row in {**gated, **costs}.items()}
    is_ok = all(costs[name].times_floor <= most for name, most in MOST_TIMES_FLOOR.items())
    print(json.dumps({"benchmark": "motion", **figures, "ok": is_ok}))


def demo() -> Iterator[BGRImage]:
    scene = DemoScene(SIZE_WH, 25)
    number = 0
    while True:
        yield scene.frame(number)
        number += 25 // DETECTIONS_PER_SECOND


def video(path: Path) -> Iterator[BGRImage]:
    """Yield every second frame: the file has ten a second."""
    capture = cv2.VideoCapture(str(path))
    while capture.grab():
        yield np.asarray(capture.retrieve()[1], np.uint8)
        capture.grab()


def noise(image: BGRImage) -> Iterator[BGRImage]:
    """Yield `image` under noise of a dim room: a deviation of 8 levels, and a lamp that hums by 3 %."""
    random = np.random.default_rng(7)
    while True:
        light = 1 + 0.03 * random.uniform(-1, 1)
        grain = random.normal(0, 8, image.shape).astype(np.float32)
        yield np.clip(image * np.float32(light) + grain, 0, 255).astype(np.uint8)


def gate(detector: Detector, images: Iterator[BGRImage]) -> Gated:
    """Return what the gate does to a scene; every frame is analysed to know what is lost."""
    motion = MotionGate(MotionConfig(gate=True))
    shown = Detections.none()
    due = analysed = sure = lost = 0
    for image in images:
        everything = detector.detect(image)
        captured_at = due / DETECTIONS_PER_SECOND
        if motion.opens(Picture.of_image(image), captured_at):
            analysed += 1
            shown = everything
            motion.learn(shown.boxes, (image.shape[1], image.shape[0]), captured_at)
        due += 1
        sure += len(everything)
        lost += missed(everything, shown)
    return Gated(due, analysed, percent(due - analysed, due), sure, percent(lost, sure))


def missed(truth: Detections, shown: Detections) -> int:
    """Return how many of `truth` nothing of its class in `shown` overlaps by more than half."""
    overlaps = box_ious(truth.boxes, shown.boxes) * (truth.class_ids[:, None] == shown.class_ids)
    return int((overlaps.max(axis=1, initial=0) <= 0.5).sum())


def percent(part: int, whole: int) -> float:
    return round(100 * part / max(whole, 1), 1)


def raw_picture(image: BGRImage) -> Picture:
    return Picture.of_image(image)


def planes_picture(image: BGRImage) -> Picture:
    frame = av.VideoFrame.from_ndarray(image, format="bgr24")
    return PictureMaker().picture(frame.reformat(format="yuv420p"))


def jpeg_picture(image: BGRImage) -> Picture:
    return picture_of(encode_jpeg(image, 80))


PICTURES: dict[str, Callable[[BGRImage], Picture]] = {
    "raw": raw_picture,
    "H.264": planes_picture,
    "JPEG": jpeg_picture,
}


def cost(make: Callable[[BGRImage], Picture]) -> Cost:
    """Return the time of one look, on one thread."""
    pictures = [make(image) for image in islice(demo(), 20)]
    planes = [np.ascontiguousarray(image[..., 1]) for image in islice(demo(), 20)]
    motion = MotionGate(MotionConfig(gate=True))
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    look, floor = in_turn(
        lambda number: motion.opens(pictures[number % 20], number / DETECTIONS_PER_SECOND),
        lambda number: cv2.resize(planes[number % 20], (160, 90), interpolation=cv2.INTER_AREA),
    )
    cv2.setNumThreads(threads)
    return Cost(round(1000 * look, 3), round(look / floor, 2))


def regions_cost() -> Cost:
    """Return the time it takes to choose among 100 boxes."""
    angles = np.arange(6) * np.pi / 3
    hexagon = tuple((0.5 + 0.4 * float(np.cos(at)), 0.5 + 0.4 * float(np.sin(at))) for at in angles)
    corner = ((0.0, 0.0), (0.2, 0.0), (0.2, 0.8), (1.0, 0.8), (1.0, 1.0), (0.0, 1.0))
    regions = Regions(inside=[hexagon, corner], ignore=[hexagon], min_wh=(0.01, 0.01))
    points = np.random.default_rng(1).random((100, 2)) * SIZE_WH
    offsets = np.array((-20, -100, 20, 0))
    boxes = (np.tile(points, 2) + offsets).astype(np.float32)
    found = Detections(boxes, np.full(100, 0.9, np.float32), np.zeros(100, np.int64))
    outlines = [(np.array(polygon) * SIZE_WH).astype(np.float32) for polygon in (hexagon, corner, hexagon)]

    def test_points(number: int) -> None:
        for outline in outlines:
            for x, y in points.tolist():
                cv2.pointPolygonTest(outline, (x, y), False)

    ours, floor = in_turn(lambda number: regions.keep(found, SIZE_WH), test_points)
    return Cost(round(1000 * ours, 3), round(ours / floor, 2))


def in_turn(*calls: Callable[[int], object]) -> list[float]:
    """Return the median seconds of each call, made one after the other 300 times."""
    seconds: list[list[float]] = [[] for _ in calls]
    for number in range(300):
        for call, took in zip(calls, seconds, strict=True):
            started = time.perf_counter()
            call(number)
            took.append(time.perf_counter() - started)
    return [median(took) for took in seconds]
