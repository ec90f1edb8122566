"""The editable graph keeps its index of readers through any sequence of edits."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from weft.frontend import load
from weft.frontend.graph import Graph

WIDTHS = (2, 31, 32, 90)  # nodes of 32 inputs and more have an index of their own


def readers_of_all(graph):
    """Names of the readers of each tensor, found by looking at every input."""
    return {
        name: sorted(node.name for node in graph.nodes if name in node.input)
        for name in (*(f"t{index}" for index in range(12)), "x")
    }


@pytest.mark.parametrize("seed", range(20))
def test_readers_are_right_after_random_edits(make_model, seed):
    random = np.random.default_rng(seed)
    nodes = [helper.make_node("Relu", ["x"], [f"t{index}"], name=f"make{index}") for index in range(12)]
    for width in WIDTHS:
        names = [f"t{index}" for index in random.integers(0, 12, width)]
        nodes.append(helper.make_node("Sum", names, [f"y{width}"], name=f"sum{width}"))
    outputs = [f"y{width}" for width in WIDTHS]
    graph = Graph(load(make_model(nodes, {"x": (TensorProto.FLOAT, [1, 2])}, outputs, {})))
    for _ in range(40):
        old, new = (f"t{index}" for index in random.integers(0, 12, 2))
        if random.random() < 0.5 and old != new:
            graph.rewire(old, new)
        else:
            wide = graph.producer(outputs[random.integers(len(WIDTHS))])
            graph.replace_input(wide, int(random.integers(len(wide.input))), new)
        for name, expected in readers_of_all(graph).items():
            assert sorted(node.name for node in graph.consumers(name)) == expected
