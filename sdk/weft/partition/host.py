"""Host graphs: parts of the integer graph as ONNX models of their own."""

from __future__ import annotations

import onnx
from onnx import helper

from weft.errors import CompileError
from weft.ir import Graph
from weft.ir.graph import captured_names
from weft.partition.regions import Group
from weft_runtime.executable import HostGraph

__all__ = ["extract"]


def extract(graph: Graph, group: Group, name: str) -> HostGraph:
    """The group's nodes as a model whose inputs and outputs are the values that cross its border.

    Raises CompileError if the type of such a value is not known.
    """
    used = {value for node in group.nodes for value in (*node.input, *captured_names(node))} | set(group.outputs)
    initializers = [tensor for key, tensor in graph.initializers.items() if key in used]
    body = helper.make_graph(
        list(group.nodes), name,
        [_value(graph, value) for value in group.inputs],
        [_value(graph, value) for value in group.outputs],
        initializers,
    )  # fmt: skip
    model = helper.make_model(
        body, opset_imports=list(graph.model.opset_import), ir_version=graph.model.ir_version,
        functions=list(graph.model.functions), producer_name="weft",
    )  # fmt: skip
    return HostGraph(name, model.SerializeToString(deterministic=True), group.inputs, group.outputs)


def _value(graph: Graph, name: str) -> onnx.ValueInfoProto:
    value: onnx.ValueInfoProto | None = graph.values.get(name)
    if value is None or value.type.WhichOneof("value") is None:
        raise CompileError(f"the type of {name!r} is not known; run onnx.shape_inference on the model and try again")
    return value
