"""Transpose behind the DequantizeLinear of a constant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from weft.frontend.graph import Graph, has, integer, integers, is_standard, set_attribute
from weft.frontend.model import Model
from weft.frontend.origins import record


@dataclass(frozen=True)
class TransposeStoredWeights:
    """Transpose(DequantizeLinear(constant)) becomes DequantizeLinear of the transposed constant: the same values.

    PyTorch exports a quantized Linear's weights that way.
    """

    name: str = "transpose-stored-weights"

    def run(self, model: Model) -> Model:
        if not has(model, "Transpose"):
            return model
        graph = Graph(model)
        changed = [_rewrite(graph, node) for node in list(graph.nodes) if is_standard(node, "Transpose")]
        return graph.finish() if any(changed) else model


def _rewrite(graph: Graph, transpose: onnx.NodeProto) -> bool:
    source = graph.producer(transpose.input[0])
    if source is None or not is_standard(source, "DequantizeLinear") or integer(source, "block_size", 0):
        return False
    values, scale = graph.constant(source.input[0]), graph.constant(source.input[1])
    if values is None or scale is None or scale.ndim > 1 or transpose.output[0] in graph.output_names:
        return False
    order = integers(transpose, "perm") or tuple(reversed(range(values.ndim)))
    if values.dtype not in (np.int8, np.uint8) or sorted(order) != list(range(values.ndim)) or not order:
        return False
    restoring = onnx.NodeProto()
    restoring.CopyFrom(source)
    restoring.name = graph.fresh_node_name(f"{transpose.name}_DequantizeLinear")
    restoring.input[0] = graph.add_constant(f"{source.input[0]}_transposed", np.transpose(values, order))
    if scale.ndim:
        set_attribute(restoring, "axis", order.index(integer(source, "axis", 1) % values.ndim))
    restoring.output[0] = transpose.output[0]
    record(restoring, [transpose, source])
    graph.remove(transpose)
    graph.add(restoring)
    return True
