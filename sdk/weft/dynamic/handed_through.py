"""Values that a sub-network only hands on: whoever reads them reads what it was given."""

from __future__ import annotations

from dataclasses import replace

import onnx

from weft.dynamic.form import Form
from weft.dynamic.rewrite import with_reads
from weft.frontend.graph import Graph, is_standard
from weft.frontend.model import Model
from weft_runtime.control import Block, Branch, Launch, Loop, Statement, statements_within

__all__ = ["handed_through"]


def handed_through(form: Form) -> Form:
    """The form in which no output of a sub-network is an Identity of an input of the same type, except what the model
    returns, and where a sub-network does nothing else. Bits and paths stay."""
    names: dict[str, str] = {}
    networks = list(form.networks)
    for launch in [each for each in statements_within(form.body) if isinstance(each, Launch)]:
        graph = networks[launch.network].proto.graph
        given = dict(zip((value.name for value in graph.input), launch.inputs, strict=True))
        made = dict(zip((value.name for value in graph.output), launch.outputs, strict=True))
        found = {
            node.output[0]: given[node.input[0]]
            for node in graph.node
            if is_standard(node, "Identity") and node.input[0] in given and node.output[0] in made
        }
        found = {own: source for own, source in found.items() if made[own] not in form.body.results}
        if found and len(found) < len(made):
            networks[launch.network] = _without_outputs(networks[launch.network], frozenset(found))
            names |= {made[own]: source for own, source in found.items()}
    if not names:
        return form
    for name in names:
        while names[name] in names:
            names[name] = names[names[name]]
    body = with_reads(_shortened(form.body, frozenset(names)), names)
    return replace(form, networks=tuple(networks), body=body)


def _without_outputs(network: Model, dropped: frozenset[str]) -> Model:
    """The sub-network without these outputs, and what only they needed."""
    proto = onnx.ModelProto()
    proto.CopyFrom(network.proto)
    outputs = [value for value in network.proto.graph.output if value.name not in dropped]
    del proto.graph.output[:]
    proto.graph.output.extend(outputs)
    return Graph(network.with_proto(proto)).finish()


def _shortened(block: Block, dropped: frozenset[str]) -> Block:
    """The block whose launches do not give these."""
    statements: list[Statement] = []
    for each in block.statements:
        match each:
            case Launch():
                statements.append(replace(each, outputs=tuple(name for name in each.outputs if name not in dropped)))
            case Branch():
                then, otherwise = _shortened(each.then, dropped), _shortened(each.otherwise, dropped)
                statements.append(replace(each, then=then, otherwise=otherwise))
            case Loop():
                statements.append(replace(each, body=_shortened(each.body, dropped)))
            case _:
                statements.append(each)
    return Block(tuple(statements), block.results)
