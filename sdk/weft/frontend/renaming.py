"""Nodes under other tensor names, with what graphs within them capture."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from weft.frontend.topology import subgraphs

__all__ = ["renamed", "unused_name"]


def unused_name(base: str, taken: set[str]) -> str:
    """`base`, or `base` with the least number behind it that makes it new; from now on it is taken."""
    name, count = base, 0
    while name in taken:
        count += 1
        name = f"{base}__{count}"
    taken.add(name)
    return name


def renamed(node: onnx.NodeProto, names: Mapping[str, str]) -> onnx.NodeProto:
    """A copy whose own tensors, and those that graphs within it capture, have their new names."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.input[:] = [names.get(name, name) for name in node.input]
    copy.output[:] = [names.get(name, name) for name in node.output]
    for inner in subgraphs(copy):
        _rename_captured(inner, names)
    return copy


def _rename_captured(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    own |= {name for node in graph.node for name in node.output}
    visible = {old: new for old, new in names.items() if old not in own}
    for node in graph.node:
        node.input[:] = [visible.get(name, name) for name in node.input]
        for inner in subgraphs(node):
            _rename_captured(inner, visible)
    for value in graph.output:
        value.name = visible.get(value.name, value.name)
