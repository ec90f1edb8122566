"""Order and nesting of ONNX nodes: subgraphs, what they capture, and a stable topological order."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence

import onnx


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs in a node's attributes (bodies of If, Loop, Scan)."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes of a graph and of all graphs within it."""
    for each in all_graphs(graph):
        yield from each.node


def all_graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and all graphs within it, the outer ones first."""
    yield graph
    for node in graph.node:
        for inner in subgraphs(node):
            yield from all_graphs(inner)


def nesting(nodes: Iterable[onnx.NodeProto], most: int) -> int:
    """How many graphs are within each other in these nodes, counted up to `most`; any depth is safe."""
    depth = 0
    layer = [graph for node in nodes for graph in subgraphs(node)]
    while layer and depth < most:
        layer = [inner for graph in layer for node in graph.node for inner in subgraphs(node)]
        depth += 1
    return depth


def captured_names(node: onnx.NodeProto) -> frozenset[str]:
    """Names of outer tensors that a node's subgraphs read."""
    return frozenset().union(*(_free_names(graph) for graph in subgraphs(node)))


def used_names(node: onnx.NodeProto) -> frozenset[str]:
    """Names of all tensors a node reads, directly or from within its subgraphs."""
    if not node.attribute:
        return frozenset(filter(None, node.input))
    return frozenset(name for name in node.input if name) | captured_names(node)


def needed_nodes(nodes: Sequence[onnx.NodeProto], wanted: Iterable[str]) -> list[onnx.NodeProto]:
    """Of nodes in topological order those that something wanted depends on."""
    names, kept = set(wanted), []
    for node in reversed(nodes):
        if not names.isdisjoint(node.output):
            names |= used_names(node)
            kept.append(node)
    return kept[::-1]


def _free_names(graph: onnx.GraphProto) -> frozenset[str]:
    bound = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    bound |= {output for node in graph.node for output in node.output}
    used = {value.name for value in graph.output}
    for node in graph.node:
        used |= used_names(node)
    return frozenset(used - bound)


def sort_nodes(nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Nodes in topological order, ties broken by their present order; nodes on or behind a cycle are left
    out."""
    if _is_sorted(nodes):
        return list(nodes)
    producer = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    waiting: list[int] = []
    followers: dict[int, list[int]] = {}
    for index, node in enumerate(nodes):
        before = {producer[name] for name in used_names(node) if name in producer}
        waiting.append(len(before))
        for earlier in before:
            followers.setdefault(earlier, []).append(index)
    ready = [index for index, count in enumerate(waiting) if count == 0]
    ordered: list[onnx.NodeProto] = []
    while ready:
        index = heapq.heappop(ready)
        ordered.append(nodes[index])
        for later in followers.get(index, ()):
            waiting[later] -= 1
            if waiting[later] == 0:
                heapq.heappush(ready, later)
    return ordered


def _is_sorted(nodes: Sequence[onnx.NodeProto]) -> bool:
    """Whether nothing is read before it is made."""
    ahead = {name for node in nodes for name in node.output if name}
    for node in nodes:
        if not ahead.isdisjoint(used_names(node)):
            return False
        ahead.difference_update(node.output)
    return True
