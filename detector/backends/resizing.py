"""Lets a `.tflite` model work at another input size than it was converted for."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

_RESIZES = (schema.BuiltinOperator.RESIZE_BILINEAR, schema.BuiltinOperator.RESIZE_NEAREST_NEIGHBOR)


def with_resizes_for(content: bytes, input_wh: tuple[int, int]) -> bytes:
    """Return the model with what its resize operations make scaled to an input of `input_wh`.

    Those sizes are the only thing in a fully convolutional network that does not follow from the input's
    shape, which `Interpreter.resize_tensor_input` sets. Computing them in the graph instead would keep these
    operations from XNNPACK.

    content: a trusted model with one image as input; its sizes must scale to whole numbers.
    """
    changed = bytearray(content)  # the arrays below are views of it
    model = schema.Model.GetRootAs(changed, 0)
    graph = model.Subgraphs(0)
    height, width = (int(side) for side in graph.Tensors(graph.Inputs(0)).ShapeAsNumpy()[1:3])
    operators = (graph.Operators(index) for index in range(graph.OperatorsLength()))
    size_tensors = {
        operator.Inputs(1)
        for operator in operators
        if model.OperatorCodes(operator.OpcodeIndex()).BuiltinCode() in _RESIZES
    }
    for tensor in size_tensors:
        size_hw = model.Buffers(graph.Tensors(tensor).Buffer()).DataAsNumpy().view(np.int32)
        size_hw[:] = size_hw * (input_wh[1], input_wh[0]) // (height, width)
    return bytes(changed)
