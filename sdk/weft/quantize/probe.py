"""A QDQ model whose layers can be switched between quantized and float from run to run, in one session."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from weft.frontend.graph import Array, Graph, is_standard
from weft.frontend.model import Model
from weft.frontend.session import reference_session
from weft.quantize.emit import Emission
from weft.quantize.operators import WEIGHTED, is_selecting, moved_inputs
from weft.quantize.plan import Plan, makers, operand_names
from weft.quantize.ranges import float_value

__all__ = ["Layer", "Probe", "layers_of"]


@dataclass(frozen=True)
class Layer:
    """Nodes that are quantized as one: an operator with what is fused behind it. `output`: its stored tensor;
    `touches`: the stored tensors it reads and makes."""

    name: str
    operator: str
    nodes: tuple[str, ...]
    output: str
    touches: frozenset[str]


def layers_of(graph: Graph, plan: Plan) -> tuple[Layer, ...]:
    """The layers of a plan in order of execution; data movement and MaxPool are no layers."""
    layers = []
    for tensor in plan.activations:
        nodes = makers(graph, plan, tensor) if tensor in plan.produced else ()
        if not nodes or is_selecting(graph, nodes[0]):
            continue
        main = next((node for node in nodes if is_standard(node, *WEIGHTED)), nodes[-1])
        read = {name for node in nodes for name in operand_names(graph, node)} - plan.hidden
        names = tuple(node.name for node in nodes)
        layers.append(Layer(main.name, main.op_type, names, tensor, frozenset(read | {tensor})))
    return tuple(layers)


class Probe:
    """Runs the model with any set of layers quantized and the others in float.

    Behind every DequantizeLinear stands Where(switch, restored, float), so one session runs them all. Weights
    are thereby computed, and ONNX Runtime adds their products in another order than for constant ones:
    results are the models' own up to float32 rounding. Compare runs of one probe with each other. A tensor is
    stored, for all that read it, while a layer that reads or makes it is on; tensors with only data movement
    between them switch together.
    """

    def __init__(self, float_graph: Graph, emission: Emission) -> None:
        self.layers = layers_of(float_graph, emission.plan)
        self._groups = _movement_groups(float_graph, emission.plan)
        self._model_outputs = [value.name for value in emission.model.outputs if value.dtype == "float32"]
        graph = Graph(emission.model)
        self._switches: list[tuple[str, frozenset[str]]] = []
        renamed: dict[str, str] = {}
        for restored in emission.restored:
            node = graph.producer(restored.tensor)
            if node is None:
                continue
            source, switch = restored.source, graph.fresh(f"switch_{len(self._switches)}")
            if restored.constant is not None:
                source = graph.add_constant(f"{restored.source}_float", restored.constant)
            inner = graph.fresh(f"{restored.tensor}_stored")
            graph.rename_output(node, restored.tensor, inner)
            name = graph.fresh_node_name(f"{node.name}_switch")
            graph.add(helper.make_node("Where", [switch, inner, source], [restored.tensor], name=name))
            self._switches.append((switch, self._owners(restored.activation, restored.node)))
            if restored.activation:
                renamed[restored.activation] = restored.tensor
        self._tensors = {layer.name: renamed[layer.output] for layer in self.layers}
        self._session = reference_session(self._with_switches(graph))

    def run(
        self, sample: Mapping[str, Array], quantized: Collection[str], watched: Collection[str] = ()
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """The model's float outputs by name, and the outputs of the layers in `watched` by layer, while the
        layers in `quantized` are."""
        wanted = frozenset(quantized)
        feeds = {name: np.asarray(bool(owners & wanted)) for name, owners in self._switches}
        names = [*self._model_outputs, *(self._tensors[layer] for layer in watched)]
        values = [np.asarray(value) for value in self._session.run(names, {**sample, **feeds})]
        count = len(self._model_outputs)
        return (
            dict(zip(self._model_outputs, values[:count], strict=True)),
            dict(zip(watched, values[count:], strict=True)),
        )

    def _owners(self, activation: str, node: str) -> frozenset[str]:
        """The layers during which a tensor is stored, or a node's constant quantized."""
        if not activation:
            return frozenset(layer.name for layer in self.layers if node in layer.nodes)
        group = self._groups.get(activation, frozenset({activation}))
        return frozenset(layer.name for layer in self.layers if layer.touches & group)

    def _with_switches(self, graph: Graph) -> Model:
        model = graph.finish()
        proto = onnx.ModelProto()
        proto.CopyFrom(model.proto)
        for name, _ in self._switches:
            proto.graph.input.append(helper.make_tensor_value_info(name, TensorProto.BOOL, []))
        present = {value.name for value in proto.graph.output}
        for tensor in dict.fromkeys(self._tensors.values()):
            if tensor not in present:
                proto.graph.output.append(float_value(tensor))
        return model.with_proto(proto)


def _movement_groups(graph: Graph, plan: Plan) -> dict[str, frozenset[str]]:
    """By stored tensor: it and all that only data movement separates from it."""
    groups: dict[str, set[str]] = {name: {name} for name in plan.activations}
    for node in graph.nodes:
        if node.name not in plan.nodes or not is_selecting(graph, node):
            continue
        names = [name for name in (*moved_inputs(node), *node.output) if name in groups]
        union = set().union(*(groups[name] for name in names))
        groups.update(dict.fromkeys(union, union))
    return {name: frozenset(group) for name, group in groups.items()}
