"""Runs SavedModels, frozen graphs and Keras models with TensorFlow, the extra stream-server[tensorflow]."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from detector.backends import Arrays, ImageInput, ModelInput, ModelMetadata, Shapes
from detector.backends.image_input import image_input_of, unsupported_input
from detector.backends.quiet import messages_to
from detector.errors import DetectorError, ModelError

_LOG = logging.getLogger(__name__)

_TRIAL_WH = (320, 320)  # for a model of any size: what the smallest of the usual detectors work at

Tensor: TypeAlias = Any
Graph: TypeAlias = Callable[[Tensor], Mapping[str, Tensor]]


class TensorFlowBackend:
    """A graph in TensorFlow; for one thread."""

    def __init__(self, graph: Graph, input_spec: Tensor, output_shapes: Mapping[str, Tensor]) -> None:
        """Take over a graph and run it once, so that the first image is not the one that waits for that.

        graph: from images to outputs by name. input_spec: type, shape and name of what it takes.
        output_shapes: TensorFlow's, by name.

        Raises ModelError when it takes no images or cannot run.
        """
        self._graph: Graph | None = graph
        self.image_input = _image_input(input_spec)
        self.metadata = ModelMetadata()
        try:
            first = self.run(_trial(self.image_input))
        except DetectorError as exc:
            raise ModelError(str(exc)) from exc
        self.outputs: Shapes = {
            name: _sides(output_shapes[name], array.ndim) for name, array in first.items()
        }

    def run(self, images: ModelInput) -> Arrays:
        """Return the outputs for `images` by name. Raises DetectorError."""
        if self._graph is None:
            raise DetectorError("the detector is closed")
        import tensorflow as tf  # noqa: PLC0415 - there already

        try:
            outputs = {name: value.numpy() for name, value in self._graph(tf.constant(images)).items()}
        except (tf.errors.OpError, ValueError, TypeError) as exc:
            raise DetectorError(f"TensorFlow cannot run the model: {one_line(exc)}") from exc
        return {name: array.astype(np.float32, copy=False) for name, array in outputs.items()}

    def close(self) -> None:
        """Let go of the model; may be called twice."""
        self._graph = None


@contextmanager
def tensorflow_for(path: Path, threads: int) -> Iterator[Any]:
    """Give the module `tensorflow`, set up for `threads`, to load the model in; its messages go to the log.

    What TensorFlow raises meanwhile becomes a ModelError that names the file. Threads are set once in a
    process, by its first model.

    Raises ModelError when TensorFlow is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    with messages_to(_LOG), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own use of NumPy, Keras and Python
        try:
            import tensorflow as tf  # noqa: PLC0415 - 3 s and 0.4 GB that only who needs it pays
        except ImportError as exc:
            raise ModelError(f"{path}: needs TensorFlow: pip install 'stream-server[tensorflow]'") from exc
        tf.get_logger().setLevel(logging.ERROR)
        _set_up(tf, threads)
        try:
            yield tf
        except ModelError as exc:
            raise ModelError(f"{path}: {exc}") from exc
        except Exception as exc:  # a damaged file lets its loaders raise anything: KeyError, AttributeError …
            _LOG.debug("%s", path, exc_info=exc)
            raise ModelError(f"{path}: TensorFlow cannot load it: {one_line(exc)}") from exc


def choose_outputs(found: Mapping[str, Any], wanted: Collection[str] = ()) -> Mapping[str, Any]:
    """Return the outputs that are numbers; of them those that are wanted, if any are named."""
    if missing := [name for name in wanted if name not in found]:
        raise ModelError(f"no output {missing[0]!r}; it has {', '.join(sorted(found))}")
    return {name: found[name] for name in wanted or found if found[name].dtype.name != "string"}


def one_line(exc: Exception) -> str:
    """Return what happened in one line of at most 300 characters."""
    return " ".join(str(exc).split())[:300] or type(exc).__name__


def _set_up(tf: Any, threads: int) -> None:
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)  # leave room for other workers
    except RuntimeError as exc:
        _LOG.warning("TensorFlow keeps the threads it has: %s", one_line(exc))


def _image_input(spec: Tensor) -> ImageInput:
    if spec.dtype.name == "string":
        raise ModelError(
            f"the input {spec.name} takes encoded images (text); supported: a signature that takes pixels "
            "(OD API: export with --input_type image_tensor)"
        )
    shape = None if spec.shape.rank is None else tuple(spec.shape.as_list())
    found = None if shape is None else image_input_of(shape, spec.dtype.as_numpy_dtype)
    if found is None:
        raise unsupported_input([(spec.name, shape, spec.dtype.as_numpy_dtype)])
    return found


def _trial(image_input: ImageInput) -> ModelInput:
    width, height = image_input.size_wh or _TRIAL_WH
    sides = (3, height, width) if image_input.channels_first else (height, width, 3)
    return np.zeros((image_input.batch or 1, *sides), image_input.dtype)


def _sides(shape: Tensor, rank: int) -> tuple[int | None, ...]:
    return (None,) * rank if shape.rank is None else tuple(shape.as_list())
