"""Which nodes are quantized, which tensors get a scale, and which of them share one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from weft.frontend.graph import Graph, is_standard
from weft.frontend.integer.bounds import is_bounding
from weft.quantize.functions import Function, find_functions
from weft.quantize.operators import (
    FUSED,
    FUSES_INTO,
    MOVING,
    is_computing,
    is_moving,
    is_selecting,
    moved_inputs,
    pad_value,
)

Range = tuple[float, float]
# Concat's inputs share one scale where none of them would lose more than two bits by it.
CONCAT_LOSS = 4.0


@dataclass(frozen=True)
class Plan:
    """`nodes` by name: the quantized ones. `activations`: tensors that are stored quantized, in order of
    production. `produced`: those of them that a quantized node makes. `hidden`: tensors inside a fused group,
    never stored. `functions`: names of nodes in groups that are one function of one value; their constants stay
    float32."""

    nodes: frozenset[str]
    activations: tuple[str, ...]
    produced: frozenset[str]
    hidden: frozenset[str]
    functions: frozenset[str]


def make_plan(graph: Graph, exclude: Collection[str]) -> Plan:
    """Plans the quantization of a normalized float graph; nodes named in `exclude` stay float."""
    order = [node for node in graph.nodes if node.name not in exclude]
    bias_adds = [node.name for node in order if is_bias_add(graph, node) is not None]
    found = {function.nodes[0].name: function for function in find_functions(graph, exclude, bias_adds)}
    chosen: dict[str, onnx.NodeProto] = {}
    functions: list[Function] = []
    for node in order:  # in topological order, so that what is made by a quantized node is known
        function = found.get(node.name)
        if function is not None and _maker(graph, function.source, chosen):
            functions.append(function)
            chosen.update({each.name: each for each in function.nodes})
        moves = is_moving(graph, node) and any(_maker(graph, name, chosen) for name in moved_inputs(node))
        if moves or is_computing(graph, node):
            chosen[node.name] = node
    grouped = {node.name for function in functions for node in function.nodes}
    for node in reversed(order):
        if node.name not in chosen and is_moving(graph, node) and _feeds_only(graph, node, chosen):
            chosen[node.name] = node
    hidden = frozenset(node.output[0] for node in chosen.values() if _is_hidden(graph, node, chosen))
    hidden -= {name for function in functions for node in function.nodes for name in node.output}
    hidden -= {function.source for function in functions}
    hidden |= {node.output[0] for function in functions for node in function.nodes[:-1]}
    produced = {name for node in chosen.values() for name in node.output if name} - hidden
    read = {name for node in chosen.values() for name in operand_names(graph, node)} - hidden
    ordered = [*sorted(graph.input_names), *(name for node in graph.nodes for name in node.output if name)]
    return Plan(
        frozenset(chosen),
        tuple(name for name in ordered if name in produced or name in read),
        frozenset(produced),
        hidden,
        frozenset(grouped),
    )


def operand_names(graph: Graph, node: onnx.NodeProto) -> tuple[str, ...]:
    """The activations that a quantized node reads, constants excluded."""
    if is_standard(node, "Conv", "ConvTranspose", "MatMul", "Gemm", "Add", "Sub", "Mul", "Div", "Pow"):
        names: tuple[str, ...] = tuple(node.input[:2])
    elif is_standard(node, "Max", "Min", "Sum"):
        names = tuple(node.input)
    else:
        names = moved_inputs(node) if is_standard(node, *MOVING) else (node.input[0],)
    return tuple(name for name in names if name not in graph.constants)


def share_ranges(graph: Graph, plan: Plan, ranges: Mapping[str, Range]) -> SharedRanges:
    """The stored tensors in groups of those that only differ by data movement, each group with one range.

    A moved tensor takes its source's range. The inputs of a Concat or Where and its output share the union of their
    ranges, unless that would widen one of them more than fourfold: then each keeps its own, and what joins them
    requantizes.
    """
    groups = SharedRanges({name: _with_zero(ranges[name]) for name in plan.activations})
    for node in graph.nodes:
        if node.name not in plan.nodes or not is_selecting(graph, node):
            continue
        sources = [name for name in moved_inputs(node) if name not in graph.constants]
        if node.op_type in ("Concat", "Where") and not groups.may_join(sources, CONCAT_LOSS):
            continue
        value = pad_value(graph, node) if node.op_type == "Pad" else None
        groups.join([*sources, *(name for name in node.output if name)])
        if value is not None:
            groups.widen(sources[0], value)
    return groups


def makers(graph: Graph, plan: Plan, tensor: str) -> tuple[onnx.NodeProto, ...]:
    """The quantized nodes that make a stored tensor together: its producer, and what is fused in front."""
    found: list[onnx.NodeProto] = []
    waiting = [tensor]
    while waiting:
        node = graph.producer(waiting.pop())
        if node is None or node.name not in plan.nodes:
            continue
        found.append(node)
        waiting.extend(name for name in node.input if name in plan.hidden)
    return tuple(found)


class SharedRanges:
    """Disjoint sets of tensors, each with the union of its members' ranges."""

    def __init__(self, ranges: Mapping[str, Range]) -> None:
        self._parent = {name: name for name in ranges}
        self._range = dict(ranges)

    def root(self, name: str) -> str:
        """The tensor that stands for the group of `name`."""
        while self._parent[name] != name:
            name = self._parent[name]
        return name

    def range_of(self, name: str) -> Range:
        """The range that all of the group share."""
        return self._range[self.root(name)]

    def widen(self, name: str, value: float) -> None:
        """Makes a group's range hold one more value."""
        root = self.root(name)
        low, high = self._range[root]
        self._range[root] = (min(low, value), max(high, value))

    def may_join(self, names: list[str], loss: float) -> bool:
        """Whether the union is at most `loss` times as wide as each of the ranges."""
        spans = [self.range_of(name) for name in names]
        low, high = min(span[0] for span in spans), max(span[1] for span in spans)
        return all((high - low) <= loss * (span[1] - span[0]) for span in spans)

    def join(self, names: list[str]) -> None:
        """Makes one group of several."""
        first = self.root(names[0])
        for name in names[1:]:
            other = self.root(name)
            if other != first:
                low, high = self._range[other]
                self._parent[other] = first
                self._range[first] = (min(self._range[first][0], low), max(self._range[first][1], high))


