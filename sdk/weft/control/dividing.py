"""The sub-networks of a program, each with what of it runs where, before any is compiled."""

from __future__ import annotations

from dataclasses import dataclass, replace

from weft.control.residence import Member, Residence, partitions_of
from weft.dynamic import Form, body_key, narrow
from weft.dynamic.form import normalize_network
from weft.dynamic.types import is_static
from weft.errors import CompileError
from weft.frontend import Model, integerize
from weft.lowering import Progress, Request, prepare
from weft_runtime.control import Launch, statements_within

__all__ = ["Body", "Divided", "Known", "divide"]

Known = dict[bytes, "Body"]
"""Bodies by key, the first of equal ones, also from other forms of the same program."""


@dataclass(frozen=True)
class Body:
    """A sub-network before it is compiled: itself, its integer graph, a key that equal ones share, and the wishes for
    its nodes. `member` is in terms of the first of the equal ones."""

    network: Model
    integer: Model
    key: bytes
    request: Request
    member: Member


@dataclass(frozen=True)
class Divided:
    """A program with stored values at the borders of its sub-networks, its bodies by sub-network, and their
    partitions."""

    form: Form
    bodies: tuple[Body, ...]
    residence: Residence


def divide(form: Form, request: Request, progress: Progress, known: Known) -> Divided:
    """Decides what of each sub-network runs where; `known` gets what is found out about bodies. Raises CompileError,
    also for pins to unknown nodes."""
    form = narrow(form.with_networks(tuple(normalize_network(each) for each in form.networks)))
    bodies = _bodies(form, request, progress, known)
    keeps = [each.keeps_values for each in request.accelerators]
    return Divided(form, bodies, partitions_of(form, [each.member for each in bodies], keeps.__getitem__))


def _bodies(form: Form, request: Request, progress: Progress, known: Known) -> tuple[Body, ...]:
    launches = {each.network: each for each in statements_within(form.body) if isinstance(each, Launch)}
    found: list[Body] = []
    pinned: set[str] = set()
    for index, network in enumerate(form.networks):
        progress("partition", index / len(form.networks))
        integer = integerize(network)
        names = [node.name for node in integer.proto.graph.node]
        pins = {name: where for name, where in request.pins.items() if name in names}
        pinned |= pins.keys()
        key = body_key(integer) + repr([(names.index(name), where) for name, where in pins.items()]).encode()
        own = replace(request, pins=pins, neighbours="programs")
        if key in known:
            prepared, graph = known[key].member.prepared, known[key].network.proto.graph
        else:
            is_fixed = all(is_static(value.type) for value in network.proto.graph.input)
            prepared = prepare(network, network, own, lambda stage, fraction: None) if is_fixed else None
            graph = network.proto.graph
        inputs = dict(zip((value.name for value in graph.input), launches[index].inputs, strict=True))
        outputs = dict(zip((value.name for value in graph.output), launches[index].outputs, strict=True))
        found.append(Body(network, integer, key, own, Member(prepared, key, inputs, outputs)))
        known.setdefault(key, found[-1])
    for name in request.pins.keys() - pinned:
        raise CompileError(
            f"cannot pin {name!r}: no sub-network has a node of that name; `weft explain` lists the nodes"
        )
    return tuple(found)
