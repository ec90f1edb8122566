"""What both branches of an If compute, computed once before it."""

from __future__ import annotations

from collections import ChainMap, Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import onnx
from onnx import helper

from weft.frontend.common_nodes import PRODUCTS, Branch, branch_of, common_nodes, is_copied
from weft.frontend.graph import is_standard
from weft.frontend.model import Model
from weft.frontend.origins import mark_emptied, record
from weft.frontend.renaming import renamed
from weft.frontend.topology import all_graphs, all_nodes, nesting, subgraphs, used_names
from weft.frontend.value_numbers import ValueNumbers

MOST_NESTED = 32

Constants = ChainMap[str, onnx.TensorProto]


@dataclass(frozen=True)
class HoistCommonNodes:
    """Moves in front of each If the nodes that both branches have: the same operators with the same attributes on the
    same outer tensors, equal constants, or results of nodes that are moved, too. So only what either branch computes in
    any case is moved. An output that both branches make alike is no output of the If any more, and an If without
    outputs is gone. Inner Ifs come first.

    A node stays where a quantized operator would be cut in two: in a quantized model a float that only the branches
    read, in a float model what a Relu, Clip or BatchNormalization follows in one of them. What is computed from
    constants alone, and DequantizeLinear, also remains in a branch that still reads it.
    """

    name: str = "hoist-common-nodes"

    def run(self, model: Model) -> Model:
        graph = model.proto.graph
        if not any(is_standard(node, "If") for node in all_nodes(graph)):
            return model
        if nesting(graph.node, MOST_NESTED) >= MOST_NESTED:
            return model
        hoisting = _Hoisting(model)
        return model.with_proto(hoisting.proto) if hoisting.run() else model


