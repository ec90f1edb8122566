"""Nodes that do nothing taken out."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from weft.frontend.graph import Graph, has, is_standard
from weft.frontend.model import Model


@dataclass(frozen=True)
class RemoveIdentities:
    """Removes Identity, Dropout outside training, and Cast to the type that the tensor already has."""

    name: str = "remove-identities"

    def run(self, model: Model) -> Model:
        if not has(model, "Identity", "Cast", "Dropout"):
            return model
        graph = Graph(model)
        for node in list(graph.nodes):
            if _does_nothing(graph, node):
                _bypass(graph, node)
        return graph.finish()


def _does_nothing(graph: Graph, node: onnx.NodeProto) -> bool:
    if is_standard(node, "Identity"):
        return True
    if is_standard(node, "Cast"):
        kind = graph.element_type(node.input[0])
        return kind != 0 and kind == graph.element_type(node.output[0])
    return is_standard(node, "Dropout") and _is_inference(graph, node)


def _is_inference(graph: Graph, node: onnx.NodeProto) -> bool:
    if len(node.output) > 1 and (graph.consumers(node.output[1]) or node.output[1] in graph.output_names):
        return False
    if len(node.input) < 3 or not node.input[2]:
        return True
    training = graph.constant(node.input[2])
    return training is not None and not bool(training.any())


def _bypass(graph: Graph, node: onnx.NodeProto) -> None:
    source, target = node.input[0], node.output[0]
    if target not in graph.output_names:
        graph.remove(node)
        graph.rewire(target, source)
        return
    producer = graph.producer(source)
    if producer is None or source in graph.output_names:
        return
    # The graph's output keeps its name: the node before takes it over.
    graph.remove(node)
    graph.rename_output(producer, source, target)
    graph.rewire(source, target)
