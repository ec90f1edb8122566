"""Values that host graphs would make, not computed but kept as the graphs that make them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import onnx
from onnx import helper

from weft.frontend.renaming import renamed
from weft.frontend.topology import subgraphs, used_names
from weft.ir.device_control import Unjoinable
from weft_runtime.executable import HostGraph

__all__ = ["Composite", "DeferredValues"]

MOST_NODES = 256


@dataclass(frozen=True)
class Composite:
    """The nodes that make one value of others which no host graph makes, as a model with names of its own.

    `inputs`: the program's names by the model's. `output`: the model's name of the value.
    """

    model: onnx.ModelProto
    inputs: Mapping[str, str]
    output: str


@dataclass(frozen=True)
class _Maker:
    """A host graph, and the program's names by its own."""

    graph: HostGraph
    names: Mapping[str, str]


class DeferredValues:
    """By the program's names, what makes them."""

    def __init__(self) -> None:
        self._makers: dict[str, _Maker] = {}
        self._models: dict[str, onnx.ModelProto] = {}

    def add(self, graph: HostGraph, names: Mapping[str, str]) -> None:
        """Defers a host graph's outputs; `names` are the program's names by its own."""
        maker = _Maker(graph, dict(names))
        self._makers.update({names[name]: maker for name in graph.outputs})

    def __contains__(self, name: str) -> bool:
        return name in self._makers

    def composite(self, name: str) -> Composite:
        """What makes a deferred value. Its text is the same for the same computation, whatever the program calls its
        values. Raises Unjoinable where that has subgraphs, or is large."""
        builder = _Builder(self._makers, self._model)
        builder.collect(name)
        return builder.finish(name)

    def _model(self, graph: HostGraph) -> onnx.ModelProto:
        if graph.name not in self._models:
            self._models[graph.name] = onnx.load_from_string(graph.model)
        return self._models[graph.name]


class _Builder:
    def __init__(self, makers: Mapping[str, _Maker], load: Callable[[HostGraph], onnx.ModelProto]) -> None:
        self._makers, self._load = makers, load
        self._values: dict[str, str] = {}
        self._inputs: dict[str, onnx.ValueInfoProto] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._models: list[onnx.ModelProto] = []

    def collect(self, name: str) -> None:
        """Adds the nodes that make a value, those of other host graphs first."""
        maker = self._makers[name]
        own = next(inner for inner in maker.graph.outputs if maker.names[inner] == name)
        model = self._load(maker.graph)
        needed = _needed(model.graph, own)
        place = len(self._models)
        self._models.append(model)
        used = {each for node in needed for each in used_names(node)} | {own}
        names = {each: f"v{place}/{each}" for node in needed for each in node.output if each}
        for value in model.graph.input:
            if value.name in used and value.name in maker.graph.inputs:
                names[value.name] = self._given(maker.names[value.name], value.type)
        for tensor in model.graph.initializer:
            if tensor.name in used:
                names[tensor.name] = f"c{place}/{tensor.name}"
                copy = onnx.TensorProto()
                copy.CopyFrom(tensor)
                copy.name = names[tensor.name]
                self._constants.append(copy)
        for node in needed:
            copied = renamed(node, names)
            copied.name = f"n{len(self._nodes)}"
            self._nodes.append(copied)
        if len(self._nodes) > MOST_NODES:
            raise Unjoinable(f"its condition is computed by more than {MOST_NODES} nodes")
        self._values[name] = names[own]

    def finish(self, name: str) -> Composite:
        """The model that makes the value."""
        versions = {tuple((each.domain, each.version) for each in model.opset_import) for model in self._models}
        if len(versions) != 1:
            raise Unjoinable("the parts of its condition are written for different operator sets")
        output = self._values[name]
        given = [
            onnx.ValueInfoProto(name=f"input_{place}", type=each.type)
            for place, each in enumerate(self._inputs.values())
        ]
        graph = helper.make_graph(self._nodes, "condition", given, [onnx.ValueInfoProto(name=output)], self._constants)
        first = self._models[0]
        model = helper.make_model(
            graph, opset_imports=list(first.opset_import), ir_version=first.ir_version, producer_name="weft"
        )
        return Composite(model, {f"input_{place}": each for place, each in enumerate(self._inputs)}, output)

    def _given(self, name: str, kind: onnx.TypeProto) -> str:
        """The model's name of a value from outside of the host graph."""
        if name in self._makers and name not in self._values:
            self.collect(name)
        if name not in self._values:
            self._values[name] = f"input_{len(self._inputs)}"
            self._inputs[name] = onnx.ValueInfoProto(name=name, type=kind)
        return self._values[name]


def _needed(graph: onnx.GraphProto, output: str) -> list[onnx.NodeProto]:
    """The nodes that an output depends on, in order."""
    wanted, kept = {output}, []
    for node in reversed(graph.node):
        if not wanted.isdisjoint(node.output):
            kept.append(node)
            wanted |= used_names(node)
    if any(next(subgraphs(node), None) is not None for node in kept):
        raise Unjoinable("its condition is computed in subgraphs")
    return kept[::-1]
