"""Small objects with and without tiles: `coco64`'s photos, reduced, side by side in pictures of 1920x1080.

Recall is of the true boxes above 6 pixels each way, at scores from 0.4 and an overlap of half, same class;
false are sure boxes that no true one overlaps so. COCO's AP beside it. A picture costs as many inferences as
there are tiles, and one for the whole.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks._machine import machine
from benchmarks.accuracy import MAX_DETECTIONS, SCORE_THRESHOLD, Photo, data_folder, measure, read_photos
from benchmarks.tracking import print_table
from detector import Detections, Detector, load_detector
from detector.inference.nms import box_ious
from stream_server.detection.tiles import Tile, cut_out, merge, split

MODEL = "centernet-mobilenetv3"
CANVAS_WH = (1920, 1080)
CELL_WH = (480, 360)
SURE = 0.4
LEAST_PX = 6
GRIDS = ((1, 1), (2, 2), (3, 2), (4, 4))


@dataclass(frozen=True)
class Found:
    """How well one grid of tiles finds what there is."""

    inferences: int
    ms_a_picture: float
    recall_percent: float
    false_percent: float
    ap: float
    ap_small: float


def main(argv: list[str]) -> None:
    """Measure and print a table and, last, one line of JSON."""
    parser = argparse.ArgumentParser("python -m benchmarks tiles", description="Small objects.")
    parser.add_argument("--data", type=Path, default=data_folder(), help="folder with images/ and labels/")
    photos = list(read_photos(parser.parse_args(argv).data))
    if not photos:
        raise SystemExit("no images/*.jpg here; give --data or set STREAM_SERVER_DATA")
    canvases = list(side_by_side(photos))
    with load_detector(MODEL, threads=os.cpu_count() or 1) as detector:
        rows = {name(grid): search(detector, canvases, grid) for grid in GRIDS}
    count = sum(len(canvas.truth) for canvas in canvases)
    print(machine("numpy", "opencv-python-headless"))
    print_table(f"{len(canvases)} pictures, {count} objects", rows)
    is_ok = rows["2x2"].recall_percent > rows["whole"].recall_percent
    print(json.dumps({"benchmark": "tiles", **{key: vars(row) for key, row in rows.items()}, "ok": is_ok}))


def name(grid: tuple[int, int]) -> str:
    return "whole" if grid == (1, 1) else f"{grid[0]}x{grid[1]}"


def side_by_side(photos: Sequence[Photo]) -> Iterator[Photo]:
    """Yield pictures of as many reduced photos as fit, with their true boxes."""
    columns, rows = (side // cell for side, cell in zip(CANVAS_WH, CELL_WH, strict=True))
    for first in range(0, len(photos), columns * rows):
        canvas = np.full((CANVAS_WH[1], CANVAS_WH[0], 3), 110, np.uint8)
        truth = [
            paste(canvas, photo, (at % columns * CELL_WH[0], at // columns * CELL_WH[1]))
            for at, photo in enumerate(photos[first : first + columns * rows])
        ]
        yield Photo(canvas, np.concatenate(truth))


def paste(canvas: NDArray[np.uint8], photo: Photo, corner: tuple[int, int]) -> NDArray[np.float64]:
    """Draw `photo`, reduced to a cell, at `corner`; return its true boxes there that are not too small."""
    height, width = photo.image.shape[:2]
    scale = min(CELL_WH[0] / width, CELL_WH[1] / height)
    small = cv2.resize(photo.image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    x, y = corner
    canvas[y : y + small.shape[0], x : x + small.shape[1]] = small
    boxes = photo.truth.copy()
    boxes[:, 1:] *= scale
    boxes[:, 1:3] += corner
    return boxes[(boxes[:, 3:] >= LEAST_PX).all(axis=1)]


def search(detector: Detector, canvases: Sequence[Photo], grid: tuple[int, int]) -> Found:
    tiles = split(CANVAS_WH, *grid)
    started = time.perf_counter()
    found = [detect(detector, canvas, tiles) for canvas in canvases]
    elapsed_ms = 1000 * (time.perf_counter() - started) / len(canvases)
    stats = measure(list(canvases), np.concatenate([as_rows(n, each) for n, each in enumerate(found)]))
    hits, sure, true = np.sum([hit(*pair) for pair in zip(canvases, found, strict=True)], axis=0).tolist()
    return Found(
        len(tiles),
        round(elapsed_ms, 1),
        round(100 * hits / true, 1),
        round(100 * (sure - hits) / max(sure, 1), 1),
        round(stats["AP"], 3),
        round(stats["AP small"], 3),
    )


def detect(detector: Detector, canvas: Photo, tiles: Sequence[Tile]) -> Detections:
    found = [
        detector.detect(
            np.ascontiguousarray(cut_out(canvas.image, tile)),
            score_threshold=SCORE_THRESHOLD,
            max_detections=MAX_DETECTIONS,
        )
        for tile in tiles
    ]
    return merge(found, tiles, iou_threshold=0.5, max_detections=3 * MAX_DETECTIONS)


def as_rows(image_id: int, found: Detections) -> NDArray[np.float64]:
    """Return rows of image, x, y, width, height, score, class."""
    sizes = found.boxes[:, 2:] - found.boxes[:, :2]
    columns = (np.full(len(found), image_id), found.boxes[:, :2], sizes, found.scores, found.class_ids)
    return np.column_stack(columns).astype(np.float64)


def hit(canvas: Photo, found: Detections) -> tuple[int, int, int]:
    """Return how many true boxes are found, how many sure boxes and how many true ones there are."""
    sure = found[found.scores >= SURE]
    truth = canvas.truth[:, 1:].astype(np.float32)
    truth[:, 2:] += truth[:, :2]
    overlaps = box_ious(truth, sure.boxes) * (canvas.truth[:, :1] == sure.class_ids)
    hits = 0
    while overlaps.size and overlaps.max() > 0.5:  # the best pair first, each box in one pair
        row, column = np.unravel_index(int(overlaps.argmax()), overlaps.shape)
        overlaps[row], overlaps[:, column] = 0, 0
        hits += 1
    return hits, len(sure), len(truth)
