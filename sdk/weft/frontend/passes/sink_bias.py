"""A bias that stands some steps behind its matrix product moved to the product."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from weft.frontend.graph import Array, Graph, has, is_standard
from weft.frontend.model import Model
from weft.frontend.origins import record

DEPTH = 8


@dataclass(frozen=True)
class SinkBias:
    """(a·W + b·R) + c becomes (a·W + c) + b·R, and reshape(a·W) + c becomes reshape(a·W + c) where the last axis
    stays: a constant vector c is free in the product's accumulator and an operator of its own elsewhere. Float models
    only, as sums change their order."""

    name: str = "sink-bias"

    def run(self, model: Model) -> Model:
        if model.is_quantized or not has(model, "Add"):
            return model
        graph = Graph(model)
        for node in list(graph.nodes):
            if is_standard(node, "Add"):
                _sink(graph, node)
        return graph.finish()


def _sink(graph: Graph, node: onnx.NodeProto) -> None:
    for index in (0, 1):
        bias = graph.constant(node.input[1 - index])
        source = node.input[index]
        if bias is None or not _is_vector(bias, graph.shape(node.output[0])) or graph.only_consumer(source) is not node:
            continue
        product = _product(graph, source, bias.size)
        if product is None or product.output[0] == source or node.output[0] in graph.output_names:
            return
        if graph.shape(source) != graph.shape(node.output[0]):
            return
        total = graph.fresh(f"{product.output[0]}_biased")
        graph.set_type(total, graph.element_type(product.output[0]), graph.shape(product.output[0]) or ())
        added = helper.make_node(
            "Add",
            [product.output[0], graph.add_constant(f"{node.input[1 - index]}_flat", bias.reshape(-1))],
            [total],
            name=graph.fresh_node_name(f"{node.name}_sunk"),
        )
        record(added, [node])
        graph.rewire(product.output[0], total)
        graph.add(added)
        graph.remove(node)
        graph.rewire(node.output[0], source)
        return


def _is_vector(value: Array, shape: tuple[int | None, ...] | None) -> bool:
    """Whether a constant varies along the last axis of this shape alone."""
    if not shape or value.ndim == 0 or value.dtype != np.float32:
        return False
    return value.ndim <= len(shape) and value.size == value.shape[-1] == shape[-1]


def _product(graph: Graph, name: str, columns: int, depth: int = DEPTH) -> onnx.NodeProto | None:
    """The MatMul with constant weights [K, columns] that a sum or a reshape of its rows starts from, nothing else
    reading what is between, and no bias being there yet; at most `depth` nodes up."""
    node = graph.producer(name)
    if node is None or depth == 0:
        return None
    if is_standard(node, "MatMul"):
        weights = graph.constant(node.input[1])
        return node if weights is not None and weights.ndim == 2 and weights.shape[1] == columns else None
    if is_standard(node, "Reshape"):
        inner = graph.shape(node.input[0])
        sources = [node.input[0]] if inner and inner[-1] == columns else []
    elif is_standard(node, "Add"):
        alike = [source for source in node.input if graph.shape(source) == graph.shape(node.output[0])]
        constant = any(source in graph.constants for source in node.input)
        sources = [] if constant else alike
    else:
        return None
    for source in sources:
        found = _product(graph, source, columns, depth - 1) if graph.only_consumer(source) is node else None
        if found is not None:
            return found
    return None
