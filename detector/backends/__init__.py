"""What runs a model's graph; one module per runtime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Backend(Protocol):
    """One model loaded into one runtime; for one thread."""

    @property
    def input_wh(self) -> tuple[int, int]:
        """Width and height of the image the model takes, in pixels."""

    @property
    def output_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The outputs by name, as the model's signature calls them."""

    def run(self, image: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        """Return the outputs for `image`, (1, H, W, 3) float32 RGB 0..255, by name.

        The arrays may be the runtime's own memory: let go of them before the next `run`.

        Raises DetectorError.
        """

    def close(self) -> None:
        """Free the model; may be called twice."""
