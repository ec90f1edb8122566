"""The compiler's operators: what an accelerator may be asked to compute, free of ONNX spelling."""

from __future__ import annotations

from weft.ir.graph import Graph, static_shape
from weft.ir.operators import (
    AveragePool,
    Convolution,
    Elementwise,
    MaxPool,
    Movement,
    Operator,
    RowProduct,
    TableLookup,
    Tensor,
    View,
)
from weft.ir.recognize import Recognition, recognize

__all__ = [
    "AveragePool",
    "Convolution",
    "Elementwise",
    "Graph",
    "MaxPool",
    "Movement",
    "Operator",
    "Recognition",
    "RowProduct",
    "TableLookup",
    "Tensor",
    "View",
    "recognize",
    "static_shape",
]
