"""What runs a model's graph; one module per runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from detector.model_file import PerChannel, SizeWH

ModelInput: TypeAlias = NDArray[Any]  # of the dtype that `ImageInput` names
Arrays: TypeAlias = Mapping[str, NDArray[np.float32]]
Shapes: TypeAlias = Mapping[str, tuple[int | None, ...]]


@dataclass(frozen=True, slots=True)
class ImageInput:
    """The array a model takes: (batch, H, W, 3), or (batch, 3, H, W) with `channels_first`.

    size_wh: width and height in pixels; None: any, and another with each run.
    dtype: float32, float16, uint8 or int8. batch: images a run; None: any number.
    scale, zero_point: of integers, which stand for (integer - zero_point) * scale.
    """

    size_wh: SizeWH | None
    dtype: np.dtype[Any]
    channels_first: bool = False
    batch: int | None = 1
    scale: float = 1.0
    zero_point: int = 0

    @property
    def takes_pixels(self) -> bool:
        """Whether it takes bytes 0..255 as they are: whatever is done to them is part of the graph."""
        return self.dtype == np.uint8 and (self.scale, self.zero_point) == (1.0, 0)


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """What a model file says about itself. labels: words by class number."""

    labels: Mapping[int, str] | None = None
    mean: PerChannel | None = None
    std: PerChannel | None = None


class Backend(Protocol):
    """One model loaded into one runtime; for one thread."""

    @property
    def image_input(self) -> ImageInput:
        """What `run` takes."""

    @property
    def outputs(self) -> Shapes:
        """Shapes by name, in the order of the graph; None for a side that is not known before a run."""

    @property
    def metadata(self) -> ModelMetadata:
        """What the file says about itself."""

    def run(self, images: ModelInput) -> Arrays:
        """Return the outputs for `images` by name, as real numbers; the batch is axis 0.

        The arrays may be the runtime's own memory: let go of them before the next `run`.

        Raises DetectorError.
        """

    def close(self) -> None:
        """Free the model; may be called twice."""
