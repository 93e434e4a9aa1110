"""Turns a model's raw outputs into detections; one class per family of models."""

from __future__ import annotations

from detector.errors import ModelError
from detector.heads.centernet import CenterNetHead
from detector.heads.head import Arrays, Head, Shapes
from detector.model_file import SizeWH

__all__ = ["Arrays", "Head", "Shapes", "head_for"]


def head_for(input_wh: SizeWH | None, outputs: Shapes) -> Head:
    """Return the head that understands a model with these outputs. Raises ModelError that lists them.

    input_wh: the size of the model's input; None: it takes any.
    """
    if head := CenterNetHead.of(input_wh, outputs):
        return head
    found = ", ".join(f"{name} {shape}" for name, shape in outputs.items())
    raise ModelError(f"the outputs are {found}; supported: CenterNet ({CenterNetHead.OUTPUTS})")
