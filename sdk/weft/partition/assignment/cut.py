"""Two processors: the assignment is a minimum cut, found exactly (Stone 1977, with a hyperedge for every tensor)."""

from __future__ import annotations

from weft.errors import CompileError
from weft.partition.assignment.flow import Edge, source_side
from weft.partition.assignment.problem import Assignment, Problem, Tensor

__all__ = ["cut"]

SOURCE, SINK, FIRST = 0, 1, 2
"""Nodes of the network: the first processor is the source's side, the second the sink's; units from FIRST on."""


def cut(problem: Problem) -> Assignment:
    """The cheapest assignment to two processors. Of several, the one with the most units on the first processor.

    A unit u pays its cost on the first processor with an edge u → sink and the one on the second with source → u. A
    tensor gets an auxiliary node for each destination with several readers: "needed on q". Edges that can never be cut
    tie the readers to it, and one edge between producer and node has the cost of the move: paid once.
    Raises CompileError if no assignment is possible.
    """
    if len(problem.processors) != 2:
        raise CompileError("a minimum cut divides between two processors")
    never = problem.total + 1
    edges: list[Edge] = []
    for index, unit in enumerate(problem.units):
        first, second = (never if cost is None else cost for cost in unit.costs)
        shared = min(first, second)  # is paid anyway
        edges += [(FIRST + index, SINK, first - shared), (SOURCE, FIRST + index, second - shared)]
    nodes = FIRST + len(problem.units)
    for tensor in problem.tensors:
        edges += _tensor_edges(tensor, nodes, never)
        nodes += 2
    side = source_side(nodes, [edge for edge in edges if edge[2] > 0], SOURCE, SINK, len(problem.units) * never)
    choice = tuple(0 if side[FIRST + index] else 1 for index in range(len(problem.units)))
    cost = problem.cost(choice)
    if cost is None:
        raise CompileError("no assignment is possible: " + _conflict(problem))
    return Assignment(choice, cost)


def _tensor_edges(tensor: Tensor, auxiliary: int, never: int) -> list[Edge]:
    producer = FIRST + tensor.producer
    readers = [FIRST + reader for reader in dict.fromkeys(tensor.readers) if reader != tensor.producer]
    forward, backward = (never if cost is None else cost for cost in (tensor.moves[0][1], tensor.moves[1][0]))
    if len(readers) == 1:
        return [(producer, readers[0], forward), (readers[0], producer, backward)]
    if not readers:
        return []
    edges = [(producer, auxiliary, forward), (auxiliary + 1, producer, backward)]
    for reader in readers:
        edges += [(auxiliary, reader, never), (reader, auxiliary + 1, never)]
    return edges


def _conflict(problem: Problem) -> str:
    for unit in problem.units:
        if all(cost is None for cost in unit.costs):
            return f"no processor can run {unit.name!r}"
    return "a tensor would have to move where it cannot"
