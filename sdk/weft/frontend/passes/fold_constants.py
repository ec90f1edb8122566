"""Everything that does not depend on the inputs computed once, by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from weft.frontend.graph import Array, Graph, integer, is_standard
from weft.frontend.model import Model, standard_opset
from weft.frontend.passes.infer_shapes import InferShapes
from weft.frontend.session_options import RUNTIME_ERRORS, plain_options
from weft.frontend.topology import subgraphs

RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
)
# Where inference finds no output shape, only these may still be folded: their outputs are no larger than
# their inputs by more than the rank.
SHRINKING = frozenset({"NonZero", "Unique", "Compress", "Gather", "Slice", "Squeeze", "Unsqueeze", "Cast", "Concat"})
ROUNDS = 32


@dataclass(frozen=True)
class FoldConstants:
    """Replaces nodes whose inputs are all constants, and shapes of tensors of static shape, by initializers.

    No tensor larger than `tensor_bytes` is made, and no more than `total_bytes` in all. Quantized models keep
    the DequantizeLinear of their constants: that is how weights and biases say that they are quantized.
    """

    tensor_bytes: int = 128 * 2**20
    total_bytes: int = 1024 * 2**20
    name: str = "fold-constants"

    def run(self, model: Model) -> Model:
        keep_quantized, budget = model.is_quantized, self.total_bytes
        refused: frozenset[str] = frozenset()
        for _ in range(ROUNDS):
            graph = Graph(InferShapes().run(model))
            before = len(graph.nodes)
            _fold_shapes(graph)
            nodes, spent = self._foldable(graph, keep_quantized, budget, refused)
            refused |= _fold(graph, nodes)
            model, budget = graph.finish(), budget - spent
            if len(model.proto.graph.node) == before:
                break
        return model

    def _foldable(
        self, graph: Graph, keep_quantized: bool, budget: int, refused: frozenset[str]
    ) -> tuple[list[onnx.NodeProto], int]:
        """Nodes that can be computed now, in order, and the bytes of what they make."""
        constant, nodes, spent = set(graph.constants), [], 0
        for node in graph.nodes:
            if keep_quantized and is_standard(node, "DequantizeLinear"):
                continue
            if node.op_type in RANDOM or node.name in refused or any(True for _ in subgraphs(node)) or not node.input:
                continue
            if not all(name in constant for name in node.input if name):
                continue
            size = self._output_bytes(graph, node)
            if size is not None and spent + size <= budget:
                spent += size
                nodes.append(node)
                constant.update(name for name in node.output if name)
        return nodes, spent

    def _output_bytes(self, graph: Graph, node: onnx.NodeProto) -> int | None:
        """Bytes of a node's outputs, or None where they are unknown or too many."""
        total = 0
        for name in node.output:
            if not name:
                continue
            shape, kind = graph.static_shape(name), graph.element_type(name)
            if kind in (0, onnx.TensorProto.STRING):
                return None
            if shape is None:
                known = all(source in graph.constants for source in node.input if source)
                if not (known and node.op_type in SHRINKING):
                    return None
                size = sum(8 * int(np.prod(graph.constants[source].dims)) * 8 for source in node.input if source)
            else:
                count = 1
                for extent in shape:
                    count *= extent
                size = count * helper.tensor_dtype_to_np_dtype(kind).itemsize
            if size > self.tensor_bytes:
                return None
            total += size
        return total


def _fold_shapes(graph: Graph) -> None:
    """Replaces Shape and Size of tensors of static shape."""
    for node in list(graph.nodes):
        if not is_standard(node, "Shape", "Size") or node.output[0] in graph.output_names:
            continue
        shape = graph.static_shape(node.input[0])
        if shape is None:
            continue
        value = np.asarray(shape, np.int64)
        if node.op_type == "Size":
            value = np.asarray(np.prod(value, dtype=np.int64), np.int64)
        else:
            end = integer(node, "end", len(shape))
            value = value[integer(node, "start", 0) : end]
        graph.remove(node)
        graph.set_constant(node.output[0], value)


def _fold(graph: Graph, nodes: Sequence[onnx.NodeProto]) -> frozenset[str]:
    """Computes these nodes, which are in order, and puts their outputs in their place.

    Returns the names of those that ONNX Runtime cannot compute, found by halving; they stay in the graph.
    """
    # A graph output must keep the node that makes it.
    removed = [node for node in nodes if graph.output_names.isdisjoint(node.output)]
    inside = {id(node) for node in removed}
    wanted = [
        name
        for node in nodes
        for name in node.output
        if name not in graph.output_names and any(id(reader) not in inside for reader in graph.consumers(name))
    ]
    if not wanted:
        return frozenset()
    values = _evaluate(graph, nodes, wanted)
    if values is None:
        if len(nodes) == 1:
            return frozenset({nodes[0].name})
        middle = len(nodes) // 2
        return _fold(graph, nodes[:middle]) | _fold(graph, nodes[middle:])
    for node in removed:
        graph.remove(node)
    for name, value in zip(wanted, values, strict=True):
        graph.set_constant(name, value)
    return frozenset()


def _evaluate(graph: Graph, nodes: Sequence[onnx.NodeProto], wanted: Sequence[str]) -> list[Array] | None:
    used = {name for node in nodes for name in node.input}
    tensors = [tensor for name, tensor in graph.constants.items() if name in used]
    outputs = [onnx.ValueInfoProto(name=name) for name in wanted]
    proto = helper.make_model(
        helper.make_graph(list(nodes), "constants", [], outputs, tensors), opset_imports=graph.opset_imports
    )
    proto.ir_version = graph.ir_version
    if standard_opset(proto) == 0:
        return None
    try:
        session = onnxruntime.InferenceSession(
            proto.SerializeToString(), plain_options(), providers=["CPUExecutionProvider"]
        )
        return [np.asarray(value) for value in session.run(list(wanted), {})]
    except RUNTIME_ERRORS:  # what ONNX Runtime cannot compute stays in the graph
        return None
