"""Groups of nodes that run in one go: convex by construction, for any graph."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import onnx

from weft.ir import Graph, Operator
from weft.ir.graph import captured_names
from weft.partition.placement import Placement

__all__ = ["HOST", "Group", "Member", "group", "members_of"]

HOST = -1
"""The host's place among the processors' indices."""


@dataclass(frozen=True)
class Group:
    """One step of execution: operators of one processor (an index), or nodes of the host (HOST). `inputs` and `outputs`
    are the values that cross its border; outputs include the model's."""

    processor: int
    operators: tuple[Operator, ...]
    nodes: tuple[onnx.NodeProto, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass
class Member:
    """An operator, or one host node: what the grouping moves as one, with the values that it reads and writes."""

    processor: int
    operator: Operator | None
    node: onnx.NodeProto | None
    reads: list[str]
    writes: list[str]


def group(graph: Graph, placements: Sequence[Placement]) -> list[Group]:
    """Steps in execution order, from one placement for each processor.

    level(u) = max over producers p of level(p), plus 1 where p and u run on different processors. Units of one
    processor and one level make a group: a path that leaves a group crosses to another processor, so its level grows
    and it can never come back. Nodes that nothing needs (dequantizations absorbed by operators) are left out.
    """
    units = members_of(graph, placements)
    producer = {name: unit for unit in units for name in unit.writes}
    levels: dict[int, int] = {}
    members: dict[tuple[int, int], list[Member]] = defaultdict(list)
    for unit in units:
        level = 0
        for name in unit.reads:
            source = producer.get(name)
            if source is not None:
                level = max(level, levels[id(source)] + (source.processor != unit.processor))
        levels[id(unit)] = level
        members[(level, unit.processor)].append(unit)
    return [_border(graph, members[key], units) for key in sorted(members)]


def members_of(graph: Graph, placements: Sequence[Placement]) -> list[Member]:
    """The operators and host nodes that the model's outputs need, in topological order."""
    return _needed(graph, _units(graph, placements))


def _units(graph: Graph, placements: Sequence[Placement]) -> list[Member]:
    """All units in topological order (an operator stands where its last node is).

    Nodes inside operators are host units too, for those who read an inner value; the others are not needed.
    """
    last: dict[str, list[tuple[int, Operator]]] = defaultdict(list)
    for processor, placement in enumerate(placements):
        for operator in placement.operators:
            last[operator.nodes[-1]].append((processor, operator))
    units: list[Member] = []
    for node in graph.nodes:
        made = [
            Member(processor, each, None, [tensor.name for tensor in each.inputs], [each.output.name])
            for processor, each in last[node.name]
        ]
        reads = [name for name in (*node.input, *captured_names(node)) if name]
        rest = [name for name in node.output if name and all(name not in unit.writes for unit in made)]
        units += made
        if rest:
            units.append(Member(HOST, None, node, reads, rest))
    return units


def _needed(graph: Graph, units: list[Member]) -> list[Member]:
    needed = set(graph.output_names)
    kept: list[Member] = []
    for unit in reversed(units):
        if needed.intersection(unit.writes):
            needed.update(unit.reads)
            kept.append(unit)
    return kept[::-1]


def _border(graph: Graph, members: list[Member], units: list[Member]) -> Group:
    inside = {id(unit) for unit in members}
    written = {name for unit in members for name in unit.writes}
    read_outside = {name for unit in units if id(unit) not in inside for name in unit.reads}
    read_outside |= set(graph.output_names)
    reads = dict.fromkeys(name for unit in members for name in unit.reads)
    inputs = tuple(name for name in reads if name not in written and name not in graph.initializers)
    outputs = tuple(name for unit in members for name in unit.writes if name in read_outside)
    operators = tuple(unit.operator for unit in members if unit.operator is not None)
    nodes = tuple(unit.node for unit in members if unit.node is not None)
    return Group(members[0].processor, operators, nodes, inputs, outputs)
