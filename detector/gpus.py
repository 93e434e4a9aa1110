"""The GPUs there are for workers: one worker each, for two on one GPU only take turns."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from detector.model_file import ModelFile


def gpus_for(files: Collection[ModelFile], devices: Path = Path("/dev")) -> tuple[str, ...]:
    """Return the GPUs that `files` can use, as CUDA_VISIBLE_DEVICES names them; none without such a model.

    LiteRT has no use for them here, TensorFlow has. devices: where the driver has its nodes (nvidia0, ...),
    of which a container has those it was given.
    """
    if all(file.backend == "litert" or file.path.suffix == ".tflite" for file in files):
        return ()
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        names = [name.strip() for name in allowed.split(",")]
        return tuple(name for name in names if name and name != "-1")
    count = sum(node.name.removeprefix("nvidia").isdigit() for node in devices.glob("nvidia*"))
    return tuple(str(number) for number in range(count))
