"""Relu and Clip between an operator and its QuantizeLinear, as bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx

from weft.frontend.graph import Graph, is_standard


@dataclass(frozen=True)
class Bounded:
    """A tensor, and the activations applied to it: min(max(tensor, low), high). `nodes` in order of
    execution."""

    tensor: str
    low: float
    high: float
    nodes: tuple[onnx.NodeProto, ...]


def behind(graph: Graph, name: str) -> Bounded:
    """Walks from `name` up through Relu and Clip that nothing else reads."""
    low, high = -math.inf, math.inf
    nodes: list[onnx.NodeProto] = []
    while True:
        node = graph.producer(name)
        found = None if node is None else _bounds(graph, node)
        if node is None or found is None or graph.only_consumer(node.input[0]) is not node:
            return Bounded(name, low, high, tuple(reversed(nodes)))
        low, high = (min(max(bound, low), high) for bound in found)
        nodes.append(node)
        name = node.input[0]


def is_bounding(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a node is a Relu, or a Clip with constant bounds."""
    return _bounds(graph, node) is not None


def _bounds(graph: Graph, node: onnx.NodeProto) -> tuple[float, float] | None:
    """The bounds of a Relu or Clip; None for other nodes and bounds that are no finite or infinite
    constants."""
    if is_standard(node, "Relu"):
        return 0.0, math.inf
    if not is_standard(node, "Clip"):
        return None
    bounds = []
    for index, missing in ((1, -math.inf), (2, math.inf)):
        if len(node.input) <= index or not node.input[index]:
            bounds.append(missing)
            continue
        value = graph.constant(node.input[index])
        if value is None or value.size != 1 or value.dtype != np.float32 or np.isnan(value).any():
            return None
        bounds.append(float(value.reshape(())))
    # ONNX: min(max(x, low), high), so a low bound above the high one yields the high one.
    return min(bounds[0], bounds[1]), bounds[1]
