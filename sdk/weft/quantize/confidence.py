"""Conditions on a softmax's greatest value, written so that integers decide them.

max softmax(x) = 1 / Σ exp(xⱼ − max x), so it is above t where the sum is below 1/t. With x stored in 8 bits, xⱼ − max x
is one of 256 whole numbers of steps, and the exponential a table of whole numbers of a unit 2⁻ᵖ. The sum is then the
same in any order and on any machine, and so is the decision.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from weft.frontend.graph import Array, Graph, integer, is_standard
from weft.frontend.integer.quantization import Stored, activation
from weft.frontend.model import Model
from weft.frontend.origins import origins

__all__ = ["decide_by_integers"]

MOST_BITS, SUM_BITS = 16, 24
"""Of a table's entry, and of a sum: whole numbers so large are exact in float32, which accelerators compute with."""
TABLE_ENTRIES = 256
PASSING = ("Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze")
STORING = ("DequantizeLinear", "QuantizeLinear")
JOINING = ("And", "Or", "Xor")
FLIPPED = {
    "Greater": "Less", "GreaterOrEqual": "LessOrEqual", "Less": "Greater", "LessOrEqual": "GreaterOrEqual",
}  # fmt: skip
FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)


def decide_by_integers(model: Model, conditions: Collection[str], kept_float: Collection[str]) -> Model:
    """The QDQ model with those outputs named in `conditions` that compare a softmax's greatest value with a constant
    computed from integers: logits as stored, a table, a sum, a comparison. What is made of nodes in `kept_float` stays,
    and so does a softmax of several rows, or of what is not stored in 8 bits."""
    graph = Graph(model)
    for name in conditions:
        for comparing in _comparisons(graph, name):
            _rewrite(graph, name, comparing, frozenset(kept_float))
    return graph.finish()


def _comparisons(graph: Graph, condition: str) -> list[onnx.NodeProto]:
    """The comparisons that a condition is made of."""
    found: dict[str, onnx.NodeProto] = {}
    waiting = [condition]
    while waiting:
        node = _behind(graph, waiting.pop(), ("Not", *PASSING))
        if node is not None and is_standard(node, *JOINING):
            waiting.extend(node.input)
        elif node is not None and is_standard(node, *FLIPPED):
            found[node.name] = node
    return list(found.values())


def _rewrite(graph: Graph, condition: str, comparing: onnx.NodeProto, kept_float: frozenset[str]) -> None:
    constants = [graph.constant(name) for name in comparing.input]
    place = 0 if constants[1] is not None else 1
    threshold, shape = constants[1 - place], graph.static_shape(comparing.input[place])
    if threshold is None or threshold.size != 1 or not np.isfinite(threshold).all() or shape is None:
        return
    largest = _behind(graph, comparing.input[place], (*PASSING, *STORING))
    if largest is None or not is_standard(largest, "ReduceMax"):
        return
    softmax = _behind(graph, largest.input[0], (*PASSING, *STORING))
    if softmax is None or not is_standard(softmax, "Softmax"):
        return
    stored, count = _logits(graph, softmax)
    if stored is None or not kept_float.isdisjoint(_names(comparing, largest, softmax)):
        return
    relation = comparing.op_type if place == 0 else FLIPPED[comparing.op_type]
    bits = min(MOST_BITS, SUM_BITS - (count - 1).bit_length())
    total = _sum(graph, condition, stored, bits, shape)
    _compare(graph, comparing, relation, total, _bound(threshold, bits))


def _behind(graph: Graph, name: str, kinds: tuple[str, ...]) -> onnx.NodeProto | None:
    """The node that makes what nodes of these kinds pass on; casts only between floating-point types."""
    node = graph.producer(name)
    while node is not None and is_standard(node, *kinds):
        if node.op_type == "Cast" and integer(node, "to", 0) not in FLOATS:
            return node
        node = graph.producer(node.input[0])
    return node


def _names(*nodes: onnx.NodeProto) -> set[str]:
    return {name for node in nodes for name in (node.name, *origins(node))}


def _logits(graph: Graph, softmax: onnx.NodeProto) -> tuple[Stored | None, int]:
    """The stored tensor of one row that a softmax reads, and its elements; None where it is no such."""
    name, shape = softmax.input[0], graph.static_shape(softmax.input[0])
    if shape is None or not shape or math.prod(shape) != shape[integer(softmax, "axis", -1)]:
        return None, 0
    node = graph.producer(name)
    while node is not None and is_standard(node, *PASSING):
        if node.op_type == "Cast" and integer(node, "to", 0) not in FLOATS:
            return None, 0
        name = node.input[0]
        node = graph.producer(name)
    count = math.prod(shape)
    return (activation(graph, name), count) if 0 < count <= 1 << (SUM_BITS - 1) else (None, 0)


def _sum(graph: Graph, base: str, stored: Stored, bits: int, shape: tuple[int, ...]) -> str:
    """Σ table[x − max x] in a tensor of one element, of the given shape."""

    def add(kind: str, inputs: list[str], **attributes: Any) -> str:
        name = graph.fresh(f"{base}_{kind}")
        node = helper.make_node(kind, inputs, [name], name=graph.fresh_node_name(f"{base}_{kind}"), **attributes)
        graph.add(node)
        return name

    wide = add("Cast", [stored.name], to=TensorProto.INT32)
    below = add("Sub", [wide, add("ReduceMax", [wide], keepdims=1)])
    table = graph.add_constant(f"{base}_table", _table(stored.quantization.scale, bits))
    total = add("ReduceSum", [add("Gather", [table, below], axis=0)], keepdims=1)
    return add("Reshape", [total, graph.add_constant(f"{base}_shape", np.asarray(shape, np.int64))])


def _table(scale: Array, bits: int) -> Array:
    """exp(d · scale) in units of 2^−bits at index d mod 256, d = 0 … −255: Gather counts such d from the end."""
    steps = -np.arange(TABLE_ENTRIES)
    entries = np.zeros(TABLE_ENTRIES, np.int32)
    entries[steps] = np.rint(np.ldexp(np.exp(steps * np.float64(scale)), bits)).astype(np.int32)
    return entries


def _bound(threshold: Array, bits: int) -> Fraction:
    """What the sum is compared with; a threshold of 0 or less is below every softmax."""
    value = Fraction(float(threshold.reshape(-1)[0]))
    most = Fraction((1 << SUM_BITS) + 1)
    return min(most, (1 << bits) / value) if value > 0 else most


def _compare(graph: Graph, comparing: onnx.NodeProto, relation: str, total: str, bound: Fraction) -> None:
    """Puts the comparison of the sum in the place of the softmax's."""
    strict = relation in ("Greater", "LessOrEqual")  # above t: the sum is below the bound, which may be a whole number
    limit = math.ceil(bound) if strict else math.floor(bound) + 1
    kind = "Less" if relation.startswith("Greater") else "GreaterOrEqual"
    constant = graph.add_constant(f"{comparing.output[0]}_sum", np.asarray(limit, np.int32))
    graph.remove(comparing)
    graph.add(helper.make_node(kind, [total, constant], list(comparing.output), name=comparing.name))
