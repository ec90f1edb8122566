"""Value numbering: equal numbers for what is computed alike, in different graphs, whatever it is called."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import onnx
from onnx import numpy_helper

from weft.frontend.graph import is_standard
from weft.frontend.passes.fold_constants import RANDOM
from weft.frontend.passes.lift_constants import constant_value
from weft.frontend.topology import sort_nodes

__all__ = ["Lookup", "ValueNumbers"]

Lookup = Callable[[str], int | None]
"""A name's number in the scope at hand; None where it has none."""


class ValueNumbers:
    """Hands out numbers by hash consing: a node's follows from its operator, its attributes and the numbers of its
    operands, a constant's from type, extents and bytes. Time is linear in what is numbered."""

    def __init__(self) -> None:
        self._known: dict[object, int] = {}

    def outer(self, name: str) -> int:
        """A tensor that is made elsewhere."""
        return self._of(("outer", name))

    def constant(self, tensor: onnx.TensorProto) -> int:
        """A constant."""
        if tensor.data_type == onnx.TensorProto.STRING:
            content = tensor.SerializeToString(deterministic=True)
        else:
            content = numpy_helper.to_array(tensor).tobytes()
        return self._of(("constant", tensor.data_type, tuple(tensor.dims), hashlib.sha256(content).digest()))

    def output(self, node: int, index: int) -> int:
        """One of a node's outputs."""
        return self._of(("output", node, index))

    def node(self, node: onnx.NodeProto, lookup: Lookup, depth: int = 0) -> int | None:
        """None where nothing can be said: random numbers, unknown domains, operands without a number."""
        if node.op_type in RANDOM or node.domain not in ("", "ai.onnx", "com.microsoft"):
            return None
        operands = [lookup(name) if name else -1 for name in node.input]
        attributes = {each.name: self._attribute(each, lookup, depth) for each in node.attribute}
        if None in operands or None in attributes.values():
            return None
        outputs = tuple(bool(name) for name in node.output)
        return self._of(
            (
                "node",
                node.domain or "ai.onnx",
                node.op_type,
                tuple(operands),
                tuple(sorted(attributes.items())),
                outputs,
            )
        )

    def _attribute(self, attribute: onnx.AttributeProto, lookup: Lookup, depth: int) -> int | None:
        if attribute.HasField("g"):
            return self._graph(attribute.g, lookup, depth + 1)
        if attribute.graphs or attribute.ref_attr_name:
            return None
        copy = onnx.AttributeProto()
        copy.CopyFrom(attribute)
        copy.doc_string = ""
        return self._of(("attribute", copy.SerializeToString(deterministic=True)))

    def _graph(self, graph: onnx.GraphProto, lookup: Lookup, depth: int) -> int | None:
        """A body: what it gives is a function of its parameters and of what it captures."""
        if graph.sparse_initializer:
            return None
        values: dict[str, int | None] = {tensor.name: self.constant(tensor) for tensor in graph.initializer}
        kinds = []
        for index, value in enumerate(graph.input):
            values[value.name] = self._of(("parameter", depth, index))
            kinds.append(value.type.SerializeToString(deterministic=True))

        def inside(name: str) -> int | None:
            return values[name] if name in values else lookup(name)

        for node in sort_nodes(list(graph.node)):
            values.update(self.outputs(node, inside, depth))
        results = [inside(value.name) for value in graph.output]
        return None if None in results else self._of(("graph", tuple(kinds), tuple(results)))

    def outputs(self, node: onnx.NodeProto, lookup: Lookup, depth: int = 0) -> Mapping[str, int | None]:
        """The numbers of a node's outputs by name: an Identity's is its operand's, a Constant node's the constant's."""
        names = [name for name in node.output if name]
        if is_standard(node, "Identity") and names:
            return {names[0]: lookup(node.input[0])}
        if is_standard(node, "Constant") and names:
            value = constant_value(node)
            return {names[0]: None if value is None else self.constant(numpy_helper.from_array(value))}
        number = self.node(node, lookup, depth)
        return {
            name: None if number is None else self.output(number, index)
            for index, name in enumerate(node.output)
            if name
        }

    def _of(self, thing: object) -> int:
        return self._known.setdefault(thing, len(self._known))
