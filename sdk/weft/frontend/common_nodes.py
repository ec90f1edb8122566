"""Which nodes two branches have in common, and which of these may stand in front of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx
from onnx import TensorProto, numpy_helper

from weft.frontend.graph import integer, is_standard
from weft.frontend.model import INTEGER_OPERATORS
from weft.frontend.passes.lift_constants import constant_value
from weft.frontend.topology import sort_nodes, used_names
from weft.frontend.value_numbers import Lookup, ValueNumbers

__all__ = ["PRODUCTS", "Branch", "branch_of", "common_nodes", "is_copied"]

PRODUCTS = frozenset({
    "Conv", "ConvTranspose", "MatMul", "Gemm", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "LSTM",
    "GRU", "RNN",
})  # fmt: skip
"""Operators that multiply matrices: what is worth an accelerator."""
NO_FLOATS = frozenset({
    "And", "ArgMax", "ArgMin", "Equal", "Greater", "GreaterOrEqual", "IsInf", "IsNaN", "Less", "LessOrEqual", "NonZero",
    "Not", "Or", "QuantizeLinear", "Shape", "Size", "Xor",
}) | INTEGER_OPERATORS  # fmt: skip
"""Operators whose results are no floats, so that no quantized operator ends between them and their readers."""
FLOATS = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16})
CONTINUING = ("BatchNormalization", "Clip", "Relu")
"""Operators that become part of the one in front of them."""


@dataclass(frozen=True)
class Branch:
    """A branch: its nodes in order with their numbers (None for constants, identities, and what has none), the numbers
    of its own names, its constants by number, which numbers are functions of constants alone, who reads a number
    (numbers of nodes, and nodes), and the numbers of what it returns."""

    graph: onnx.GraphProto
    nodes: Sequence[tuple[int | None, onnx.NodeProto]]
    values: dict[str, int | None]
    constants: dict[int, onnx.TensorProto]
    fixed: set[int]
    readers: dict[int, list[tuple[int | None, onnx.NodeProto]]]
    results: tuple[int | None, ...]

    def made_by(self, node: onnx.NodeProto) -> list[int]:
        """The numbers of a node's outputs."""
        return [number for name in node.output if name and (number := self.values[name]) is not None]


def branch_of(graph: onnx.GraphProto, numbers: ValueNumbers, outer: Lookup, fixed: set[int]) -> Branch:
    """A branch numbered; `outer` gives the numbers of tensors around it, `fixed` holds those of constants there."""
    values: dict[str, int | None] = {}
    constants: dict[int, onnx.TensorProto] = {}
    own_fixed: set[int] = set()
    readers: dict[int, list[tuple[int | None, onnx.NodeProto]]] = {}
    nodes: list[tuple[int | None, onnx.NodeProto]] = []

    def lookup(name: str) -> int | None:
        return values[name] if name in values else outer(name)

    def add_constant(name: str, tensor: onnx.TensorProto) -> None:
        values[name] = number = numbers.constant(tensor)
        constants[number] = tensor
        own_fixed.add(number)

    for tensor in graph.initializer:
        add_constant(tensor.name, tensor)
    for node in sort_nodes(list(graph.node)):
        value = constant_value(node) if is_standard(node, "Constant") else None
        if value is not None:
            add_constant(node.output[0], numpy_helper.from_array(value, node.output[0]))
        else:
            values.update(numbers.outputs(node, lookup))
        if is_standard(node, "Constant", "Identity"):
            nodes.append((None, node))
            continue
        number = numbers.node(node, lookup)
        nodes.append((number, node))
        operands = [lookup(name) for name in used_names(node)]
        if number is not None and all(each in fixed or each in own_fixed for each in operands):
            own_fixed.update(numbers.output(number, index) for index in range(len(node.output)))
        for operand in dict.fromkeys(operands):
            if operand is not None:
                readers.setdefault(operand, []).append((number, node))
    results = tuple(lookup(value.name) for value in graph.output)
    return Branch(graph, nodes, values, constants, own_fixed, readers, results)


def common_nodes(branches: tuple[Branch, Branch], *, quantized: bool) -> dict[int, onnx.NodeProto]:
    """The first branch's nodes, by number and in order, that can stand in front of both branches."""
    there = {number for number, _ in branches[1].nodes}
    equal = {ours for ours, theirs in zip(*(each.results for each in branches), strict=True) if ours == theirs}
    kept: dict[int, onnx.NodeProto] = {}
    for number, node in reversed(branches[0].nodes):
        if number is None or number not in there or number in kept:
            continue
        made = branches[0].made_by(node)
        reads = [reader for each in branches for value in made for reader in each.readers.get(value, ())]
        if any(reader in kept for reader, _ in reads) or not equal.isdisjoint(made):
            kept[number] = node
            continue
        read = bool(reads) or any(value in each.results for each in branches for value in made)
        if read and branches[0].fixed.isdisjoint(made) and _may_end(node, [each for _, each in reads], quantized):
            kept[number] = node
    return dict(reversed(kept.items()))


def _may_end(node: onnx.NodeProto, readers: Sequence[onnx.NodeProto], quantized: bool) -> bool:
    """Whether what is moved may end with this node."""
    if not quantized:
        return not any(is_standard(reader, *CONTINUING) for reader in readers)
    casts = is_standard(node, "Cast") and integer(node, "to", TensorProto.FLOAT) not in FLOATS
    return casts or node.op_type in NO_FLOATS


def is_copied(branch: Branch, node: onnx.NodeProto, moved: dict[int, onnx.NodeProto]) -> bool:
    """Whether a branch keeps a node of its own beside the moved one: it costs nothing, and its readers want it near."""
    made = branch.made_by(node)
    if not is_standard(node, "DequantizeLinear") and branch.fixed.isdisjoint(made):
        return False
    return any(reader not in moved for value in made for reader, _ in branch.readers.get(value, ()))
