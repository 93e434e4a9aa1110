"""Loads frozen TensorFlow 1 graphs (`frozen_inference_graph.pb`) by the names of their tensors."""

from __future__ import annotations

from typing import Any

from detector.backends.graph_safety import check_frozen_graph
from detector.backends.tensorflow import TensorFlowBackend, choose_outputs, tensorflow_for
from detector.errors import ModelError
from detector.model_file import ModelFile

# As the Object Detection API names them: object_detection/exporter.py in tensorflow/models.
_USUAL_INPUT = "image_tensor"
_USUAL_OUTPUTS = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")
_SHOWN = 8


def load_frozen_graph(file: ModelFile, *, threads: int) -> TensorFlowBackend:
    """Return the graph in a `.pb` file, run from `file.input_name` to `file.output_names`.

    Default: `image_tensor` or the only placeholder, and the Object Detection API's four outputs. A tensor's
    name may go without `:0`; outputs are called so.

    Raises ModelError for a damaged file, tensors that are not there, and operations that reach for files or
    programs.
    """
    with tensorflow_for(file.path, threads) as tf:
        definition = _read(file)
        input_name = _tensor(file.input_name or _find_input(definition))
        output_names = [_tensor(name) for name in file.output_names or _find_outputs(definition)]
        check_frozen_graph(definition, output_names)
        wrapped = tf.compat.v1.wrap_function(lambda: tf.compat.v1.import_graph_def(definition, name=""), [])
        tensors = {name: _get(wrapped.graph, name) for name in (input_name, *output_names)}
        outputs = choose_outputs({name.removesuffix(":0"): tensors[name] for name in output_names})
        function = wrapped.prune(tensors[input_name], outputs)
        shapes = {name: tensor.shape for name, tensor in outputs.items()}
        return TensorFlowBackend(function, tensors[input_name], shapes)


def _read(file: ModelFile) -> Any:
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - see tensorflow_for
    from tensorflow.core.framework import graph_pb2  # noqa: PLC0415

    try:
        definition = graph_pb2.GraphDef.FromString(file.path.read_bytes())
    except DecodeError as exc:
        raise ModelError("this is no frozen graph, or a damaged one") from exc
    if not definition.node:
        raise ModelError("this is no frozen graph: it holds no operation")
    return definition


def _find_input(definition: Any) -> str:
    placeholders = [str(node.name) for node in definition.node if node.op == "Placeholder"]
    if _USUAL_INPUT in placeholders:
        return _USUAL_INPUT
    if len(placeholders) == 1:
        return placeholders[0]
    raise ModelError(f"its inputs are {_some(placeholders)}; expected `input:` to name the one for images")


def _find_outputs(definition: Any) -> tuple[str, ...]:
    names = {node.name for node in definition.node}
    if all(name in names for name in _USUAL_OUTPUTS):
        return _USUAL_OUTPUTS
    used = {name.lstrip("^").partition(":")[0] for node in definition.node for name in node.input}
    ends = [node.name for node in definition.node if node.name not in used and node.op != "Const"]
    raise ModelError(
        f"no tensors {', '.join(_USUAL_OUTPUTS)}; it ends in {_some(ends)}; expected `outputs:` to name them"
    )


def _get(graph: Any, name: str) -> Any:
    try:
        return graph.get_tensor_by_name(name)
    except (KeyError, ValueError) as exc:
        raise ModelError(f"no tensor {name!r} in it") from exc


def _tensor(name: str) -> str:
    return name if ":" in name else f"{name}:0"


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "") or "missing"
