"""A few nodes of the graph run by ONNX Runtime itself, without optimizations: what they give is the reference."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
import onnxruntime
from onnx import helper

from weft.ir.graph import Graph
from weft.ir.patterns.common import Refusal

__all__ = ["session"]


def session(
    graph: Graph, nodes: Sequence[onnx.NodeProto], inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
) -> onnxruntime.InferenceSession:  # fmt: skip
    """A session over the nodes, in this order, with the graph's constants and the DequantizeLinear nodes that restore
    them. Raises Refusal where ONNX Runtime cannot run them alone."""
    made = {name for node in nodes for name in node.output} | {value.name for value in inputs}
    outer = dict.fromkeys(name for node in nodes for name in node.input if name and name not in made)
    restoring = [graph.producer[name] for name in outer if name in graph.producer]
    used = {name for node in (*restoring, *nodes) for name in node.input}
    constants = [tensor for name, tensor in graph.initializers.items() if name in used]
    body = helper.make_graph([*restoring, *nodes], "part", list(inputs), list(outputs), constants)
    model = helper.make_model(
        body, opset_imports=list(graph.model.opset_import), ir_version=graph.model.ir_version, producer_name="weft"
    )
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no common base below Exception
        raise Refusal(f"ONNX Runtime cannot evaluate it alone ({str(error).splitlines()[0][:80]})") from error
