"""Loads SavedModels, as the TF Object Detection API and TF Hub publish them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from detector.backends.graph_safety import check_saved_model
from detector.backends.tensorflow import TensorFlowBackend, choose_outputs, tensorflow_for
from detector.errors import ModelError
from detector.model_file import ModelFile

_USUAL = "serving_default"
_INITIALIZER = "__saved_model_init_op"


def load_saved_model(file: ModelFile, *, threads: int) -> TensorFlowBackend:
    """Return the model in a folder, run by its signature `serving_default` or the only one it has.

    Raises ModelError for other signatures, damaged folders and graphs that reach for files or programs.
    """
    with tensorflow_for(file.path, threads) as tf:
        tags, names = _read_graph(file)
        name = _choose_signature(names)
        model = tf.saved_model.load(str(file.path), tags=tags)
        signature = model.signatures[name]
        (input_name, spec), *others = signature.structured_input_signature[1].items()
        if others:
            inputs = ", ".join((input_name, *dict(others)))
            raise ModelError(f"the signature {name} takes {inputs}; supported: one image")
        outputs = choose_outputs(signature.structured_outputs, file.output_names)

        def run(images: Any) -> Mapping[str, Any]:
            found = model.signatures[name](**{input_name: images})  # the variables live as long as `model`
            return {output: found[output] for output in outputs}

        return TensorFlowBackend(run, spec, {output: spec.shape for output, spec in outputs.items()})


def _read_graph(file: ModelFile) -> tuple[list[str], list[str]]:
    """Return the tags of the graph to load and its signatures' names. Raises ModelError if it is hostile."""
    from tensorflow.core.protobuf import saved_model_pb2  # noqa: PLC0415 - see tensorflow_for

    content = saved_model_pb2.SavedModel.FromString((file.path / "saved_model.pb").read_bytes())
    if not content.meta_graphs:
        raise ModelError("this SavedModel holds no graph")
    # TF Hub's older modules hold one graph to train and one to use: that has fewer tags, or `serve`.
    graph = min(content.meta_graphs, key=lambda graph: _rank(graph.meta_info_def.tags))
    check_saved_model(graph)
    return list(graph.meta_info_def.tags), [name for name in graph.signature_def if name != _INITIALIZER]


def _rank(tags: Collection[str]) -> tuple[bool, bool, int]:
    return "train" in tags, "serve" not in tags, len(tags)


def _choose_signature(names: Collection[str]) -> str:
    if _USUAL in names:
        return _USUAL
    if len(names) == 1:
        return next(iter(names))
    found = f"the signatures are {', '.join(sorted(names))}" if names else "it has no signature"
    raise ModelError(f"{found}; supported: {_USUAL}, or a single one of any name")
