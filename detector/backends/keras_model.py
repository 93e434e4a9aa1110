"""Loads Keras models (`.keras`) that hold layers only, no programs."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from detector.backends.tensorflow import TensorFlowBackend, choose_outputs, tensorflow_for
from detector.errors import ModelError
from detector.model_file import ModelFile

_MAX_CONFIG_BYTES = 64 << 20
_PROGRAMS = ("Lambda", "__lambda__", "TorchModuleWrapper")


def load_keras(file: ModelFile, *, threads: int) -> TensorFlowBackend:
    """Return the model in a `.keras` file.

    Raises ModelError for a damaged file, more than one input, and layers that are programs or not Keras' own.
    """
    with tensorflow_for(file.path, threads) as tf:
        _check_layers(file.path)
        import keras  # noqa: PLC0415 - see tensorflow_for

        model = keras.saving.load_model(file.path, compile=False, safe_mode=True)
        if len(model.inputs) != 1:
            raise ModelError(f"it takes {len(model.inputs)} inputs; supported: one image")
        spec = tf.TensorSpec(model.inputs[0].shape, model.inputs[0].dtype, name=model.inputs[0].name)

        def run(images: Any) -> Mapping[str, Any]:
            return choose_outputs(_by_name(model, model(images, training=False)), file.output_names)

        function = tf.function(run, input_signature=[spec], autograph=False)
        outputs = function.get_concrete_function().structured_outputs
        return TensorFlowBackend(function, spec, {name: output.shape for name, output in outputs.items()})


def _by_name(model: Any, outputs: Any) -> Mapping[str, Any]:
    if isinstance(outputs, Mapping):
        return outputs
    tensors = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return dict(zip(model.output_names, tensors, strict=True))


def _check_layers(path: Path) -> None:
    """Raise ModelError for a layer whose code is in the file, or comes from another package than Keras.

    Keras' safe mode refuses the first too, but did not always (CVE-2025-1550, CVE-2025-9906).
    """
    with zipfile.ZipFile(path) as archive:
        if archive.getinfo("config.json").file_size > _MAX_CONFIG_BYTES:
            raise ModelError(f"its config.json has more than {_MAX_CONFIG_BYTES} bytes")
        config = json.loads(archive.read("config.json"))
    for part in _objects(config):
        kind, module = part.get("class_name"), part.get("module")
        if kind in _PROGRAMS:
            raise ModelError(
                f"it holds a {kind} layer, which is a program; supported: layers of Keras itself"
            )
        if isinstance(module, str) and module.partition(".")[0] not in ("keras", "builtins"):
            raise ModelError(f"it needs {module}.{kind}; supported: layers of Keras itself")


def _objects(config: Any) -> Iterator[dict[str, Any]]:
    """Return every object in parsed JSON, however deep."""
    rest = [config]
    while rest:
        item = rest.pop()
        if isinstance(item, dict):
            yield item
            rest.extend(item.values())
        elif isinstance(item, list):
            rest.extend(item)
