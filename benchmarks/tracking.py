"""How well objects are followed and boxes carried, in the street of OpenCV's `vtest.avi` (in opencv-doc).

Every frame is analysed once by the model that comes with the product; the detections are kept in `.cache/`.
Both trackers, ours and ByteTrack of the package `trackers` (in an environment of its own, also in `.cache/`),
get the same ones and the same thresholds. That one mixes classes, so it also runs with one tracker a class.

The video has no ground truth, so switches of ids are counted by a stand-in that knows neither tracker: two
sure detections of one class in consecutive analysed frames are one object if each overlaps the other best of
all, by an IoU above 0.5. A switch is such a link whose ends both carry ids, and different ones. Links over a
gap are not judged; how many ids there are and how long they last tells of those.

Carried boxes: the tracker learns what is found in every second frame, 5 a second. In the frames between, its
boxes are compared with what the detector finds there: the mean IoU of the pairs of the best assignment, how
many sure detections have no partner, and how many shown boxes lie on none, not even an unsure one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import venv
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from benchmarks._machine import machine
from detector import Detections, load_detector
from detector.inference.nms import box_ious
from stream_server.detection.tracking import Tracker

VIDEO = Path("/usr/share/doc/opencv-doc/examples/data/vtest.avi")
FRAMES_PER_SECOND = 10
MODEL = "centernet-mobilenetv3"
CACHE = Path(__file__).parent.parent / ".cache" / "tracking"
REFERENCE = "trackers==2.6.1"
SURE, UNSURE = 0.4, 0.2
TARGET_IOU = 0.7

REFERENCE_SCRIPT = """
import sys, time
from collections import defaultdict
import numpy as np, supervision as sv
from trackers import ByteTrackTracker

table, answer, step, sure, is_per_class = np.load(sys.argv[1]), *sys.argv[2:]
step, sure, is_per_class = int(step), float(sure), is_per_class == "True"
frames, classes = table[:, 0], table[:, 6].astype(int)
groups = classes if is_per_class else np.zeros_like(classes)
trackers = {
    group: ByteTrackTracker(
        frame_rate=10 / step, track_activation_threshold=sure, high_conf_det_threshold=sure
    )
    for group in np.unique(groups)
}
ids, seconds = np.zeros(len(table), int), []
for frame in range(0, int(frames.max()) + 1, step):
    seconds.append(0.0)
    for group, tracker in trackers.items():
        rows = np.flatnonzero((frames == frame) & (groups == group))
        found = sv.Detections(
            xyxy=table[rows, 1:5], confidence=table[rows, 5], class_id=classes[rows], data={"row": rows}
        )
        started = time.perf_counter()
        found = tracker.update(found)
        seconds[-1] += time.perf_counter() - started
        if len(found):
            ids[found.data["row"]] = np.where(found.tracker_id < 0, 0, found.tracker_id + 1 + 100_000 * group)
