"""The QDQ model: QuantizeLinear and DequantizeLinear put around what the plan names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from weft.frontend.graph import Array, Graph, integer, is_standard, real, remove_attribute, set_attribute
from weft.frontend.model import Model
from weft.quantize.operators import BINARY
from weft.quantize.options import QuantizeOptions, StorageType
from weft.quantize.parameters import (
    ActivationParameters,
    WeightParameters,
    activation_parameters,
    quantize_activation,
    quantize_bias,
    quantize_weights,
)
from weft.quantize.plan import Plan, is_bias_add, operand_names


@dataclass(frozen=True)
class Restored:
    """A tensor that a DequantizeLinear of the emitted model makes, and the float tensor it stands for.

    `activation`: the stored tensor's name in the float graph, or "" for the constant operand `index` of the
    node `node`, whose float value is `constant`.
    """

    tensor: str
    source: str
    activation: str
    node: str
    index: int
    constant: Array | None


@dataclass(frozen=True)
class Emission:
    """A QDQ model, the plan and the parameters it was made by, and which of its tensors stand for which
    of the float model's."""

    model: Model
    plan: Plan
    parameters: Mapping[str, ActivationParameters]
    restored: tuple[Restored, ...]


class Emitter:
    """Rewrites one float graph; `emit` does all of it, and `restored` says afterwards what stands for what."""

    def __init__(
        self,
        graph: Graph,
        plan: Plan,
        parameters: Mapping[str, ActivationParameters],
        options: QuantizeOptions,
        floors: Mapping[str, float],
    ) -> None:
        self._graph = graph
        self._plan = plan
        self._parameters = parameters
        self._options = options
        self._floors = floors
        self.restored: list[Restored] = []
        self._scales: dict[bytes, str] = {}
        self._dequantized: dict[str, str] = {}
        self._constants: dict[tuple[str, int | None, bytes, bytes, bytes], str] = {}

    def emit(self) -> Model:
        """The QDQ model."""
        nodes = [node for node in self._graph.nodes if node.name in self._plan.nodes]
        for node in nodes:
            self._quantize_constants(node)
        for name in self._plan.activations:
            self._store(name)
        for node in nodes:
            for index, name in enumerate(node.input):
                if name in self._dequantized and name in operand_names(self._graph, node):
                    self._graph.replace_input(node, index, self._dequantized[name])
        return self._graph.finish()

    def _store(self, name: str) -> None:
        """Puts Q and DQ behind a tensor.

        Behind a quantized node every reader gets the dequantized tensor, so that nothing else reads what the
        integer operator replaces; elsewhere readers that stay float keep the float tensor.
        """
        graph, produced = self._graph, name in self._plan.produced
        source, restored = name, graph.fresh(f"{name}_dequantized")
        if produced and name in graph.output_names:
            producer = graph.producer(name)
            assert producer is not None
            source, restored = graph.fresh(f"{name}_float"), name
            graph.rename_output(producer, name, source)
        elif produced:
            graph.rewire(name, restored)
        else:
            self._dequantized[name] = restored
        self.restored.append(Restored(restored, source, name, "", 0, None))
        parameters = self._parameters[name]
        scale, zero_point = self._names(parameters.scale, parameters.zero_point)
        stored = graph.fresh(f"{name}_quantized")
        for kind, sources, result in (
            ("QuantizeLinear", [source, scale, zero_point], stored),
            ("DequantizeLinear", [stored, scale, zero_point], restored),
        ):
            graph.add(helper.make_node(kind, sources, [result], name=graph.fresh_node_name(f"{name}_{kind}")))

    def _quantize_constants(self, node: onnx.NodeProto) -> None:
        if node.name in self._plan.functions:
            return
        if is_standard(node, "Conv", "ConvTranspose", "MatMul", "Gemm"):
            self._quantize_weighted(node)
        elif is_standard(node, "Concat", *BINARY) and is_bias_add(self._graph, node) is None:
            output = self._parameters.get(node.output[0]) if node.op_type == "Concat" else None
            for index, name in enumerate(node.input):
                if name in self._graph.constants:
                    self._quantize_operand(node, index, output)

    def _quantize_operand(self, node: onnx.NodeProto, index: int, given: ActivationParameters | None) -> None:
        """A constant operand stored like an activation; a Concat's in its output's scale."""
        values = self._graph.constant(node.input[index])
        if values is None or values.dtype != np.float32:
            return
        parameters = given or activation_parameters(
            max(float(values.min(initial=0.0)), self._floors.get(node.input[index], -math.inf)),
            float(values.max(initial=0.0)),
            self._options.activation_type,
            self._options.activation_symmetry,
        )
        stored = quantize_activation(values, parameters)
        self._replace(node, index, stored, np.asarray(parameters.scale), np.asarray(parameters.zero_point), None)

    def _quantize_weighted(self, node: onnx.NodeProto) -> None:
        graph = self._graph
        if node.input[0] in graph.constants:
            self._quantize_operand(node, 0, None)
        if node.op_type == "Gemm":
            _absorb_factors(graph, node)
        weights = graph.constant(node.input[1])
        if weights is None:
            return
        bias, holder, position = self._bias(node)
        source = self._parameters.get(node.input[0])
        axis = _channel_axis(node, weights) if self._is_per_channel else None
        input_scale = None if source is None else source.scale
        storage, symmetry = self._weight_type(node), self._options.weight_symmetry
        quantized = quantize_weights(weights, axis, bias, input_scale, storage, symmetry)
        self._replace(node, 1, quantized.stored, quantized.scale, quantized.zero_point, axis)
        if bias is not None and source is not None:
            self._quantize_bias(holder, position, bias, source, quantized)

    @property
    def _is_per_channel(self) -> bool:
        return self._options.weight_granularity == "channel" and self._options.weight_symmetry == "symmetric"

    def _weight_type(self, node: onnx.NodeProto) -> StorageType:
        chosen = self._options.nodes.get(node.name)
        return self._options.weight_type if chosen is None or chosen.weight_type is None else chosen.weight_type

    def _bias(self, node: onnx.NodeProto) -> tuple[Array | None, onnx.NodeProto, int]:
        """The bias of a weighted node, one value per output channel, with the node and input that hold it."""
        graph = self._graph
        if len(node.input) > 2 and node.input[2]:
            bias, weights = graph.constant(node.input[2]), graph.constant(node.input[1])
            if bias is None or weights is None:
                return None, node, 2
            if node.op_type == "Gemm":
                columns = weights.shape[0 if integer(node, "transB", 0) else 1]
                bias = np.broadcast_to(bias.reshape(-1), (columns,))
            return bias, node, 2
        reader = graph.only_consumer(node.output[0])
        if reader is not None and reader.name in self._plan.nodes and is_bias_add(graph, reader) is node:
            index = 1 if reader.input[0] == node.output[0] else 0
            return graph.constant(reader.input[index]), reader, index
        return None, node, 2

    def _quantize_bias(
        self,
        node: onnx.NodeProto,
        index: int,
        bias: Array,
        source: ActivationParameters,
        weights: WeightParameters,
    ) -> None:
        stored, scale = quantize_bias(bias, source.scale, weights.scale)
        if weights.scale.ndim == 0:
            scale = np.asarray(scale.reshape(-1)[0])
        self._replace(node, index, stored, scale, np.zeros(scale.shape, np.int32), 0 if scale.ndim else None)

    def _replace(
        self,
        node: onnx.NodeProto,
        index: int,
        stored: Array,
        scale: Array,
        zero_point: Array,
        axis: int | None,
    ) -> None:
        """Makes an input of a node read a quantized constant through DequantizeLinear, one for all readers of equal
        values (the steps of an unrolled recurrence share their weights)."""
        graph, base = self._graph, node.input[index]
        key = (base, axis, stored.tobytes(), scale.tobytes(), zero_point.tobytes())
        if key in self._constants:
            graph.replace_input(node, index, self._constants[key])
            return
        name = graph.add_constant(f"{base}_quantized", stored)
        restored = graph.fresh(f"{base}_dequantized")
        self.restored.append(Restored(restored, base, "", node.name, index, graph.constant(base)))
        restoring = helper.make_node(
            "DequantizeLinear",
            [name, *self._names(scale, zero_point)],
            [restored],
            name=graph.fresh_node_name(f"{base}_DequantizeLinear"),
        )
        if axis is not None and scale.ndim:
            set_attribute(restoring, "axis", axis)
        graph.add(restoring)
        graph.replace_input(node, index, restored)
        self._constants[key] = restored

    def _names(self, scale: object, zero_point: object) -> tuple[str, str]:
        return self._shared("scale", np.asarray(scale)), self._shared("zero_point", np.asarray(zero_point))

    def _shared(self, base: str, value: Array) -> str:
        """The name of a constant, one for all uses of the same value."""
        key = f"{base}{value.dtype}{value.shape}".encode() + value.tobytes()
        if key not in self._scales:
            self._scales[key] = self._graph.add_constant(f"weft_{base}_{len(self._scales)}", value)
        return self._scales[key]


def _channel_axis(node: onnx.NodeProto, weights: Array) -> int | None:
    """The axis of the output channels, or None where one scale must serve all."""
    if node.op_type == "Conv":
        return 0
    if node.op_type == "ConvTranspose":
        return 1 if integer(node, "group", 1) == 1 else None
    if node.op_type == "Gemm":
        return 0 if integer(node, "transB", 0) else 1
    return 1 if weights.ndim == 2 else None


def _absorb_factors(graph: Graph, node: onnx.NodeProto) -> None:
    """Multiplies Gemm's alpha and beta into its constant operands: integer products have no such factors."""
    for index, factor in ((1, "alpha"), (2, "beta")):
        value = real(node, factor, 1.0)
        operand = graph.constant(node.input[index]) if len(node.input) > index and node.input[index] else None
        if operand is None:
            continue
        if value != 1.0:
            scaled = (operand.astype(np.float64) * value).astype(np.float32)
            graph.replace_input(node, index, graph.add_constant(f"{node.input[index]}_{factor}", scaled))
        remove_attribute(node, factor)


__all__ = ["Emission", "Emitter", "Restored"]
