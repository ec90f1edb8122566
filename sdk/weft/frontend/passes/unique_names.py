"""Every node named, no name twice."""

from __future__ import annotations

from dataclasses import dataclass

from weft.frontend.graph import Graph
from weft.frontend.model import Model


@dataclass(frozen=True)
class UniqueNames:
    """Names nameless nodes after operator and position, and numbers repeated names; first come keeps its
    name."""

    name: str = "unique-names"

    def run(self, model: Model) -> Model:
        names = [node.name for node in model.proto.graph.node]
        if all(names) and len(set(names)) == len(names):
            return model
        graph = Graph(model)
        taken: set[str] = set()
        for index, node in enumerate(graph.nodes):
            if not node.name or node.name in taken:
                node.name = graph.fresh_node_name(node.name or f"{node.op_type}_{index}")
            taken.add(node.name)
        return graph.finish()