np.savez(answer, ids=ids, seconds=seconds)
"""

Frames = list[Detections]
Table = NDArray[np.float32]


@dataclass(frozen=True)
class Followed:
    """What a tracker did: how often ids switched, over how many links, and how long they last."""

    switches: int
    links: int
    ids: int
    mean_track_s: float
    tracked_percent: float
    update_ms: float


@dataclass(frozen=True)
class Carried:
    """How well boxes between analysed frames lie on what is found there."""

    mean_iou: float
    unmatched_percent: float
    stray_percent: float

    @property
    def mean_iou_of_all(self) -> float:
        """As `mean_iou`, with 0 for detections that have no partner."""
        return self.mean_iou * (1 - self.unmatched_percent / 100)


def main(argv: list[str]) -> None:
    """Measure and print tables and, last, one line of JSON."""
    parser = argparse.ArgumentParser("python -m benchmarks tracking", description="Ids and carried boxes.")
    parser.add_argument("--video", type=Path, default=VIDEO, help="default: %(default)s")
    parser.add_argument("--fresh", action="store_true", help="detect again instead of using .cache/")
    options = parser.parse_args(argv)
    if not options.video.exists():
        sys.exit(f"{options.video}: not found; it comes with Debian's package opencv-doc, or give --video")
    table = detected(options.video, options.fresh)
    followed = {}
    for step in (1, 2):
        at_rate = f"at {FRAMES_PER_SECOND // step} frames/s"
        followed[f"ours {at_rate}"] = follow_ours(table, step)
        followed[f"trackers {at_rate}"] = follow_reference(table, step, is_per_class=False)
        followed[f"trackers, one a class, {at_rate}"] = follow_reference(table, step, is_per_class=True)
    carried = {
        f"{'carried' if moves else 'left in place'}, {(latency + 1) / FRAMES_PER_SECOND} s old": carry(
            table, latency, moves
        )
        for latency in (0, 2)
        for moves in (True, False)
    }
    print(f"{machine('numpy', 'scipy', 'opencv-python-headless')}, {REFERENCE}")
    print_table(f"Ids on {options.video.name}", followed)
    print_table("Boxes between frames analysed at 5 a second", carried)
    rows = {name: vars(row) for name, row in {**followed, **carried}.items()}
    is_ok = all(
        row.mean_iou_of_all >= TARGET_IOU for name, row in carried.items() if name.startswith("carried")
    )
    print(json.dumps({"benchmark": "tracking", **rows, "ok": is_ok}))


def detected(video: Path, fresh: bool) -> Table:
    """Return all detections as rows of frame, box, score, class; from the cache where it has them."""
    cache = CACHE / f"{video.stem}-{MODEL}.npy"
    if fresh or not cache.exists():
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.save(cache, detect(video))
    table: Table = np.load(cache)
    return table


def detect(video: Path) -> Table:
    capture = cv2.VideoCapture(str(video))
    rows: list[Table] = []
    with load_detector(MODEL) as detector:
        while True:
            is_read, image = capture.read()
            if not is_read:
                return np.concatenate(rows)
            found = detector.detect(np.asarray(image, np.uint8), score_threshold=UNSURE)
            columns = (np.full(len(found), len(rows)), found.boxes, found.scores, found.class_ids)
            rows.append(np.column_stack(columns).astype(np.float32))


def frames_of(table: Table, track_ids: NDArray[np.int64] | None = None) -> Frames:
    ids = np.zeros(len(table), np.int64) if track_ids is None else track_ids
    everything = Detections(table[:, 1:5], table[:, 5], table[:, 6].astype(np.int64), ids)
    return [everything[table[:, 0] == frame] for frame in range(int(table[:, 0].max()) + 1)]


def follow_ours(table: Table, step: int) -> Followed:
    tracker, seconds, frames = Tracker(SURE), [], []
    for index, found in enumerate(frames_of(table)[::step]):
        started = time.perf_counter()
        frames.append(tracker.update(found, index * step / FRAMES_PER_SECOND))
        seconds.append(time.perf_counter() - started)
    return judge(frames, step, seconds)


def follow_reference(table: Table, step: int, is_per_class: bool) -> Followed:
    given, answer = CACHE / "given.npy", CACHE / "answer.npz"
    np.save(given, table)
    arguments = [str(value) for value in (given, answer, step, SURE, is_per_class)]
    subprocess.run([str(reference_python()), "-c", REFERENCE_SCRIPT, *arguments], check=True)
    with np.load(answer) as result:
        return judge(frames_of(table, result["ids"])[::step], step, result["seconds"].tolist())


def reference_python() -> Path:
    """Return the Python of the environment that has the package `trackers`; made at the first call."""
    home = CACHE / "trackers-venv"
    python = home / "bin" / "python"
    if not (home / "complete").exists():
        venv.create(home, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", REFERENCE], check=True)
        (home / "complete").touch()
    return python


def judge(frames: Frames, step: int, seconds: list[float]) -> Followed:
    """Return the figures for the sure detections of the analysed frames, `step` frames apart."""
    sure = [found[found.scores >= SURE] for found in frames]
    links = [link for before, after in pairwise(sure) for link in linked_ids(before, after)]
    ids = np.concatenate([found.track_ids for found in sure])
    count = len(set(ids[ids > 0].tolist()))
    return Followed(
        switches=sum(before != after for before, after in links),
        links=len(links),
        ids=count,
        mean_track_s=round(int((ids > 0).sum()) / max(count, 1) * step / FRAMES_PER_SECOND, 2),
        tracked_percent=round(100 * float((ids > 0).mean()), 1),
        update_ms=round(1000 * median(seconds), 3),
    )


def linked_ids(before: Detections, after: Detections) -> list[tuple[int, int]]:
    """Return the ids, both above 0, of the detections that are one object beyond doubt."""
    ious = same_class_ious(before, after)
    if not ious.size:
        return []
    best = ious.argmax(axis=1)
    is_link = (ious.argmax(axis=0)[best] == np.arange(len(before))) & (ious.max(axis=1) > 0.5)
    pairs = zip(before.track_ids[is_link].tolist(), after.track_ids[best[is_link]].tolist(), strict=True)
    return [pair for pair in pairs if min(pair) > 0]


def carry(table: Table, latency: int, moves: bool) -> Carried:
    """Return how well the boxes shown between fit, if detections arrive `latency` frames late."""
    tracker, frames = Tracker(SURE), frames_of(table)
    ious: list[float] = []
    alone = newest = stray = drawn = 0
    for index, found in enumerate(frames):
        if index >= latency and (index - latency) % 2 == 0:
            newest = index - latency
            tracker.update(frames[newest], newest / FRAMES_PER_SECOND)
        if index % 2:
            shown = tracker.at((index if moves else newest) / FRAMES_PER_SECOND)
            truth = found[found.scores >= SURE]
            overlaps = same_class_ious(truth, shown)
            paired = overlaps[linear_sum_assignment(overlaps, maximize=True)]
            ious += paired[paired > 0].tolist()
            alone += len(truth) - int((paired > 0).sum())
            drawn += len(shown)
            stray += int((same_class_ious(shown, found).max(axis=1, initial=0) == 0).sum())
    percents = [round(100 * part / whole, 1) for part, whole in ((alone, alone + len(ious)), (stray, drawn))]
    return Carried(round(float(np.mean(ious)), 3), *percents)


def same_class_ious(some: Detections, others: Detections) -> NDArray[np.float32]:
    ious: NDArray[np.float32] = box_ious(some.boxes, others.boxes)
    ious[some.class_ids[:, None] != others.class_ids] = 0
    return ious


def print_table(title: str, rows: dict[str, Followed] | dict[str, Carried]) -> None:
    columns = list(vars(next(iter(rows.values()))))
    width = max(map(len, rows))
    print(f"\n{title}\n{'':{width}}  " + "  ".join(columns))
    for name, row in rows.items():
        print(f"{name:{width}}  " + "  ".join(f"{vars(row)[column]:>{len(column)}}" for column in columns))
