"""Average precision of a detector on a folder of pictures, as COCO measures it."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from detector import Detector
from stream_server.errors import ConfigError

Dataset: TypeAlias = Mapping[str, Sequence[Mapping[str, Any]]]
"""COCO's own form: images, annotations and categories (https://cocodataset.org/#format-data)."""

SCORE_THRESHOLD = 0.01
MAX_DETECTIONS = 100
METRICS = ("AP", "AP50", "AP75", "AP small", "AP medium", "AP large")  # the first of COCOeval.stats
_SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True, slots=True)
class Photos:
    """Pictures and what is in them. paths: by the id of the image in the dataset."""

    dataset: Dataset
    paths: Mapping[int, Path]


def read_photos(folder: Path) -> Photos:
    """Return what lies in a folder like COCO's: pictures anywhere below, and a JSON with their boxes.

    Pictures that are not there are left out.

    Raises ConfigError when there is no such JSON or none of its pictures.
    """
    dataset = _read_dataset(folder)
    files = {
        name: Path(place, name)
        for place, _, names in os.walk(folder, followlinks=True)
        for name in names
        if name.lower().endswith(_SUFFIXES)
    }
    paths = {image["id"]: files[name] for image in dataset["images"] if (name := _name(image)) in files}
    if not paths:
        raise ConfigError(
            f"--coco {folder}: none of the {len(dataset['images'])} pictures of its JSON is there"
        )
    here = {
        "images": [image for image in dataset["images"] if image["id"] in paths],
        "annotations": [each for each in dataset["annotations"] if each["image_id"] in paths],
        "categories": dataset["categories"],
    }
    return Photos(here, paths)


def average_precision(detector: Detector, photos: Photos) -> float:
    """Return COCO's AP, 0 to 1; the model's classes and the dataset's are matched by their words.

    Raises ConfigError when no class is in both, or pycocotools is not installed.
    """
    ids_by_word = {str(each["name"]).lower(): int(each["id"]) for each in photos.dataset["categories"]}
    category_ids = {
        class_id: ids_by_word[word.lower()]
        for class_id, word in detector.labels.items()
        if word.lower() in ids_by_word
    }
    if not category_ids:
        raise ConfigError(
            f"--coco: no class of {detector.name} is among the {len(ids_by_word)} of the pictures"
        )
    rows = [result_rows(detector, image_id, path, category_ids) for image_id, path in photos.paths.items()]
    return evaluate(photos.dataset, np.concatenate(rows))["AP"]


def result_rows(
    detector: Detector, image_id: int, path: Path, category_ids: Mapping[int, int]
) -> NDArray[np.float64]:
    """Return rows (N, 7) of image, x, y, width, height, score, category: what `COCO.loadRes` reads."""
    image = cv2.imread(str(path))
    if image is None:
        raise ConfigError(f"{path}: is no picture")
    found = detector.detect(
        np.asarray(image, np.uint8), score_threshold=SCORE_THRESHOLD, max_detections=MAX_DETECTIONS
    )
    found = found[np.isin(found.class_ids, list(category_ids))]
    columns = (
        np.full(len(found), image_id),
        found.boxes[:, :2],
        found.boxes[:, 2:] - found.boxes[:, :2],
        found.scores,
        np.array([category_ids[int(class_id)] for class_id in found.class_ids]).reshape(-1),
    )
    return np.column_stack(columns).astype(np.float64)


def evaluate(dataset: Dataset, results: NDArray[np.float64]) -> dict[str, float]:
    """Return COCO's figures by name. results: see `result_rows`."""
    try:
        from pycocotools.coco import COCO  # noqa: PLC0415 - only who wants AP needs it
        from pycocotools.cocoeval import COCOeval  # noqa: PLC0415
    except ImportError:
        raise ConfigError("AP needs pycocotools: pip install pycocotools") from None
    if not len(results):
        return dict.fromkeys(METRICS, 0.0)
    truth = COCO()
    truth.dataset = {name: [dict(each) for each in entries] for name, entries in dataset.items()}
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports every step
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(METRICS, (float(value) for value in evaluation.stats), strict=False))


def _read_dataset(folder: Path) -> Dataset:
    """Return the first JSON below `folder` that is in COCO's form, those called instances… first."""
    candidates = [*folder.glob("*.json"), *folder.glob("annotations/*.json")]
    for path in sorted(candidates, key=lambda path: (not path.name.startswith("instances"), path.name)):
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as exc:
            raise ConfigError(f"{path}: cannot be read: {exc}") from None
        if isinstance(data, dict) and {"images", "annotations", "categories"} <= data.keys():
            return data
    raise ConfigError(
        f"--coco {folder}: expected a JSON with images, annotations and categories, there or in annotations/"
    )


def _name(image: Mapping[str, Any]) -> str:
    return Path(str(image.get("file_name", ""))).name
