"""DequantizeLinear → Softmax | LogSoftmax → QuantizeLinear → Softmax."""

from __future__ import annotations

import onnx

from weft.ir.graph import Graph, attributes
from weft.ir.patterns.common import Refusal, dequantized, quantized_behind
from weft.ir.rows import Softmax, axis_forms

__all__ = ["match"]

LARGEST_ERROR = 0.25
"""Steps of the output: as long as real results are closer than one step, their roundings are at most one step apart."""


def match(graph: Graph, node: onnx.NodeProto) -> Softmax:
    """Along axis 1 or the last one; opset 12 and earlier flatten, which is the same where the axis is the last."""
    _, x = dequantized(graph, node.input[0])
    rank = len(x.shape)
    axis = int(attributes(node).get("axis", 1 if graph.opset < 13 else -1)) % rank  # type: ignore[call-overload]
    if graph.opset < 13 and axis != rank - 1:
        raise Refusal("it flattens its input, as operators before opset 13 do")
    if not axis_forms(rank, axis):
        raise Refusal(f"axis {axis} of {rank} cannot lie in the lanes; axis 1 and the last one can")
    nodes, output, low, high = quantized_behind(graph, node.output[0])
    if len(nodes) > 1 or (low, high) != output.limits:
        raise Refusal("an activation follows it")
    found = Softmax(node.name, (node.name, *nodes), (x,), output, axis, node.op_type == "LogSoftmax")
    if not found.error < LARGEST_ERROR:
        raise Refusal("its result is not provably within one step of the reference's for these scales")
    return found
