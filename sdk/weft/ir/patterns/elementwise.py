"""DequantizeLinear ×2 → Add [→ Relu | Clip] → QuantizeLinear → ElementwiseAdd."""

from __future__ import annotations

import onnx

from weft.ir.graph import Graph
from weft.ir.operators import ElementwiseAdd
from weft.ir.patterns.common import Refusal, dequantized, quantized_behind

__all__ = ["match_add"]


def match_add(graph: Graph, node: onnx.NodeProto) -> ElementwiseAdd:
    """A residual addition of two activations of one shape. DequantizeLinear nodes may be shared."""
    _, a = dequantized(graph, node.input[0])
    _, b = dequantized(graph, node.input[1])
    if a.shape != b.shape:
        raise Refusal(f"operands of different shapes {list(a.shape)} and {list(b.shape)}")
    nodes, output, low, high = quantized_behind(graph, node.output[0])
    return ElementwiseAdd(node.name, (node.name, *nodes), (a, b), output, low, high)
