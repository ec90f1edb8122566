"""From an ONNX graph with If, Loop and Scan to the control-flow form: sub-networks without any, and statements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import onnx
from onnx import numpy_helper

from weft.dynamic.form import Form
from weft.dynamic.network import Scope, Values
from weft.dynamic.scan import scan_as_loop
from weft.dynamic.types import Refused, generalized, scalar_type, sequence_of, slice_shape
from weft.frontend.common_nodes import PRODUCTS
from weft.frontend.graph import is_standard
from weft.frontend.model import Model, dtype_name
from weft.frontend.origins import is_emptied
from weft.frontend.passes.lift_constants import constant_value
from weft.frontend.renaming import renamed
from weft.frontend.topology import all_nodes, needed_nodes, nesting, sort_nodes, subgraphs, used_names
from weft_runtime.control import MAX_DEPTH, Block, Branch, Launch, Loop, ReadScalar, Statement
from weft_runtime.steps import TensorSignature

__all__ = ["COMPUTING", "Splitting", "split"]

COMPUTING = PRODUCTS | {"QuantizeLinear"}
"""An If, Loop or Scan is opened where one of these is inside, or was until it was moved in front."""

CONTROL = ("If", "Loop", "Scan")
ROUNDS = 8


@dataclass(frozen=True)
class Splitting:
    """The form, None where the model stays as it is; why an If, Loop or Scan with products inside stays whole, by node
    name."""

    form: Form | None
    refused: Mapping[str, str]


def split(model: Model) -> Splitting:
    """Takes a normalized model apart at every If, Loop and Scan in which something is multiplied; others are ordinary
    nodes, for the host.

    Each sub-network is as large as it can be: all nodes of a block that do not wait for the next decision.
    """
    if not any(_worth_opening(node) for node in model.proto.graph.node):
        return Splitting(None, {})
    splitter = _Splitter(model)
    try:
        form = splitter.run()
    except Refused as why:
        nodes = [node.name for node in model.proto.graph.node if _worth_opening(node)]
        return Splitting(None, {**splitter.refused, **dict.fromkeys(nodes, str(why))})
    opened = any(not isinstance(statement, Launch) for statement in form.body.statements)
    return Splitting(form if opened else None, splitter.refused)


def _worth_opening(node: onnx.NodeProto) -> bool:
    inside = (each for graph in subgraphs(node) for each in all_nodes(graph))
    return is_standard(node, *CONTROL) and (is_emptied(node) or any(each.op_type in COMPUTING for each in inside))


class _Splitter:
    def __init__(self, model: Model) -> None:
        self.refused: dict[str, str] = {}
        self._model = model
        self._values = Values(model)

    def run(self) -> Form:
        graph = self._model.proto.graph
        scope = Scope({value.name: value.name for value in graph.input})
        for tensor in graph.initializer:
            self._values.add_constant(tensor.name, tensor)
            scope.names[tensor.name] = tensor.name
        body = self._block(graph.node, scope, [value.name for value in graph.output], keep_names=True)
        return Form(self._model, tuple(self._values.networks), body, self._values.types)

    def _block(
        self, nodes: Iterable[onnx.NodeProto], scope: Scope, results: Sequence[str], *, keep_names: bool = False
    ) -> Block:
        """The statements of a graph's nodes. `scope` maps the names that the graph sees to the program's own."""
        remaining = self._named(nodes, scope, keep_names=keep_names)
        wanted = [scope.names.get(name, name) for name in results]
        remaining = needed_nodes(remaining, wanted)
        statements: list[Statement] = []
        while remaining:
            taken, remaining = self._ready(remaining)
            if taken:
                needed = {name for node in remaining for name in used_names(node)} | set(wanted)
                statements.append(self._values.network(taken, needed))
            if remaining:
                # A Scan opened as a Loop may bring nodes for results that nobody reads.
                remaining = needed_nodes(self._open_first(remaining, statements), wanted)
        statements += self._values.materialize(wanted)
        return Block(tuple(statements), tuple(self._values.value(name) for name in wanted))

    def _named(self, nodes: Iterable[onnx.NodeProto], scope: Scope, *, keep_names: bool) -> list[onnx.NodeProto]:
        """The nodes under the program's names, in topological order, without constants and identities."""
        found = []
        for node in sort_nodes(list(nodes)):
            value = constant_value(node) if is_standard(node, "Constant") else None
            if is_standard(node, "Identity") and not keep_names:
                scope.names[node.output[0]] = scope.names.get(node.input[0], node.input[0])
                continue
            for name in filter(None, node.output):
                scope.names[name] = name if keep_names else self._values.fresh(name)
            if value is not None:
                name = scope.names[node.output[0]]
                self._values.add_constant(name, numpy_helper.from_array(value, name))
                continue
            copy = renamed(node, scope.names)
            copy.name = self._values.fresh_node_name(node.name or node.op_type)
            if is_standard(node, "DequantizeLinear") and self._values.derive(copy):
                continue
            found.append(copy)
        return found

    def _ready(self, nodes: Sequence[onnx.NodeProto]) -> tuple[list[onnx.NodeProto], list[onnx.NodeProto]]:
        """The nodes that wait for no decision, and the others; of these the first is the next decision."""
        taken, rest = [], []
        waiting: set[str] = set()
        for node in nodes:
            is_control = _worth_opening(node) and node.name not in self.refused
            if is_control or not waiting.isdisjoint(used_names(node)):
                waiting.update(node.output)
                rest.append(node)
            else:
                taken.append(node)
        return taken, rest

    def _open_first(self, nodes: list[onnx.NodeProto], statements: list[Statement]) -> list[onnx.NodeProto]:
        """Appends the statements of the first node, a decision; what remains. A node that is refused remains."""
        node, mark = nodes[0], self._values.mark()
        try:
            if nesting([node], MAX_DEPTH) >= MAX_DEPTH - 1:
                raise Refused(f"it is nested more than {MAX_DEPTH - 2} deep")
            if node.op_type == "Scan":
                loop = scan_as_loop(node, self._values.shape, self._values.fresh)
                return [*self._named(loop, Scope({}), keep_names=True), *nodes[1:]]
            statements += self._branch(node) if node.op_type == "If" else self._loop(node)
        except Refused as why:
            self._values.back_to(mark)
            self.refused[node.name] = str(why)
            return nodes
        return nodes[1:]

    def _branch(self, node: onnx.NodeProto) -> list[Statement]:
        graphs = {each.name: each.g for each in node.attribute if each.HasField("g")}
        if graphs.keys() != {"then_branch", "else_branch"} or not node.input:
            raise Refused("it does not have two branches and a condition")
        before, condition = self._scalar(node.input[0])
        blocks = []
        for graph in (graphs["then_branch"], graphs["else_branch"]):
            if graph.input or graph.sparse_initializer or len(graph.output) != len(node.output):
                raise Refused("one of its branches has inputs, sparse constants or another number of outputs")
            blocks.append(self._inner(graph, Scope({}), [value.name for value in graph.output]))
        results = tuple(name or self._values.fresh(f"{node.name}_unused") for name in node.output)
        for name, ours, theirs in zip(results, blocks[0].results, blocks[1].results, strict=True):
            self._values.types[name] = generalized(self._values.types[ours], self._values.types[theirs])
        return [*before, Branch(node.name, condition, blocks[0], blocks[1], results)]

    def _inner(self, graph: onnx.GraphProto, scope: Scope, results: Sequence[str]) -> Block:
        for tensor in graph.initializer:
            name = self._values.fresh(tensor.name)
            scope.names[tensor.name] = name
            self._values.add_constant(name, tensor)
        self._values.declare(graph)
        return self._block(graph.node, scope, results)

    def _scalar(self, name: str) -> tuple[list[Statement], str]:
        """Statements that make a value a scalar of the host, and the scalar's name; nothing for an absent value."""
        if not name:
            return [], ""
        before = self._values.materialize([name])
        scalar = self._values.fresh(f"{name}_scalar")
        return [*before, ReadScalar(self._values.value(name), scalar)], scalar

    def _loop(self, node: onnx.NodeProto) -> list[Statement]:
        graph = next((each.g for each in node.attribute if each.name == "body"), None)
        inputs = [*node.input, "", ""][: max(2, len(node.input))]
        states = len(inputs) - 2
        if graph is None or len(graph.input) != len(inputs) or graph.sparse_initializer:
            raise Refused("its body does not fit its inputs")
        collected = len(graph.output) - 1 - states
        if collected < 0 or len(node.output) > len(graph.output) - 1 or any(not name for name in inputs[2:]):
            raise Refused("its body does not fit its outputs")
        before: list[Statement] = []
        for_count, count = self._scalar(inputs[0])
        always = inputs[1] and self._values.is_true(inputs[1])
        for_condition, condition = self._scalar("" if always else inputs[1])
        before += [*for_count, *for_condition, *self._values.materialize(inputs[2:])]
        initial = tuple(self._values.value(name) for name in inputs[2:])
        outputs = [name or self._values.fresh(f"{node.name}_unused") for name in node.output]
        outputs += [self._values.fresh(f"{node.name}_unused") for _ in range(states + collected - len(outputs))]
        steps = self._values.whole(inputs[0]) if inputs[0] and not condition else None
        loop = self._body(node, graph, _Header(count, condition, initial, tuple(outputs), steps))
        return [*before, loop]

    def _body(self, node: onnx.NodeProto, graph: onnx.GraphProto, header: _Header) -> Loop:
        """The Loop statement. A state whose shape the body changes is taken as of unknown extents, and the body is
        split again."""
        values, states = self._values, len(header.initial)
        kinds = [values.types[name] for name in header.initial]
        mark = values.mark()
        for _ in range(ROUNDS):
            scope = Scope({})
            own = [values.fresh(value.name) for value in graph.input]
            scope.names.update(zip((value.name for value in graph.input), own, strict=True))
            ranks = [min(len(value.type.tensor_type.shape.dim), 1) for value in list(graph.input)[:2]]
            values.types[own[0]] = scalar_type(onnx.TensorProto.INT64, ranks[0])
            values.types[own[1]] = scalar_type(onnx.TensorProto.BOOL, ranks[1])
            values.types.update(zip(own[2:], kinds, strict=True))
            outputs = [value.name for value in graph.output]
            if self._stays_true(graph, outputs[0]):
                outputs[0] = graph.input[1].name
            block = self._inner(graph, scope, outputs)
            results = block.results[1:]
            merged = [generalized(a, values.types[b]) for a, b in zip(kinds, results[:states], strict=True)]
            if merged == kinds:
                break
            kinds = merged
            values.back_to(mark)
        else:
            raise Refused("the shape of its state does not settle")
        proceed, tail = "", list(block.statements)
        if block.results[0] != own[1]:
            proceed = values.fresh(f"{node.name}_proceed")
            tail.append(ReadScalar(block.results[0], proceed))
        stacked = []
        for name, result in zip(header.outputs[states:], results[states:], strict=True):
            kind = values.types[result]
            values.types[name] = sequence_of(kind, header.steps if not proceed else None)
            extents = tuple("?" if extent is None else extent for extent in slice_shape(kind))
            stacked.append(TensorSignature(name, dtype_name(kind.tensor_type.elem_type), extents))
        values.types.update(zip(header.outputs[:states], kinds, strict=True))
        return Loop(
            node.name, header.count, header.condition, proceed, own[0], own[1], ranks[0], ranks[1], header.initial,
            tuple(own[2:]), header.outputs[:states], tuple(stacked), Block(tuple(tail), results),
        )  # fmt: skip

    def _stays_true(self, graph: onnx.GraphProto, name: str) -> bool:
        """Whether a body's result is constant and true."""
        makers = {output: node for node in graph.node for output in node.output}
        while name in makers and is_standard(makers[name], "Identity"):
            name = makers[name].input[0]
        if name in makers:
            value = constant_value(makers[name]) if is_standard(makers[name], "Constant") else None
            return value is not None and bool(value.all())
        own = {tensor.name: tensor for tensor in graph.initializer}
        return bool(numpy_helper.to_array(own[name]).all()) if name in own else self._values.is_true(name)


@dataclass(frozen=True)
class _Header:
    """What a Loop has outside of its body: scalars that limit it, its first state, its outputs, and how many steps it
    makes where nothing but a constant count limits it."""

    count: str
    condition: str
    initial: tuple[str, ...]
    outputs: tuple[str, ...]
    steps: int | None
