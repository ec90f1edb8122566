"""Networks with If and Loop rewritten: both branches and a select, or all that could be skipped executed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import onnx
from onnx import helper, numpy_helper

from weft.dynamic import Form, assemble, narrow
from weft.dynamic.form import normalize_network
from weft.frontend import Model
from weft.frontend.common_nodes import PRODUCTS
from weft.frontend.renaming import renamed
from weft.frontend.topology import all_nodes, needed_nodes, used_names

__all__ = ["NoSuchVariant", "always_executed", "both_branches"]

MOST_ROUNDS = 64
"""Iterations of a Loop that are written out."""

Nodes = list[onnx.NodeProto]


class NoSuchVariant(Exception):
    """Why a network has no variant of this kind."""


def both_branches(form: Form) -> Model:
    """The quantized program with both branches of every If executed and a Where on its condition behind, on tensors
    as they are stored. Raises NoSuchVariant where it has a Loop."""

    def select(node: onnx.NodeProto, writer: _Writer) -> Nodes:
        if node.op_type != "If":
            raise NoSuchVariant(f"{node.name!r} is a {node.op_type}: how often it runs is no choice between branches")
        return _selected(node, writer)

    return _Writer(_stored(form), select).model()


def always_executed(form: Form) -> tuple[Model, dict[str, str]]:
    """The quantized program as a static network: of every If the branch that multiplies, where the other one does not,
    and both with a select where both do (where none does it stays an If, on the host); of every Loop all iterations
    that its constant count allows. Second: the outcome of each decision, by name, with which the dynamic network
    computes the same; decisions between alternatives have none. Gates and conditions that nothing needs then are left
    out.

    Raises NoSuchVariant where a Loop has no constant count of 1 to 64.
    """
    outcomes: dict[str, str] = {}

    def execute(node: onnx.NodeProto, writer: _Writer) -> Nodes:
        if node.op_type == "If":
            return _skippable(node, writer, outcomes)
        return _written_out(node, writer, outcomes)

    return _Writer(_stored(form), execute).model(), outcomes


def _stored(form: Form) -> Model:
    """The program as the compiler sees it, with 8 bits at the borders of sub-networks, as one model."""
    narrowed = narrow(form.with_networks(tuple(normalize_network(each) for each in form.networks)))
    proto = onnx.ModelProto()
    model = assemble(narrowed)
    proto.CopyFrom(model.proto)
    # A model output that is dequantized at the end has the name of the stored tensor before it.
    results = {value.name for value in proto.graph.output} - set(narrowed.body.results)
    stored = {name: f"{name}/stored" for name in results}
    nodes = list(proto.graph.node)
    returning = {node.name for node in nodes if node.op_type == "Identity" and not results.isdisjoint(node.output)}
    del proto.graph.node[:]
    proto.graph.node.extend(node if node.name in returning else renamed(node, stored) for node in nodes)
    return model.with_proto(proto)


def _branches(node: onnx.NodeProto) -> dict[str, onnx.GraphProto]:
    return {each.name: each.g for each in node.attribute}


def _selected(node: onnx.NodeProto, writer: _Writer) -> Nodes:
    """Both branches of an If, and behind them a select for each result."""
    bodies = _branches(node)
    nodes = [each for body in bodies.values() for each in writer.flat(body.node)]
    for place, result in enumerate(node.output):
        values = [bodies[key].output[place].name for key in ("then_branch", "else_branch")]
        name = f"{node.name}_select_{place}"
        nodes.append(helper.make_node("Where", [node.input[0], *values], [result], name=name))
    return nodes


def _skippable(node: onnx.NodeProto, writer: _Writer, outcomes: dict[str, str]) -> Nodes:
    bodies = _branches(node)
    multiplying = [key for key, body in bodies.items() if any(each.op_type in PRODUCTS for each in all_nodes(body))]
    if not multiplying:  # a node of the host in the dynamic network, too
        return [node]
    if len(multiplying) == 2:  # alternatives: neither can be done without
        return _selected(node, writer)
    body = bodies[multiplying[0]]
    outcomes[node.name] = multiplying[0].removesuffix("_branch")
    given = [
        helper.make_node("Identity", [value.name], [result], name=f"{node.name}_always_{place}")
        for place, (value, result) in enumerate(zip(body.output, node.output, strict=True))
    ]
    return [*writer.flat(body.node), *given]


def _written_out(node: onnx.NodeProto, writer: _Writer, outcomes: dict[str, str]) -> Nodes:
    """A Loop's iterations one behind the other."""
    count = writer.constant(node.input[0])
    if count is None or not 1 <= count <= MOST_ROUNDS:
        raise NoSuchVariant(f"{node.name!r} has no constant count of 1 to {MOST_ROUNDS}")
    body = next(each.g for each in node.attribute if each.name == "body")
    index, going, *parameters = (value.name for value in body.input)
    results = [value.name for value in body.output][1:]
    states, nodes = list(node.input[2:]), []
    slices: list[list[str]] = [[] for _ in results[len(parameters) :]]
    inner = writer.flat(body.node)
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in body.input}
    for step in range(count):
        names = dict(zip(parameters, states, strict=True))
        names[index] = writer.scalar(np.int64(step), ranks[index])
        names[going] = writer.scalar(np.bool_(True), ranks[going])
        names |= {name: f"{name}/{step}" for each in inner for name in each.output}
        for each in inner:
            nodes.append(renamed(each, names))
            nodes[-1].name = f"{each.name}/{step}"
        given = [names.get(name, name) for name in results]
        states = given[: len(parameters)]
        for place, name in enumerate(given[len(parameters) :]):
            slices[place].append(f"{name}/row")
            nodes.append(writer.row(name, f"{name}/row"))
    outcomes[node.name] = str(count)
    for name, state in zip(node.output, states, strict=False):
        nodes.append(helper.make_node("Identity", [state], [name], name=f"{name}/last"))
    for name, rows in zip(node.output[len(states) :], slices, strict=True):
        nodes.append(helper.make_node("Concat", rows, [name], name=f"{name}/all", axis=0))
    return nodes


