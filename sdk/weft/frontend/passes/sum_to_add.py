"""Sum written as Add."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
from onnx import helper

from weft.frontend.graph import Graph, has, is_standard
from weft.frontend.model import Model
from weft.frontend.origins import record


@dataclass(frozen=True)
class SumToAdd:
    """Sum with two inputs becomes Add, and with one Identity: fewer operators for everything that follows. In float
    models, which the quantizer gets, Sum of more becomes a chain of Adds from the first input on: the same order as
    ONNX Runtime's."""

    name: str = "sum-to-add"

    def run(self, model: Model) -> Model:
        if not has(model, "Sum"):
            return model
        graph = Graph(model)
        for node in list(graph.nodes):
            if is_standard(node, "Sum") and len(node.input) > 2 and not model.is_quantized:
                _chain(graph, node)
            if is_standard(node, "Sum") and len(node.input) <= 2:
                node.op_type = "Add" if len(node.input) == 2 else "Identity"
        return graph.finish()


def _chain(graph: Graph, node: onnx.NodeProto) -> None:
    total = node.input[0]
    for index, term in enumerate(node.input[1:-1]):
        partial = graph.fresh(f"{node.output[0]}_partial_{index}")
        name = graph.fresh_node_name(f"{node.name or 'Sum'}_{index}")
        adding = helper.make_node("Add", [total, term], [partial], name=name)
        record(adding, [node])
        graph.add(adding)
        total = partial
    last = helper.make_node("Add", [total, node.input[-1]], list(node.output), name=node.name)
    record(last, [node])
    graph.remove(node)
    graph.add(last)
