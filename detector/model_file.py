"""A model on disk and what is known about it, and how images are prepared for a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

SizeWH: TypeAlias = tuple[int, int]
PerChannel: TypeAlias = tuple[float, float, float]

BackendName = Literal["litert", "tensorflow"]
HeadName = Literal[
    "centernet",
    "tf-od",
    "tflite-detection",
    "yolov5",
    "yolov8",
    "yolov10",
    "yolox",
    "nanodet",
    "picodet",
    "efficientdet-lite",
    "retinanet",
]
Resize = Literal["letterbox", "stretch", "as_is"]
Channels = Literal["rgb", "bgr"]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What a model wants its images to be: a value is (pixel - mean) / std, pixels 0..255.

    resize: `letterbox` keeps the proportions, `stretch` does not, `as_is`: the model takes any size.
    channels: their order; mean and std come in it.
    border: the pixel value around a letterboxed image, which lies in the middle (`centred`) or upper left.
    """

    resize: Resize = "letterbox"
    channels: Channels = "rgb"
    mean: PerChannel = (0.0, 0.0, 0.0)
    std: PerChannel = (1.0, 1.0, 1.0)
    border: float = 127.0
    centred: bool = True


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model on disk, and what its user or the catalog says about it; None: what the file itself tells.

    name: what it is called in answers and logs.
    path: a file, or the folder of a SavedModel.
    labels_path: its labels (see `detector.labels`); None: those inside the file.
    sha256: checksum it must have (see `detector.checksums`).
    inputs_wh: input sizes it can work at, the most usual first; empty: only the one it was made with.
    input_name, output_names: tensors of a frozen graph or signature.
    label_offset: added to the model's class numbers before they are looked up in the labels.
    """

    name: str
    path: Path
    labels_path: Path | None = None
    sha256: str | None = None
    inputs_wh: tuple[SizeWH, ...] = ()
    backend: BackendName | None = None
    head: HeadName | None = None
    resize: Resize | None = None
    channels: Channels | None = None
    mean: PerChannel | None = None
    std: PerChannel | None = None
    input_name: str | None = None
    output_names: tuple[str, ...] = ()
    label_offset: int | None = None