class _Writer:
    """Writes the nodes of a model anew, with what `replacement` gives for each If and Loop."""

    def __init__(self, model: Model, replacement: Callable[[onnx.NodeProto, _Writer], Nodes]) -> None:
        self._model = model
        self._replacement = replacement
        self._made: Mapping[str, onnx.NodeProto] = {
            name: node for node in all_nodes(model.proto.graph) for name in node.output
        }
        self._constants: dict[str, onnx.TensorProto] = {each.name: each for each in model.proto.graph.initializer}

    def model(self) -> Model:
        """The model without control flow, and without nodes that no output needs."""
        proto = onnx.ModelProto()
        proto.CopyFrom(self._model.proto)
        graph = proto.graph
        nodes = needed_nodes(self.flat(graph.node), {value.name for value in graph.output})
        used = {name for node in nodes for name in used_names(node)}
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(nodes)
        graph.initializer.extend(each for name, each in self._constants.items() if name in used)
        return self._model.with_proto(proto)

    def flat(self, nodes: Iterable[onnx.NodeProto]) -> Nodes:
        """Nodes without any If or Loop."""
        found: Nodes = []
        for node in nodes:
            found += self._replacement(node, self) if node.op_type in ("If", "Loop") else [node]
        return found

    def constant(self, name: str) -> int | None:
        """The only element of a constant."""
        while name in self._made and self._made[name].op_type in ("Identity", "Reshape"):
            name = self._made[name].input[0]
        if name not in self._constants:
            return None
        value = numpy_helper.to_array(self._constants[name])
        return int(value.reshape(-1)[0]) if value.size == 1 else None

    def scalar(self, value: np.generic, rank: int) -> str:
        """A constant of one element with so many axes."""
        name = f"written_out/{value.dtype}/{value}/{rank}"
        self._constants[name] = numpy_helper.from_array(np.full((1,) * rank, value), name)
        return name

    def row(self, name: str, target: str) -> onnx.NodeProto:
        """A tensor with one more leading axis."""
        return helper.make_node("Unsqueeze", [name, self.scalar(np.int64(0), 1)], [target], name=target)
