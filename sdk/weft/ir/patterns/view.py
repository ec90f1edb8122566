"""Reshapes that move nothing: flattening everything behind the batch, and adding or removing trailing ones."""

from __future__ import annotations

import numpy as np
import onnx

from weft.ir.graph import Graph, static_shape
from weft.ir.operators import Tensor, View
from weft.ir.patterns.common import DTYPES, Refusal, dequantized, quantized_behind

__all__ = ["match"]

LANES = (4, 8, 16, 32, 64)
"""What machines may have; which bytes are neighbours depends on it."""


def match(graph: Graph, node: onnx.NodeProto) -> View:
    """A Reshape, Flatten, Squeeze or Unsqueeze that keeps the leading dimension, on a quantized tensor or between
    DequantizeLinear and QuantizeLinear of the same scale and zero point (which give back every q they took).

    Either both sides have the same (n, c, h, w) view, or (n, c, h, w) is flattened to (n, c·h·w).
    """
    producer = graph.producer.get(node.input[0])
    if producer is not None and producer.op_type == "DequantizeLinear":
        _, source = dequantized(graph, node.input[0])
        behind, target, _, _ = quantized_behind(graph, node.output[0])
        if len(behind) > 1 or (source.scale, source.zero_point, source.dtype) != _parameters(target):
            raise Refusal("it changes the quantization")
        nodes = (node.name, *behind)
    else:
        source, target = _quantized(graph, node.input[0]), _quantized(graph, node.output[0])
        nodes = (node.name,)
    view = View(node.name, nodes, (source,), target)
    if not any(view.forms(lanes) for lanes in LANES):
        raise Refusal(f"reshape from {list(source.shape)} to {list(target.shape)} moves data")
    return view


def _parameters(tensor: Tensor) -> tuple[np.float32, int, str]:
    return (tensor.scale, tensor.zero_point, tensor.dtype)


def _quantized(graph: Graph, name: str) -> Tensor:
    """An 8-bit value without its scale (a view needs none)."""
    value = graph.values.get(name)
    shape = static_shape(value)
    dtype = DTYPES.get(value.type.tensor_type.elem_type) if value is not None else None
    if value is None or shape is None or dtype is None:
        raise Refusal("it is not on a quantized tensor of static shape")
    if not 1 <= len(shape) <= 4 or 0 in shape:
        raise Refusal(f"{name!r} has shape {list(shape)}")
    return Tensor(name, shape, dtype, np.float32(1), 0)
