"""Sub-networks of a single Identity wherever floats enter or leave the program: there, values can change their form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import onnx
from onnx import TensorProto, helper

from weft.dynamic.form import Form
from weft.dynamic.rewrite import with_networks, with_reads
from weft.frontend.model import Model
from weft_runtime.control import Block, Branch, Launch, Loop, Statement, statements_within

__all__ = ["add_carriers", "drop_carriers"]


def add_carriers(form: Form) -> Form:
    """The form with a carrier behind every float input of the model, and in front of every float that the model, or a
    loop's body for collection, returns."""
    adder = _Adder(form)
    entering = [each.name for each in form.model.inputs if adder.is_float(each.name)]
    launches = [adder.carrier(name, f"{name}_given") for name in entering]
    renames = {launch.inputs[0]: launch.outputs[0] for launch in launches}
    body = with_reads(form.body, renames)
    body = adder.block(Block((*launches, *body.statements), body.results), range(len(body.results)))
    return replace(form, networks=tuple(adder.networks), types=adder.types, body=body)


def drop_carriers(form: Form) -> Form:
    """The form without carriers that still carry floats as they are, and without sub-networks that nothing launches."""
    idle = {}
    for statement in statements_within(form.body):
        if isinstance(statement, Launch) and _is_idle(form.networks[statement.network]):
            idle[statement.outputs[0]] = statement.inputs[0]
    names = {target: idle.get(source, source) for target, source in idle.items()}
    body = with_reads(_without(form.body, frozenset(idle)), names)
    used = [each.network for each in statements_within(body) if isinstance(each, Launch)]
    numbers = {number: index for index, number in enumerate(dict.fromkeys(used))}
    return replace(form, networks=tuple(form.networks[number] for number in numbers), body=with_networks(body, numbers))


def _is_idle(network: Model) -> bool:
    nodes = network.proto.graph.node
    return len(nodes) == 1 and nodes[0].op_type == "Identity" and not network.proto.graph.initializer


def _without(block: Block, outputs: frozenset[str]) -> Block:
    """The block without the launches that give these."""
    statements: list[Statement] = []
    for statement in block.statements:
        match statement:
            case Launch() if outputs.issuperset(statement.outputs) and statement.outputs:
                continue
            case Branch():
                then, otherwise = _without(statement.then, outputs), _without(statement.otherwise, outputs)
                statements.append(replace(statement, then=then, otherwise=otherwise))
            case Loop():
                statements.append(replace(statement, body=_without(statement.body, outputs)))
            case _:
                statements.append(statement)
    return Block(tuple(statements), block.results)


class _Adder:
    def __init__(self, form: Form) -> None:
        self.networks = list(form.networks)
        self.types = dict(form.types)
        self._model = form.model

    def is_float(self, name: str) -> bool:
        return self.types[name].tensor_type.elem_type == TensorProto.FLOAT

    def carrier(self, source: str, base: str) -> Launch:
        """A launch of an Identity."""
        kind, target, count = self.types[source], base, 0
        while target in self.types:
            count += 1
            target = f"{base}_{count}"
        self.types[target] = kind
        graph = helper.make_graph(
            [helper.make_node("Identity", [source], [target], name=target)], "carrier",
            [onnx.ValueInfoProto(name=source, type=kind)], [onnx.ValueInfoProto(name=target, type=kind)],
        )  # fmt: skip
        proto = onnx.ModelProto(ir_version=self._model.proto.ir_version, graph=graph)
        proto.opset_import.extend(self._model.proto.opset_import)
        self.networks.append(Model(proto, name=f"{self._model.name}/{target}"))
        return Launch(len(self.networks) - 1, (source,), (target,))

    def block(self, block: Block, returned: Sequence[int]) -> Block:
        """The block with carriers in front of the results at these places, and inside its loops."""
        statements = list(map(self._statement, block.statements))
        results = list(block.results)
        for place in returned:
            name = results[place]
            if self.is_float(name):
                launch = self.carrier(name, f"{name}_returned")
                results[place] = launch.outputs[0]
                statements.append(launch)
        return Block(tuple(statements), tuple(results))

    def _statement(self, statement: Statement) -> Statement:
        match statement:
            case Branch():
                then, otherwise = self.block(statement.then, ()), self.block(statement.otherwise, ())
                return replace(statement, then=then, otherwise=otherwise)
            case Loop():
                first = len(statement.results)
                places = range(first, first + len(statement.stacked))
                return replace(statement, body=self.block(statement.body, places))
        return statement