class _Hoisting:
    def __init__(self, model: Model) -> None:
        self.proto = onnx.ModelProto()
        self.proto.CopyFrom(model.proto)
        self._quantized = model.is_quantized
        graphs = list(all_graphs(self.proto.graph))
        self._names = Counter(name for graph in graphs for name in _defined(graph))
        self._node_names = Counter(node.name for graph in graphs for node in graph.node)
        self._numbers = ValueNumbers()
        self._outer_names: dict[int, str] = {}
        self._fixed: set[int] = set()
        self._constants: dict[int, onnx.TensorProto] = {}
        self._by_name: dict[str, onnx.TensorProto] = {}
        self._known: dict[str, tuple[onnx.TensorProto, int]] = {}
        self._changed = False

    def run(self) -> bool:
        """Whether anything was moved."""
        self._graph(self.proto.graph, ChainMap(self._by_name))
        self.proto.graph.initializer.extend(self._constants.values())
        return self._changed

    def _graph(self, graph: onnx.GraphProto, outer: Constants) -> None:
        constants = outer.new_child({tensor.name: tensor for tensor in graph.initializer})
        nodes: list[onnx.NodeProto] = []
        for node in graph.node:
            for inner in subgraphs(node):
                self._graph(inner, constants)
            nodes += self._if(node, constants) if is_standard(node, "If") else [node]
        if len(nodes) != len(graph.node) or any(a is not b for a, b in zip(nodes, graph.node, strict=True)):
            copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
            del graph.node[:]
            graph.node.extend(copies)

    def _if(self, node: onnx.NodeProto, constants: Constants) -> list[onnx.NodeProto]:
        """The nodes in place of an If: what was moved, the If where it is still needed, and names for what it gave."""
        found = {each.name: each.g for each in node.attribute if each.HasField("g")}
        graphs = [found[name] for name in ("then_branch", "else_branch") if name in found]
        plain = not any(each.input or each.sparse_initializer for each in graphs)
        if len(graphs) != 2 or not plain or any(len(each.output) != len(node.output) for each in graphs):
            return [node]
        self._outer_names = {}  # what is visible here

        def outer(name: str) -> int:
            return self._outer(name, constants)

        then, otherwise = (branch_of(each, self._numbers, outer, self._fixed) for each in graphs)
        moved = common_nodes((then, otherwise), quantized=self._quantized)
        equal = [a is not None and a == b for a, b in zip(then.results, otherwise.results, strict=True)]
        if not moved and not any(equal):
            return [node]
        self._changed = True
        return self._rewritten(node, (then, otherwise), moved, equal)

    def _outer(self, name: str, constants: Constants) -> int:
        tensor = constants.get(name)
        if tensor is None:
            number = self._numbers.outer(name)
        elif name in self._known and self._known[name][0] is tensor:
            number = self._known[name][1]
        else:
            number = self._numbers.constant(tensor)
            self._known[name] = (tensor, number)
            self._fixed.add(number)
        self._outer_names.setdefault(number, name)
        return number

    def _rewritten(
        self, node: onnx.NodeProto, branches: tuple[Branch, Branch], moved: dict[int, onnx.NodeProto],
        equal: Sequence[bool],
    ) -> list[onnx.NodeProto]:  # fmt: skip
        removed = [self._take_out(branch, moved) for branch in branches]
        given: dict[int, str] = {}
        result = [self._moved(each, branches, moved, number, given) for number, each in moved.items()]
        after = []
        for name, same, number in zip(node.output, equal, branches[0].results, strict=True):
            if same and name:
                assert number is not None
                source = self._visible(number, branches[0], given)
                after.append(helper.make_node("Identity", [source], [name], name=self._node_name(f"{name}_value")))
        for branch, names in zip(branches, removed, strict=True):
            self._shrink(branch, {name: given[number] for name, number in names.items()}, equal)
        kept = [name for name, same in zip(node.output, equal, strict=True) if not same]
        if kept:
            node.output[:] = kept
            if any(each.op_type in PRODUCTS for each in moved.values()):
                mark_emptied(node)
            result.append(node)
        return [*result, *after]

    def _take_out(self, branch: Branch, moved: dict[int, onnx.NodeProto]) -> dict[str, int]:
        """Takes what is moved out of a branch; the names that are gone, with their numbers."""
        gone: dict[str, int] = {}
        remaining = []
        for number, node in branch.nodes:
            if number in moved and not is_copied(branch, node, moved):
                names = [name for name in node.output if name]
                gone.update({name: value for name in names if (value := branch.values[name]) is not None})
                self._names.subtract(names)
                self._node_names[node.name] -= 1
            else:
                remaining.append(node)
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in remaining]
        del branch.graph.node[:]
        branch.graph.node.extend(copies)
        return gone

    def _moved(
        self, node: onnx.NodeProto, branches: tuple[Branch, Branch], moved: dict[int, onnx.NodeProto], number: int,
        given: dict[int, str],
    ) -> onnx.NodeProto:  # fmt: skip
        """A node as it stands in front of the If. `given` gets the names of its results."""
        first, second = branches
        names = {
            name: self._visible(value, first, given)
            for name in used_names(node)
            if (value := first.values.get(name)) is not None
        }
        for name in filter(None, node.output):
            value = first.values[name]
            assert value is not None
            names[name] = given[value] = self._name(name)
        copy = renamed(node, names)
        sources = [node, *(each for value, each in second.nodes if value == number)]
        copy.name = self._node_name(node.name)
        if any(each.name != copy.name for each in sources):
            record(copy, sources)
        return copy

    def _visible(self, number: int, branch: Branch, given: dict[int, str]) -> str:
        """The name of a value outside of the branches; a branch's constant becomes one of the model."""
        if number in given:
            return given[number]
        if number in self._outer_names:
            return self._outer_names[number]
        if number not in self._constants:
            constant = onnx.TensorProto()
            constant.CopyFrom(branch.constants[number])
            constant.name = self._name(f"{constant.name}_common")
            self._constants[number] = self._by_name[constant.name] = constant
        return self._constants[number].name

    def _shrink(self, branch: Branch, names: dict[str, str], equal: Sequence[bool]) -> None:
        """What is left of a branch: reading what was moved under its new names, without what nothing needs."""
        graph = branch.graph
        outputs = [value for value, same in zip(graph.output, equal, strict=True) if not same]
        nodes = [renamed(node, names) for node in graph.node]
        for value in outputs:
            if value.name in names:
                name = self._node_name(f"{value.name}_value")
                nodes.append(helper.make_node("Identity", [names[value.name]], [value.name], name=name))
        outputs = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in outputs]
        needed = {value.name for value in outputs}
        live = []
        for node in reversed(nodes):
            if not needed.isdisjoint(node.output):
                needed |= used_names(node)
                live.append(node)
        tensors = [tensor for tensor in graph.initializer if tensor.name in needed]
        tensors = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in tensors]
        infos = [value for value in graph.value_info if value.name not in names]
        infos = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in infos]
        del graph.node[:], graph.output[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(live[::-1])
        graph.output.extend(outputs)
        graph.initializer.extend(tensors)
        graph.value_info.extend(infos)

    def _name(self, base: str) -> str:
        return _unused(base, self._names)

    def _node_name(self, base: str) -> str:
        return _unused(base, self._node_names)


def _unused(base: str, taken: Counter[str]) -> str:
    name, count = base, 0
    while not name or taken[name] > 0:
        count += 1
        name = f"{base}__{count}"
    taken[name] += 1
    return name


def _defined(graph: onnx.GraphProto) -> Iterator[str]:
    yield from (value.name for value in graph.input)
    yield from (tensor.name for tensor in graph.initializer)
    yield from (name for node in graph.node for name in node.output if name)
