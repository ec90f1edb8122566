"""Groups of float nodes that are one function of one activation: quantized once behind the group, not after each node.

Two kinds: any functions of one value with constants of one element (x · Sigmoid(x), the parts of HardSwish and Gelu),
a table of 256 entries in hardware; and chains of products, sums and batch normalizations with constants per channel,
a scale and an offset per channel. Their constants stay float32.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from weft.frontend.graph import Graph, is_standard
from weft.frontend.integer.bounds import is_bounding

__all__ = ["Function", "find_functions"]

MAX_NODES = 16
LINEAR = ("Add", "BatchNormalization", "Div", "Identity", "Mul", "Sub")
# What a group may consist of where constants have one element.
POINTWISE = (
    "Abs", "Add", "Celu", "Clip", "Div", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "Identity",
    "LeakyRelu", "Log", "Max", "Min", "Mish", "Mul", "Neg", "PRelu", "Pow", "Reciprocal", "Relu", "Selu", "Sigmoid",
    "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Swish", "Tanh", "ThresholdedRelu",
)  # fmt: skip
# Those that are worth a group of their own; the others are quantized singly anyhow.
ALONE = (
    "BatchNormalization", "Div", "Exp", "Log", "PRelu", "Pow", "Reciprocal", "Sqrt", "Swish", "ThresholdedRelu",
)  # fmt: skip


@dataclass(frozen=True)
class Function:
    """A group in topological order; the last node makes its result, `source` is the one activation that it reads."""

    nodes: tuple[onnx.NodeProto, ...]
    source: str


def find_functions(graph: Graph, exclude: Collection[str], bias_adds: Collection[str]) -> list[Function]:
    """Disjoint groups, each as large as possible. `bias_adds` names Add nodes that belong to a product."""
    position = {node.name: index for index, node in enumerate(graph.nodes)}
    barred = {*exclude, *bias_adds}
    found: list[Function] = []
    for node in reversed(graph.nodes):
        if node.name in barred or not _is_step(graph, node):
            continue
        function = _grow(graph, node, barred, position)
        if function is not None:
            found.append(function)
            barred.update(each.name for each in function.nodes)
    return found


def _is_step(graph: Graph, node: onnx.NodeProto) -> bool:
    if not is_standard(node, *POINTWISE, "BatchNormalization") or any(name for name in node.output[1:]):
        return False
    shape = graph.static_shape(node.output[0])
    return bool(shape) and graph.element_type(node.output[0]) == onnx.TensorProto.FLOAT


def _grow(graph: Graph, end: onnx.NodeProto, barred: Collection[str], position: Mapping[str, int]) -> Function | None:
    """The largest function that ends at `end`, or None where that is not worth a group."""
    group: dict[str, onnx.NodeProto] = {end.name: end}
    best = _function(graph, group, end, position)
    while len(group) < MAX_NODES:
        grown = [each for each in _producers(graph, group) if each.name not in barred and _joins(graph, each, group)]
        if not grown:
            break
        latest = max(grown, key=lambda each: position[each.name])
        group[latest.name] = latest
        best = _function(graph, group, end, position) or best
    if best is None or (len(best.nodes) == 1 and not is_standard(end, *ALONE)):
        return None
    return best


def _producers(graph: Graph, group: Mapping[str, onnx.NodeProto]) -> list[onnx.NodeProto]:
    made = (graph.producer(name) for node in group.values() for name in node.input)
    return [node for node in made if node is not None and node.name not in group]


def _joins(graph: Graph, node: onnx.NodeProto, group: Mapping[str, onnx.NodeProto]) -> bool:
    """Whether a node's result is needed in the group alone, and the node is not the activation of another operator."""
    if not _is_step(graph, node) or node.output[0] in graph.output_names:
        return False
    if any(reader.name not in group for reader in graph.consumers(node.output[0])):
        return False
    if not is_bounding(graph, node):
        return True
    before = graph.producer(node.input[0])
    return before is not None and _is_step(graph, before) and len(_activations(graph, before)) == 1


def _activations(graph: Graph, node: onnx.NodeProto) -> set[str]:
    return {name for name in node.input if name and name not in graph.constants}


def _function(
    graph: Graph, group: Mapping[str, onnx.NodeProto], end: onnx.NodeProto, position: Mapping[str, int]
) -> Function | None:
    """The group as a function, if it reads one activation of the result's shape and its constants fit a kind."""
    made = {node.output[0] for node in group.values()}
    sources = {name for node in group.values() for name in _activations(graph, node)} - made
    if len(sources) != 1:
        return None
    source = next(iter(sources))
    shape = graph.static_shape(source)
    if shape != graph.static_shape(end.output[0]) or graph.element_type(source) != onnx.TensorProto.FLOAT:
        return None
    nodes = tuple(sorted(group.values(), key=lambda node: position[node.name]))
    axes = [_axes(graph, node, len(shape or ())) for node in nodes]
    varying = {axis for each in axes for axis in each}
    slopes = len(nodes) == 1 and is_standard(end, "PRelu") and varying == {1}
    if varying and not slopes and not _is_chain(graph, nodes, varying, len(shape or ())):
        return None
    return Function(nodes, source)


def _axes(graph: Graph, node: onnx.NodeProto, rank: int) -> set[int]:
    """The axes along which a node's constants vary; −1 for a constant that is no finite float32."""
    if is_standard(node, "BatchNormalization"):
        return {1}
    found: set[int] = set()
    for name in node.input:
        value = graph.constant(name) if name else None
        if value is None:
            continue
        if value.dtype != np.float32 or not np.all(np.isfinite(value)):
            return {-1}
        found.update(rank - value.ndim + axis for axis, extent in enumerate(value.shape) if extent != 1)
    return found


def _is_chain(graph: Graph, nodes: tuple[onnx.NodeProto, ...], axes: set[int], rank: int) -> bool:
    """Whether the nodes are linear steps one behind the other, perhaps with an activation at the end, whose constants
    vary along axis 1 or the last alone."""
    if rank < 2 or len(axes) > 1 or not axes <= {1, rank - 1}:
        return False
    last = nodes[-1]
    steps = nodes[:-1] if is_bounding(graph, last) else nodes
    for index, node in enumerate(steps):
        reads = [name for name in node.input if name and name not in graph.constants]
        behind = not index or reads == [steps[index - 1].output[0]]
        first = not is_standard(node, "Div", "BatchNormalization") or node.input[0] == reads[0]
        if not is_standard(node, *LINEAR) or len(reads) != 1 or not behind or not first:
            return False
    return bool(steps)
