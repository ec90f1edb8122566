"""A greatest number of iterations for Loops that end, among other things, when a state has counted far enough.

`while count < 8 and not sure` leaves a Loop without a count, whose condition asks for both. The condition stays; the count
says beforehand how long the loop can become.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from weft.frontend.graph import is_standard
from weft.frontend.model import Model
from weft.frontend.topology import all_graphs, all_nodes, subgraphs

PASSING = ("Identity", "Reshape", "Squeeze", "Unsqueeze")
COMPARISONS = {"Less": (0, 1, 0), "LessOrEqual": (0, 1, 1), "Greater": (1, 0, 0), "GreaterOrEqual": (1, 0, 1)}
"""Which operand is the smaller one, which the larger one, and what to add to the latter to make it a strict `<`."""
MOST = 2**31 - 1
INTEGERS = (np.dtype(np.int32), np.dtype(np.int64), np.dtype(np.bool_))


@dataclass(frozen=True)
class BoundLoops:
    """Gives each Loop whose condition bounds a counter the number of iterations that this allows, as its count.

    A counter is a state that begins at a constant integer and grows by a constant in each iteration behind which the
    loop goes on. A `break` is taken into account: where the condition says which branch of an If was taken, the counter
    is the one of that branch.
    """

    name: str = "bound-loops"

    def run(self, model: Model) -> Model:
        if not any(is_standard(node, "Loop") for node in all_nodes(model.proto.graph)):
            return model
        proto = onnx.ModelProto()
        proto.CopyFrom(model.proto)
        names = {name for graph in all_graphs(proto.graph) for name in _names(graph)}
        counts: list[onnx.TensorProto] = []
        for node, scope in _loops(proto.graph, _Scope(ChainMap(), ChainMap())):
            bound = _bound(node, scope)
            if bound is None or not _is_less(bound, scope.number(node.input[0])):
                continue
            name = f"{node.name}_bound_{len(names)}"
            names.add(name)
            counts.append(numpy_helper.from_array(np.asarray(bound, np.int64), name))
            node.input[0] = name
        proto.graph.initializer.extend(counts)
        return model.with_proto(proto) if counts else model


def _names(graph: onnx.GraphProto) -> Iterator[str]:
    yield from (each.name for each in (*graph.input, *graph.initializer))
    for node in graph.node:
        yield from node.output


def _is_less(bound: int, given: int | None) -> bool:
    return 1 <= bound <= MOST and (given is None or bound < given)


@dataclass(frozen=True)
class _Scope:
    """What is seen in a graph: the nodes that make tensors, and constants."""

    makers: MutableMapping[str, onnx.NodeProto]
    constants: MutableMapping[str, onnx.TensorProto]

    def within(self, graph: onnx.GraphProto) -> _Scope:
        """What is seen in a graph inside this one."""
        makers = {name: node for node in graph.node for name in node.output if name}
        constants = {each.name: each for each in graph.initializer}
        return _Scope(ChainMap(makers, self.makers), ChainMap(constants, self.constants))

    def root(self, name: str) -> str:
        """The tensor of one element that a tensor of one element is only another form of."""
        while (node := self.makers.get(name)) is not None and is_standard(node, *PASSING):
            name = node.input[0]
        return name

    def number(self, name: str) -> int | None:
        """The value of a constant integer or truth value of one element."""
        tensor = self.constants.get(self.root(name))
        if tensor is None or tensor.data_location == onnx.TensorProto.EXTERNAL:
            return None
        values = numpy_helper.to_array(tensor)
        return int(values.reshape(-1)[0]) if values.size == 1 and values.dtype in INTEGERS else None


def _loops(graph: onnx.GraphProto, outer: _Scope) -> Iterator[tuple[onnx.NodeProto, _Scope]]:
    scope = outer.within(graph)
    for node in graph.node:
        if is_standard(node, "Loop"):
            yield node, scope
        for inner in subgraphs(node):
            yield from _loops(inner, scope)


def _bound(node: onnx.NodeProto, scope: _Scope) -> int | None:
    """The greatest number of iterations that a Loop's condition allows; None where it does not bound any."""
    body = next(subgraphs(node), None)
    if body is None or not body.output or len(node.input) < 2 or len(body.input) != len(node.input):
        return None
    iteration = _Iteration(scope.within(body), {})
    conditions = list(iteration.conjuncts(body.output[0].name))
    for condition in conditions:
        iteration.learn(condition)
    starts = {value.name: scope.number(given) for value, given in zip(body.input[2:], node.input[2:], strict=True)}
    following = dict(zip(starts, (value.name for value in body.output[1:]), strict=False))
    bounds = []
    for condition in conditions:
        compared = iteration.comparison(condition)
        if compared is None:
            continue
        parameter, offset, limit = compared
        start, grown = starts.get(parameter), iteration.counted(following.get(parameter, ""))
        if start is None or grown is None or grown[0] != parameter or grown[1] < 1:
            continue
        if max(abs(start), abs(limit)) + grown[1] + abs(offset) > MOST:  # counting could run over
            continue
        # Behind iteration t the loop goes on where start + (t - 1) · step + offset < limit.
        bounds.append(max((limit - 1 - start - offset) // grown[1] + 1, 0) + 1)
    return min(bounds, default=None)


@dataclass(frozen=True)
class _Iteration:
    """One iteration behind which the loop goes on. `taken`: by an If's first output the branch that it took then."""

    scope: _Scope
    taken: dict[str, onnx.GraphProto]

    def conjuncts(self, name: str) -> Iterator[str]:
        """Tensors that all are true where the named one is: operands of And, and of Python's `and`, which is an If."""
        name = self.scope.root(name)
        node = self.scope.makers.get(name)
        if node is not None and is_standard(node, "And"):
            for each in node.input:
                yield from self.conjuncts(each)
            return
        yield name
        if node is not None and is_standard(node, "If"):
            then, otherwise = _branches(node)
            place = list(node.output).index(name)
            denied = self.scope.within(otherwise)
            refuted = denied.root(otherwise.output[place].name)
            if denied.number(refuted) == 0 or refuted == self.scope.root(node.input[0]):
                yield from self.conjuncts(node.input[0])
                self.taken[node.output[0]] = then

    def learn(self, condition: str) -> None:
        """Which branch an If took, where the other one would give the condition's operand another value."""
        node = self.scope.makers.get(condition)
        name, value = condition, 1
        if node is not None and is_standard(node, "Not"):
            name, value = node.input[0], 0
        elif node is not None and is_standard(node, "Equal"):
            numbers = [self.scope.number(each) for each in node.input]
            if (numbers[0] is None) == (numbers[1] is None):
                return
            place = 0 if numbers[0] is None else 1
            name, value = node.input[place], numbers[1 - place] or 0
        name = self.scope.root(name)
        maker = self.scope.makers.get(name)
        if maker is None or not is_standard(maker, "If"):
            return
        branches = _branches(maker)
        place = list(maker.output).index(name)
        for branch, other in zip(branches, branches[::-1], strict=True):
            given = self.scope.within(branch).number(branch.output[place].name)
            if given is not None and given != value:
                self.taken[maker.output[0]] = other

    def comparison(self, condition: str) -> tuple[str, int, int] | None:
        """A parameter, an offset and a limit with parameter + offset < limit; None where that is not what it asks."""
        node = self.scope.makers.get(condition)
        if node is None or not is_standard(node, *COMPARISONS):
            return None
        small, large, more = COMPARISONS[node.op_type]
        counted, limit = self.counted(node.input[small]), self.scope.number(node.input[large])
        return None if counted is None or limit is None else (*counted, limit + more)

    def counted(self, name: str) -> tuple[str, int] | None:
        """The tensor that the named one is the sum of, and a constant; None where it is a sum of others."""
        scope, total = self.scope, 0
        while True:
            name = scope.root(name)
            node = scope.makers.get(name)
            if node is None:
                return (name, total) if name else None
            if is_standard(node, "If") and node.output[0] in self.taken:
                branch = self.taken[node.output[0]]
                name, scope = branch.output[list(node.output).index(name)].name, scope.within(branch)
                continue
            if not is_standard(node, "Add"):
                return None
            first, second = (scope.number(each) for each in node.input)
            if (first is None) == (second is None):
                return None
            total += first if first is not None else second or 0
            name = node.input[0 if first is None else 1]


def _branches(node: onnx.NodeProto) -> tuple[onnx.GraphProto, onnx.GraphProto]:
    found = {attribute.name: attribute.g for attribute in node.attribute}
    return found["then_branch"], found["else_branch"]
