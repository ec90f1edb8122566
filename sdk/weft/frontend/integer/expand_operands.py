"""Broadcast operands of element-wise operators between quantized tensors, written out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from weft.frontend.graph import Graph, is_standard
from weft.frontend.integer.quantization import Stored, stored
from weft.frontend.integer.store_biases import is_stored
from weft.frontend.model import Model
from weft.frontend.origins import record

__all__ = ["ExpandOperands"]

BINARY = ("Add", "Sub", "Mul", "Max", "Min")
LARGEST = 1 << 22
LARGEST_RANK = 4


@dataclass(frozen=True)
class ExpandOperands:
    """An operand that ONNX broadcasts otherwise than over height and width (an attention mask, a map that gates all
    channels) becomes as large as the result: a constant at compile time, an activation by Expand, which an
    accelerator does as a data movement. Element-wise programs then have two operands of one shape."""

    name: str = "expand-operands"

    def run(self, model: Model) -> Model:
        graph = Graph(model)
        expanded: dict[tuple[str, tuple[int, ...]], str] = {}
        changed = [
            _expand(graph, node, index, expanded)
            for node in list(graph.nodes)
            if is_standard(node, *BINARY) and len(node.input) == 2 and is_stored(graph, node.output[0])
            for index in (0, 1)
        ]
        return graph.finish() if any(changed) else model


def _expand(graph: Graph, node: onnx.NodeProto, index: int, expanded: dict[tuple[str, tuple[int, ...]], str]) -> bool:
    name = node.input[index]
    own, other, shape = (graph.static_shape(each) for each in (name, node.input[1 - index], node.output[0]))
    found = stored(graph, name)
    if found is None or own is None or other is None or shape is None or own == shape:
        return False
    if not found.quantization.is_per_tensor or found.quantization.dtype.itemsize != 1 or stored_bias(graph, node):
        return False
    if not shape or len(shape) > LARGEST_RANK or not 0 < math.prod(shape) <= LARGEST:
        return False
    if math.prod(own) == 1 and graph.constant(found.name) is not None:  # one number is a scale, or a table
        return False
    if _over_height_and_width(own, shape) and other == shape:
        return False
    key = (name, shape)
    if key not in expanded:
        expanded[key] = _restored(graph, node, found, shape)
    graph.replace_input(node, index, expanded[key])
    return True


def stored_bias(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether an Add adds to a product, which takes it as its bias."""
    producers = [graph.producer(name) for name in node.input]
    return any(each is not None and is_standard(each, "MatMul", "Conv", "Gemm") for each in producers)


def _over_height_and_width(own: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    aligned = (1,) * (len(shape) - len(own)) + own
    return len(shape) == LARGEST_RANK and aligned[1:] == (shape[1], 1, 1) and aligned[0] in (1, shape[0])


def _restored(graph: Graph, node: onnx.NodeProto, found: Stored, shape: tuple[int, ...]) -> str:
    """The dequantized operand in the shape of the result."""
    values = graph.constant(found.name)
    if values is not None:
        large = graph.add_constant(f"{found.name}_expanded", np.ascontiguousarray(np.broadcast_to(values, shape)))
    else:
        large = graph.fresh(f"{found.name}_expanded")
        target = graph.add_constant(f"{large}_shape", np.asarray(shape, np.int64))
        graph.set_type(large, graph.element_type(found.name), shape)
        name = graph.fresh_node_name(f"{node.name}_Expand")
        moving = helper.make_node("Expand", [found.name, target], [large], name=name)
        record(moving, [node])
        graph.add(moving)
    restoring = onnx.NodeProto()
    restoring.CopyFrom(found.node)
    restoring.name = graph.fresh_node_name(f"{node.name}_DequantizeLinear")
    restoring.input[0] = large
    restoring.output[0] = graph.fresh(f"{large}_dequantized")
    graph.set_type(restoring.output[0], onnx.TensorProto.FLOAT, shape)
    record(restoring, [found.node])
    graph.add(restoring)
    return str(restoring.output[0])
