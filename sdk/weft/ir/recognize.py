"""Pattern-based grouping: which nodes of the integer graph form operators that the accelerator computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import onnx

from weft.ir.graph import Graph
from weft.ir.movements import as_view, fuse_movements
from weft.ir.operators import Operator
from weft.ir.patterns import (
    affine,
    convolution,
    elementwise,
    instance_norm,
    interpolation,
    layer_norm,
    literal,
    movement,
    pooling,
    product,
    reduction,
    select,
    slopes,
    softmax,
    table,
    transposed,
    view,
)
from weft.ir.patterns.common import Refusal, unquantized

__all__ = ["Pattern", "Recognition", "recognize"]

Pattern = Callable[[Graph, onnx.NodeProto], Operator]

PATTERNS: dict[str, Pattern] = {
    "QLinearConv": convolution.match,
    "QLinearMatMul": product.match,
    "Conv": literal.refuse_product,
    "MatMul": literal.refuse_product,
    "Gemm": literal.refuse_product,
    "ArgMax": literal.refuse_index,
    "ArgMin": literal.refuse_index,
    "Add": elementwise.match,
    "Sub": elementwise.match,
    "Mul": elementwise.match,
    "Max": elementwise.match,
    "Where": select.match,
    "Min": elementwise.match,
    "ConvTranspose": transposed.match,
    "InstanceNormalization": instance_norm.match,
    "LayerNormalization": layer_norm.match,
    "ReduceMax": reduction.match,
    "ReduceMean": reduction.match,
    "ReduceSum": reduction.match,
    "Resize": interpolation.match,
    "Softmax": softmax.match,
    "LogSoftmax": softmax.match,
    "MaxPool": pooling.match_max,
    "GlobalMaxPool": pooling.match_global_max,
    "AveragePool": pooling.match_average,
    "GlobalAveragePool": pooling.match_global_average,
    "Reshape": view.match,
    "Flatten": view.match,
    "Squeeze": view.match,
    "Unsqueeze": view.match,
}
"""Root operator type → matcher, tried first. A matcher raises Refusal where the node must stay on the host."""


@dataclass(frozen=True)
class Recognition:
    """`operators` in topological order; `refused` gives, for every other node by name, why it stays on the host."""

    operators: tuple[Operator, ...]
    refused: dict[str, str]


def recognize(graph: Graph, patterns: Sequence[Mapping[str, Pattern]] = ()) -> Recognition:
    """Groups the nodes of an integer graph. Every node is in an operator (movements may share nodes) or in `refused`.

    Patterns around a root come first, of Weft's and of the given ones the match with the most nodes; then movements,
    then functions of one value, alike in all channels or linear in each, which end at a QuantizeLinear.
    """
    operators: list[Operator] = []
    refused: dict[str, str] = {}
    taken: set[str] = set()

    def take(operator: Operator) -> None:
        taken.update(operator.nodes)
        operators.append(operator)

    for node in graph.nodes:
        if node.name in taken:
            continue
        try:
            operator = _longest_match(graph, node, patterns)
        except Refusal as reason:
            refused[node.name] = str(reason)
            continue
        if operator is None:
            continue
        if taken.intersection(operator.nodes):
            refused[node.name] = "its nodes belong to another operator"
            continue
        take(operator)
    for node in graph.nodes:
        if node.name not in taken and movement.ends_at(graph, node):
            try:
                for operator in movement.match(graph, node):
                    take(operator)
            except Refusal as reason:
                refused[node.name] = str(reason)
    for node in graph.nodes:
        if node.op_type == "QuantizeLinear" and node.name not in taken:
            try:
                operator = _function(graph, node)
            except Refusal as reason:
                refused.setdefault(node.name, str(reason))
                for name in table.functions_behind(graph, node):
                    refused.setdefault(name, str(reason))
                continue
            if not taken.intersection(operator.nodes):
                take(operator)
    for node in graph.nodes:
        if node.name not in taken:
            refused.setdefault(node.name, _unknown(graph, node))
    order = {node.name: index for index, node in enumerate(graph.nodes)}
    operators.sort(key=lambda operator: order[operator.nodes[-1]])
    fused = tuple(as_view(each) for each in fuse_movements(operators))
    return Recognition(fused, {name: refused[name] for name in refused if name not in taken})


def _longest_match(graph: Graph, node: onnx.NodeProto, patterns: Sequence[Mapping[str, Pattern]]) -> Operator | None:
    """None where no pattern starts at such a node. Raises the first Refusal where all that do decline."""
    own = (PATTERNS,) if node.domain in ("", "ai.onnx") else ()
    found: list[Operator] = []
    refusals: list[Refusal] = []
    for each in (*own, *patterns):
        if node.op_type not in each:
            continue
        try:
            found.append(each[node.op_type](graph, node))
        except Refusal as refusal:
            refusals.append(refusal)
    if refusals and not found:
        raise refusals[0]
    return max(found, key=lambda operator: len(operator.nodes), default=None)


def _function(graph: Graph, end: onnx.NodeProto) -> Operator:
    """A function of one value: the same for all channels, or else a scale and an offset for each."""
    try:
        return table.match(graph, end)
    except Refusal:
        if affine.ends_at(graph, end):
            return affine.match(graph, end)
        if slopes.ends_at(graph, end):
            return slopes.match(graph, end)
        raise


def _unknown(graph: Graph, node: onnx.NodeProto) -> str:
    stated = next((entry.value for entry in node.metadata_props if entry.key == "weft.reason"), "")
    if stated and isinstance(stated, str):  # bytes, where a file holds no UTF-8
        return " ".join(stated.split())
    if node.op_type == "DequantizeLinear":
        return "it gives floating-point values to the host or the user"
    known = node.op_type in table.POINTWISE or node.op_type in PATTERNS
    operand = next((name for name in node.input if name and name not in graph.initializers), "")
    producer = graph.producer.get(operand)
    if known and operand and (producer is None or producer.op_type != "DequantizeLinear"):
        return unquantized(graph, operand)
    return f"no pattern of this accelerator starts at {node.op_type} here"
