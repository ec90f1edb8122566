"""Ifs that only say whether something holds, as And, Or and Not.

Python's `a and b` evaluates b only where a holds, which a converter writes as an If. Where b multiplies nothing and
cannot fail, computing it in any case costs less than a decision, and the condition can be taken apart.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from weft.errors import ModelError
from weft.frontend.common_nodes import PRODUCTS
from weft.frontend.graph import is_standard
from weft.frontend.harmless import is_harmless
from weft.frontend.model import Model
from weft.frontend.passes.infer_shapes import InferShapes
from weft.frontend.renaming import unused_name
from weft.frontend.topology import all_graphs, all_nodes, subgraphs, used_names

PASSING = ("Identity", "Reshape", "Squeeze", "Unsqueeze")
"""Of a tensor of one element they only change the form."""
Types = ChainMap[str, onnx.TypeProto]
Constants = ChainMap[str, onnx.TensorProto]


@dataclass(frozen=True)
class LogicalConditions:
    """Puts And, Or and Not of both branches' results in the place of each If whose results are truth values of one
    element, where both branches multiply nothing and only do what cannot fail, on tensors of static shape. All names of
    the model must be unique."""

    name: str = "logical-conditions"

    def run(self, model: Model) -> Model:
        if not any(is_standard(node, "If") for node in all_nodes(model.proto.graph)):
            return model
        proto = onnx.ModelProto()
        proto.CopyFrom(model.proto)
        rewriting = _Rewriting(proto, model.proto.graph)
        rewriting.graph(proto.graph, ChainMap(), ChainMap())
        return model.with_proto(proto) if rewriting.changed else model


class _Rewriting:
    def __init__(self, proto: onnx.ModelProto, original: onnx.GraphProto) -> None:
        graphs = list(all_graphs(proto.graph))
        self._taken = {name for graph in graphs for node in graph.node for name in (*node.output, node.name)}
        self._taken |= {value.name for graph in graphs for value in (*graph.input, *graph.initializer)}
        self._proto = proto
        self._makers = {name: node for node in all_nodes(original) for name in node.output}
        self.changed = False

    def graph(self, graph: onnx.GraphProto, types: Types, constants: Constants) -> None:
        """Rewrites a graph in place, what is inside first."""
        values = (*graph.input, *graph.value_info, *graph.output)
        types = types.new_child({value.name: value.type for value in values})
        types |= {each.name: helper.make_tensor_type_proto(each.data_type, each.dims) for each in graph.initializer}
        constants = constants.new_child({each.name: each for each in graph.initializer})
        if any(is_standard(node, "If") for node in graph.node):
            types |= self._inferred(graph, types, constants)
        nodes: list[onnx.NodeProto] = []
        for node in graph.node:
            for inner in subgraphs(node):
                self.graph(inner, types, constants)
            then, otherwise = _branches(node)
            if then is None or otherwise is None or not self._is_logical(node, (then, otherwise), types, constants):
                nodes.append(node)
                continue
            self.changed = True
            for side in (then, otherwise):
                nodes += side.node
                graph.initializer.extend(side.initializer)
                graph.value_info.extend(side.value_info)
                constants.update({each.name: each for each in side.initializer})
            nodes += self._joined(graph, node, (then, otherwise), constants)
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(copies)

    def _is_logical(
        self, node: onnx.NodeProto, sides: tuple[onnx.GraphProto, onnx.GraphProto], types: Types, constants: Constants
    ) -> bool:
        if any(each.input or each.sparse_initializer or len(each.output) != len(node.output) for each in sides):
            return False
        kinds: list[list[tuple[int, ...] | None]] = []
        for side in sides:
            own = constants.new_child({each.name: each for each in side.initializer})
            inside = {name for each in side.node for name in each.output}
            for each in side.node:
                outer = (name for name in used_names(each) if name not in inside and name not in own)
                if (
                    each.op_type in PRODUCTS
                    or not is_harmless(each, own)
                    or not all(_is_static(types, n) for n in outer)
                ):
                    return False
            found = types.new_child(self._inferred(side, types, own))
            kinds.append([_single_truth(found, each.name) for each in side.output])
        return None not in kinds[0] and kinds[0] == kinds[1] and all(node.output)

    def _inferred(self, graph: onnx.GraphProto, types: Types, constants: Constants) -> dict[str, onnx.TypeProto]:
        """Types of what a graph makes: ONNX's inference tells none inside of others."""
        made = {name for node in graph.node for name in node.output}
        used = {name for node in graph.node for name in used_names(node)} | {value.name for value in graph.output}
        given = {value.name for value in graph.input}
        proto = onnx.ModelProto(ir_version=self._proto.ir_version)
        proto.opset_import.extend(self._proto.opset_import)
        copy = proto.graph
        copy.name = graph.name
        copy.node.extend(graph.node)
        copy.input.extend(graph.input)
        for name in sorted(used - made - given):
            if name in constants:
                copy.initializer.append(constants[name])
            elif name in types:
                copy.input.append(onnx.ValueInfoProto(name=name, type=types[name]))
        copy.output.extend(onnx.ValueInfoProto(name=value.name) for value in graph.output if value.name in made)
        try:
            inferred = InferShapes().run(Model(proto, name=graph.name)).proto.graph
        except ModelError:
            return {}
        return {value.name: value.type for value in (*inferred.value_info, *inferred.output)}

    def _joined(
        self, graph: onnx.GraphProto, node: onnx.NodeProto, sides: tuple[onnx.GraphProto, onnx.GraphProto],
        constants: Constants,
    ) -> Iterator[onnx.NodeProto]:  # fmt: skip
        """Nodes that give the If's results of both branches'."""
        condition = node.input[0]
        shape = numpy_helper.from_array(np.asarray([], np.int64), self._fresh(f"{node.name}_scalar_shape"))
        graph.initializer.append(shape)
        scalar, contrary = self._fresh(f"{node.name}_scalar"), self._fresh(f"{node.name}_contrary")
        yield helper.make_node("Reshape", [condition, shape.name], [scalar], name=scalar)
        yield helper.make_node("Not", [scalar], [contrary], name=contrary)
        for result, *given in zip(node.output, *(side.output for side in sides), strict=True):
            first, second = (self._known(each.name, condition, constants) for each in given)
            then, otherwise = (each.name for each in given)
            # Where a branch gives the condition back, that is true in the first one and false in the second.
            if second in ("false", "condition"):
                yield helper.make_node("And", [scalar, then], [result], name=self._fresh(f"{node.name}_and"))
            elif first in ("true", "condition"):
                yield helper.make_node("Or", [scalar, otherwise], [result], name=self._fresh(f"{node.name}_or"))
            elif first == "false":
                yield helper.make_node("And", [contrary, otherwise], [result], name=self._fresh(f"{node.name}_and"))
            elif second == "true":
                yield helper.make_node("Or", [contrary, then], [result], name=self._fresh(f"{node.name}_or"))
            else:
                parts = [self._fresh(f"{result}_{side}") for side in ("then", "else")]
                for part, choice, each in zip(parts, (scalar, contrary), (then, otherwise), strict=True):
                    yield helper.make_node("And", [choice, each], [part], name=part)
                yield helper.make_node("Or", parts, [result], name=self._fresh(f"{node.name}_or"))

    def _known(self, name: str, condition: str, constants: Constants) -> str:
        """What a branch's result is, if that can be told: "true", "false" or the If's own "condition"."""
        name = self._root(name)
        if name == self._root(condition):
            return "condition"
        tensor = constants.get(name)
        if tensor is None or tensor.data_location == TensorProto.EXTERNAL:
            return ""
        return "true" if numpy_helper.to_array(tensor).all() else "false"

    def _root(self, name: str) -> str:
        while name in self._makers and is_standard(self._makers[name], *PASSING):
            name = self._makers[name].input[0]
        return name

    def _fresh(self, base: str) -> str:
        return unused_name(base, self._taken)


def _branches(node: onnx.NodeProto) -> tuple[onnx.GraphProto | None, onnx.GraphProto | None]:
    if not is_standard(node, "If"):
        return None, None
    found = {each.name: each.g for each in node.attribute}
    return found.get("then_branch"), found.get("else_branch")


def _is_static(types: Types, name: str) -> bool:
    kind = types.get(name)
    if kind is None or not kind.tensor_type.HasField("shape"):
        return False
    return all(extent.HasField("dim_value") for extent in kind.tensor_type.shape.dim)


def _single_truth(types: Types, name: str) -> tuple[int, ...] | None:
    """The shape of a truth value of one element; None for anything else."""
    if not _is_static(types, name) or types[name].tensor_type.elem_type != TensorProto.BOOL:
        return None
    shape = tuple(extent.dim_value for extent in types[name].tensor_type.shape.dim)
    return shape if all(extent == 1 for extent in shape) else None
