"""Average precision on the 64 photos of `coco64`, as COCO measures it."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from rich.console import Console
from rich.table import Table

from detector import BGRImage, Detector, load_detector
from detector.detector import IOU_THRESHOLD

SCORE_THRESHOLD = 0.01
MAX_DETECTIONS = 100
TARGET_AP = 0.34
REFERENCE = {"AP": 0.347, "AP50": 0.545}  # the same network before it was converted
METRICS = ("AP", "AP50", "AP75", "AP small", "AP medium", "AP large")  # the first of COCOeval.stats


class Photo(NamedTuple):
    """One picture with its true boxes: rows (N, 5) of class, x, y, width, height in pixels."""

    image: BGRImage
    truth: NDArray[np.float64]


def main(argv: list[str]) -> None:
    """Measure one model and print a table and, last, one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks accuracy", description=__doc__)
    parser.add_argument(
        "--model", default="centernet-mobilenetv3", help="name or path (default: %(default)s)"
    )
    parser.add_argument("--data", type=Path, default=data_folder(), help="folder with images/ and labels/")
    parser.add_argument(
        "--iou",
        type=float,
        default=IOU_THRESHOLD,
        help="overlap above which the lesser of two boxes goes (default: %(default)s)",
    )
    arguments = parser.parse_args(argv)
    photos = list(read_photos(arguments.data))
    if not photos:
        raise SystemExit(f"{arguments.data}: no images/*.jpg here; give --data or set STREAM_SERVER_DATA")
    with load_detector(arguments.model, threads=os.cpu_count() or 1) as detector:
        rows = [detect(detector, number, photo, arguments.iou) for number, photo in enumerate(photos)]
        results = np.concatenate(rows)
    show(arguments.model, photos, measure(photos, results))


def data_folder() -> Path:
    """Return where `coco64` is looked for: in STREAM_SERVER_DATA, else in ../shared/data."""
    checkout = Path(__file__).resolve().parent.parent
    return Path(os.environ.get("STREAM_SERVER_DATA", checkout.parent / "shared" / "data")) / "coco64"


def read_photos(folder: Path) -> Iterator[Photo]:
    """Yield the photos of `folder` by name; their labels are YOLO text files."""
    for path in sorted((folder / "images").glob("*.jpg")):
        image = np.asarray(cv2.imread(str(path)), np.uint8)
        labels = folder / "labels" / f"{path.stem}.txt"
        rows = np.array([line.split() for line in labels.read_text().splitlines()], np.float64).reshape(-1, 5)
        height, width = image.shape[:2]
        rows[:, 1:] *= (width, height, width, height)
        rows[:, 1:3] -= rows[:, 3:] / 2  # from the centre to the corner
        yield Photo(image, rows)


def detect(
    detector: Detector, image_id: int, photo: Photo, iou_threshold: float = IOU_THRESHOLD
) -> NDArray[np.float64]:
    """Return rows (N, 7) of image, x, y, width, height, score, class: what `COCO.loadRes` reads."""
    found = detector.detect(
        photo.image,
        score_threshold=SCORE_THRESHOLD,
        iou_threshold=iou_threshold,
        max_detections=MAX_DETECTIONS,
    )
    sizes = found.boxes[:, 2:] - found.boxes[:, :2]
    image_ids = np.full(len(found), image_id)
    columns = (image_ids, found.boxes[:, :2], sizes, found.scores, found.class_ids)
    return np.column_stack(columns).astype(np.float64)


def measure(photos: list[Photo], results: NDArray[np.float64]) -> dict[str, float]:
    """Return COCO's figures by name."""
    truth = COCO()
    truth.dataset = make_dataset(photos)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports every step
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(METRICS, evaluation.stats.tolist(), strict=False))


def make_dataset(photos: list[Photo]) -> dict[str, list[dict[str, object]]]:
    """Return the true boxes in COCO's own form (https://cocodataset.org/#format-data)."""
    boxes = [(image_id, row) for image_id, photo in enumerate(photos) for row in photo.truth]
    return {
        "images": [{"id": image_id} for image_id in range(len(photos))],
        "categories": [{"id": class_id} for class_id in sorted({int(row[0]) for _, row in boxes})],
        "annotations": [
            {
                "id": number,
                "image_id": image_id,
                "category_id": int(row[0]),
                "bbox": row[1:].tolist(),
                "area": float(row[3] * row[4]),
                "iscrowd": 0,
            }
            for number, (image_id, row) in enumerate(boxes, start=1)
        ],
    }


def show(model: str, photos: list[Photo], stats: dict[str, float]) -> None:
    """Print the table and the JSON line."""
    count = sum(len(photo.truth) for photo in photos)
    table = Table(
        "", model, "reference", title=f"{len(photos)} photos, {count} boxes, scores from {SCORE_THRESHOLD}"
    )
    for name, value in stats.items():
        table.add_row(name, f"{value:.3f}", f"{REFERENCE[name]:.3f}" if name in REFERENCE else "")
    Console().print(table)
    figures = {name.replace(" ", "_"): round(value, 4) for name, value in stats.items()}
    print(json.dumps({"benchmark": "accuracy", "model": model, **figures, "ok": stats["AP"] >= TARGET_AP}))
