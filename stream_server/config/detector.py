"""Models, and the workers that run them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from detector.labels.files import BUILT_IN
from detector.model_file import Channels, HeadName, ModelFile, Resize
from detector.zoo.catalog import find_model
from stream_server.config.section import Section
from stream_server.config.types import ModelName, PerChannel, at_config_file


class ModelConfig(Section):
    """A model of one's own, and what its file does not tell."""

    path: Annotated[str, AfterValidator(at_config_file)] = Field(
        description="The model: a `.tflite`, a SavedModel's folder, a frozen graph (`.pb`) or a `.keras`. "
        "Relative to the configuration file."
    )
    labels: str | None = Field(
        None,
        description="File with its labels (`.pbtxt`, `.txt`, `.yaml`), `coco80` or `coco91`; default: those "
        "in the model, else COCO's.",
    )
    head: HeadName | None = Field(
        None, description="What its outputs mean; default: told by their names and shapes."
    )
    resize: Resize | None = Field(
        None, description="How a picture is made to fit its input; default: as its family is used to."
    )
    channels: Channels | None = Field(None, description="Order of the colours; default: its family's.")
    mean: PerChannel | None = Field(
        None, description="Taken from each pixel value, 0 to 255; a number, or one a channel."
    )
    std: PerChannel | None = Field(None, description="Each pixel value, less the mean, is divided by it.")
    sha256: str | None = Field(None, description="Checksum it must have; `models info` shows it.")
    input: str | None = Field(None, description="Frozen graph: name of the input.")
    outputs: tuple[str, ...] = Field((), description="Frozen graph: names of the outputs.")

    @field_validator("labels")
    @classmethod
    def _find_labels(cls, value: str | None, info: ValidationInfo) -> str | None:
        return value if value is None or value in BUILT_IN else at_config_file(value, info)

    @field_validator("std")
    @classmethod
    def _check_std(cls, value: PerChannel | None) -> PerChannel | None:
        if value is not None and min(value) <= 0:
            raise ValueError("expected more than 0")
        return value

    @field_validator("sha256")
    @classmethod
    def _check_sha256(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", value):
            raise ValueError("expected 64 hexadecimal digits")
        return value

    def file(self, name: str) -> ModelFile:
        """Return it as the detector knows it."""
        return ModelFile(
            name,
            Path(self.path),
            None if self.labels is None else Path(self.labels),
            self.sha256,
            head=self.head,
            resize=self.resize,
            channels=self.channels,
            mean=self.mean,
            std=self.std,
            input_name=self.input,
            output_names=self.outputs,
        )


class DetectorConfig(Section):
    """The model and the workers that run it."""

    model: str = Field(
        "centernet-mobilenetv3",
        description="Name of a model, here or of `stream-server models list`, or path of a file.",
    )
    models: dict[ModelName, ModelConfig] = Field(
        default_factory=dict, description="Models of your own by name, see below."
    )
    workers: int | Literal["auto"] = Field(
        "auto",
        description="Detector processes; `auto`: as many as are fastest here, measured once; 0: none.",
    )
    threads: int | Literal["auto"] = Field(
        "auto", description="Threads for one picture in each of them; `auto`: likewise."
    )
    score_threshold: float = Field(
        0.4, ge=0, le=1, description="Least score of an object; one already followed may fall to half of it."
    )
    iou_threshold: float = Field(
        0.5, ge=0, le=1, description="Overlap above which two boxes of a class are one."
    )
    classes: tuple[str, ...] | None = Field(
        None, description="Labels to keep, e.g. `[person, car]`; default: all."
    )
    max_detections: int = Field(100, ge=1, le=1000, description="Most objects reported per frame.")
    timeout_s: float = Field(
        10, gt=0, le=300, description="Seconds for one image until its worker is replaced."
    )
    max_batch: int = Field(
        1,
        ge=1,
        le=16,
        description="Pictures a worker looks at together, at most; more than 1 pays off on a GPU only.",
    )
    max_wait_ms: float = Field(
        5, ge=0, le=100, description="Milliseconds for which the first picture of several waits for others."
    )

    @field_validator("workers", "threads", mode="before")
    @classmethod
    def _check_count(cls, value: object, info: ValidationInfo) -> object:
        least = 0 if info.field_name == "workers" else 1
        is_count = isinstance(value, int) and not isinstance(value, bool) and least <= value <= 64
        if not is_count and value != "auto":
            raise ValueError(f"expected auto or {least} to 64")
        return value

    def file(self, name: str | None = None) -> ModelFile:
        """Return the model of that name or path, by default the detector's own. Raises ModelError."""
        name = name or self.model
        ours = self.models.get(name)
        return ours.file(name) if ours else find_model(name)