def _with_zero(span: Range) -> Range:
    """Zero must be representable exactly: padding and Relu produce it."""
    return min(span[0], 0.0), max(span[1], 0.0)


def _maker(graph: Graph, name: str, chosen: Mapping[str, onnx.NodeProto]) -> bool:
    producer = graph.producer(name)
    return producer is not None and producer.name in chosen


def _feeds_only(graph: Graph, node: onnx.NodeProto, chosen: Mapping[str, onnx.NodeProto]) -> bool:
    """Whether everything that reads a node's outputs is quantized."""
    readers = [reader for name in node.output for reader in graph.consumers(name)]
    if not readers or any(name in graph.output_names for name in node.output):
        return False
    return all(reader.name in chosen for reader in readers)


def _is_hidden(graph: Graph, node: onnx.NodeProto, chosen: Mapping[str, onnx.NodeProto]) -> bool:
    """Whether a node's output goes into a fused successor alone: an activation, or the bias Add of a
    MatMul."""
    reader = graph.only_consumer(node.output[0])
    if reader is None or reader.name not in chosen or len(node.output) != 1:
        return False
    if is_bias_add(graph, reader) is node:
        return True
    fusing = is_standard(node, *FUSES_INTO) or is_standard(node, *FUSED)
    return fusing and is_standard(reader, *FUSED) and is_bounding(graph, reader)


def is_bias_add(graph: Graph, add: onnx.NodeProto) -> onnx.NodeProto | None:
    """The MatMul with constant weights [K, N] to which `add` adds a constant [N], or None."""
    if not is_standard(add, "Add"):
        return None
    for index in (0, 1):
        product, bias = graph.producer(add.input[index]), graph.constant(add.input[1 - index])
        if product is None or bias is None or not is_standard(product, "MatMul"):
            continue
        weights = graph.constant(product.input[1])
        if weights is None or weights.ndim != 2 or graph.only_consumer(product.output[0]) is not add:
            continue
        if bias.ndim == 1 and bias.shape[0] == weights.shape[1] and bool(np.all(np.isfinite(bias))):
            return product
    return None
