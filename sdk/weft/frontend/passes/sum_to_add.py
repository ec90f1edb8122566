"""Sum of two tensors written as Add."""

from __future__ import annotations

from dataclasses import dataclass

from weft.frontend.graph import Graph, is_standard
from weft.frontend.model import Model


@dataclass(frozen=True)
class SumToAdd:
    """Sum with two inputs becomes Add, and with one Identity: fewer operators for everything that follows."""

    name: str = "sum-to-add"

    def run(self, model: Model) -> Model:
        graph = Graph(model)
        for node in graph.nodes:
            if is_standard(node, "Sum") and len(node.input) <= 2:
                node.op_type = "Add" if len(node.input) == 2 else "Identity"
        return graph.finish()
