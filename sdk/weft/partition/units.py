"""Operators and host nodes as an assignment problem: the cost model in the terms of the assignment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from weft.ir import Graph, Operator, Tensor
from weft.partition.assignment import Problem, Unit
from weft.partition.assignment import Tensor as Crossing
from weft.partition.borders import ALL_ON_HOST, Borders
from weft.partition.costs import CostModel
from weft.partition.placement import Placement
from weft.partition.regions import Member, members_of

__all__ = ["HOST_NAME", "Offers", "Units", "units_of"]

HOST_NAME = "host"
CALLER = "(caller)"
"""The unit that makes the model's inputs and reads its outputs: on the host, for nothing."""
NEIGHBOUR = "(neighbour)"
"""The unit that makes inputs, or reads outputs, beyond the border on an accelerator."""

Offers = Mapping[str, Mapping[int, Operator]]
"""By name, an operator as each accelerator (index) that can have it would have it."""


@dataclass(frozen=True)
class Units:
    """The problem between the host (processor 0) and the accelerators (from 1), and the name of the operator that each
    unit is, None for a node of the host."""

    problem: Problem
    operators: tuple[str | None, ...]


def units_of(
    graph: Graph,
    everything: Sequence[Placement],
    offers: Offers,
    costs: CostModel,
    host_allowed: Mapping[str, bool],
    borders: Borders = ALL_ON_HOST,
) -> Units:
    """The problem whose movable units are the operators of `everything`, each on the accelerators that offer it.

    A move costs its transfer plus half a launch (a region has at least one input and one output), once for a tensor and
    a destination; between two accelerators it is one move to the host and one from it. Nodes that several operators
    share on the host are counted for each.
    """
    members = members_of(graph, everything)
    places = range(1 + len(costs.accelerators))
    beyond = [
        Unit(NEIGHBOUR if place else CALLER, tuple(0 if each == place else None for each in places)) for place in places
    ]
    units = [*beyond]
    units += [_unit(member, offers, costs, host_allowed) for member in members]
    names = (HOST_NAME, *(each.processor.name for each in costs.accelerators))
    problem = Problem(names, tuple(units), tuple(_crossings(graph, members, offers, costs, borders)))
    return Units(
        problem, (*[None] * len(beyond), *(None if each.operator is None else each.operator.name for each in members))
    )


def _unit(member: Member, offers: Offers, costs: CostModel, host_allowed: Mapping[str, bool]) -> Unit:
    indices = range(len(costs.accelerators))
    if member.operator is None:
        assert member.node is not None
        return Unit(member.node.name, (costs.on_host(member.node), *[None] * len(indices)))
    name = member.operator.name
    host = costs.nodes_on_host(member.operator) if host_allowed.get(name, True) else None
    offered = offers[name]
    there = (costs.on_accelerator(offered[index], index) if index in offered else None for index in indices)
    return Unit(name, (host, *there))


def _crossings(
    graph: Graph, members: Sequence[Member], offers: Offers, costs: CostModel, borders: Borders
) -> list[Crossing]:
    """The tensors that an operator makes or reads, with their readers. HOST and the accelerators' indices, plus 1, are
    the units beyond the border."""
    tensors: dict[str, Tensor] = {}
    producer: dict[str, int] = {}
    readers: dict[str, list[int]] = {}
    operators: dict[str, list[str]] = {}
    for index, member in enumerate(members, start=1 + len(costs.accelerators)):
        producer.update(dict.fromkeys(member.writes, index))
        for name in dict.fromkeys(member.reads):
            readers.setdefault(name, []).append(index)
        if member.operator is not None:
            tensors.update({each.name: each for each in (*member.operator.inputs, member.operator.output)})
            for each in member.operator.inputs:
                operators.setdefault(each.name, []).append(member.operator.name)
    for name in graph.output_names:
        readers.setdefault(name, []).extend(1 + place for place in sorted(borders.readers(name)))
    return [
        Crossing(
            name,
            producer.get(name, 1 + borders.maker(name)),
            tuple(readers.get(name, ())),
            _moves(tensor, [offers[each] for each in operators.get(name, ())], costs),
        )
        for name, tensor in tensors.items()
    ]


def _moves(tensor: Tensor, readers: Sequence[Mapping[int, Operator]], costs: CostModel) -> tuple[tuple[int, ...], ...]:
    """[from][to]: from an accelerator to the host, and from the host to an accelerator, packed for all its readers."""
    outwards, inwards = [0], [0]
    for index in range(len(costs.accelerators)):
        able = [offered[index] for offered in readers if index in offered]
        outwards.append(costs.transfer(tensor, index) + costs.launch // 2)
        inwards.append(costs.transfer(tensor, index, able) + costs.launch // 2)
    places = range(len(inwards))
    return tuple(tuple(0 if a == b else outwards[a] + inwards[b] for b in places) for a in places)
