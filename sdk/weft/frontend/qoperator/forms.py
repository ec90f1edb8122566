"""The standard nodes that a com.microsoft operator's definition stands for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper

from weft.frontend.graph import Array, Graph, attributes, integer, real

__all__ = ["DOMAIN", "FORMS", "Quantized", "Standard", "standard_form"]

DOMAIN = "com.microsoft"
POOLING_ATTRIBUTES = ("auto_pad", "ceil_mode", "count_include_pad", "dilations", "kernel_shape", "pads", "strides")
MOST_AXES = 16


@dataclass(frozen=True)
class Quantized:
    """A stored tensor with constant parameters: float32 scale and zero point, each () or [channels]."""

    tensor: str
    scale: Array
    zero_point: Array


@dataclass(frozen=True)
class Standard:
    """What a node computes: `operator` with `attributes` on its dequantized `inputs` (`bias`, int32 with the
    scale of the inputs' product, behind them), stored as `output` says. `axis`: of the weights' channels."""

    operator: str
    attributes: dict[str, Any]
    inputs: tuple[Quantized, ...]
    output: Quantized
    bias: str = ""
    axis: int = 0

    def nodes(self, graph: Graph, base: str) -> list[onnx.NodeProto]:
        """The nodes, with their constants added to the graph; the last one makes the output."""
        made: list[onnx.NodeProto] = []
        operands = [self._dequantize(graph, base, each, made) for each in self.inputs]
        if self.bias:
            first, second = self.inputs
            scale = np.asarray(np.float32(first.scale) * second.scale, np.float32)
            zero_point = np.zeros(scale.shape, np.int32)
            operands.append(self._dequantize(graph, base, Quantized(self.bias, scale, zero_point), made))
        result = graph.fresh(f"{base}_real")
        made.append(helper.make_node(self.operator, operands, [result], name=base, **self.attributes))
        parameters = self._parameters(graph, base, self.output)
        name = graph.fresh_node_name(f"{base}_QuantizeLinear")
        made.append(helper.make_node("QuantizeLinear", [result, *parameters], [self.output.tensor], name=name))
        return made

    def _dequantize(self, graph: Graph, base: str, source: Quantized, made: list[onnx.NodeProto]) -> str:
        restored = graph.fresh(f"{source.tensor}_restored")
        name = graph.fresh_node_name(f"{base}_DequantizeLinear")
        axis: dict[str, Any] = (
            {} if source.scale.ndim == 0 else {"axis": 0 if source.tensor == self.bias else self.axis}
        )
        inputs = [source.tensor, *self._parameters(graph, base, source)]
        made.append(helper.make_node("DequantizeLinear", inputs, [restored], name=name, **axis))
        return restored

    def _parameters(self, graph: Graph, base: str, source: Quantized) -> tuple[str, str]:
        scale = graph.add_constant(f"{base}_scale", source.scale)
        return scale, graph.add_constant(f"{base}_zero_point", source.zero_point)


def standard_form(graph: Graph, node: onnx.NodeProto) -> Standard | None:
    """The definition of a node, or None for unknown operators, parameters that are not constant, and
    attributes that have no standard form."""
    form = FORMS.get(node.op_type) if node.domain == DOMAIN and node.output else None
    return None if form is None else form(graph, node)


def _quantized(graph: Graph, names: Sequence[str], output: str = "") -> Quantized | None:
    """The tensor with these names of (tensor, scale, zero point); for an output of (scale, zero point)."""
    tensor, scale_name, zero_name = (output, *names) if output else names
    scale = graph.constant(scale_name)
    zero_point = graph.constant(zero_name) if zero_name else _default_zero_point(graph, tensor)
    if scale is None or zero_point is None or scale.dtype != np.float32 or scale.ndim > 1:
        return None
    if zero_point.dtype not in (np.int8, np.uint8) or zero_point.size not in (1, scale.size):
        return None
    if not np.all(np.isfinite(scale)) or not np.all(scale > 0):
        return None
    if scale.size == 1:
        return Quantized(tensor, scale.reshape(()), zero_point.reshape(()))
    return Quantized(tensor, scale, np.array(np.broadcast_to(zero_point.reshape(-1), scale.shape)))


def _default_zero_point(graph: Graph, tensor: str) -> Array:
    signed = graph.element_type(tensor) == onnx.TensorProto.INT8
    return np.zeros((), np.int8 if signed else np.uint8)


def _per_tensor(*parts: Quantized | None) -> bool:
    return all(part is not None and part.scale.ndim == 0 for part in parts)


def _inputs(node: onnx.NodeProto, count: int) -> list[str]:
    return [*node.input, *[""] * (count - len(node.input))]


def _two_inputs(graph: Graph, node: onnx.NodeProto) -> Standard | None:
    names = _inputs(node, 8)
    first, second = _quantized(graph, names[0:3]), _quantized(graph, names[3:6])
    output = _quantized(graph, names[6:8], node.output[0])
    if first is None or second is None or output is None or not _per_tensor(first, second, output):
        return None
    return Standard(node.op_type.removeprefix("QLinear"), {}, (first, second), output)


def _one_input(graph: Graph, node: onnx.NodeProto, **found: object) -> Standard | None:
    names = _inputs(node, 5)
    source, output = _quantized(graph, names[0:3]), _quantized(graph, names[3:5], node.output[0])
    if source is None or output is None or not _per_tensor(source, output):
        return None
    return Standard(node.op_type.removeprefix("QLinear"), found, (source,), output)


def _leaky_relu(graph: Graph, node: onnx.NodeProto) -> Standard | None:
    return _one_input(graph, node, alpha=real(node, "alpha", 0.01))


def _softmax(graph: Graph, node: onnx.NodeProto) -> Standard | None:
    # Before operator set 13, Softmax works on the tensor flattened at the axis.
    if integer(node, "opset", graph.opset) < 13:
        return None
    return _one_input(graph, node, axis=integer(node, "axis", -1))


def _global_average(graph: Graph, node: onnx.NodeProto) -> Standard | None:
    return None if integer(node, "channels_last", 0) else _one_input(graph, node)


def _average(graph: Graph, node: onnx.NodeProto) -> Standard | None:
    if integer(node, "channels_last", 0):
        return None
    found = attributes(node)
    kept = {
        name: helper.get_attribute_value(found[name])
        for name in POOLING_ATTRIBUTES
        if name in found and not found[name].ref_attr_name
    }
    return _one_input(graph, node, **kept)


def _concat(graph: Graph, node: onnx.NodeProto) -> Standard | None:
    if len(node.input) < 5 or (len(node.input) - 2) % 3:
        return None
    parts = [_quantized(graph, node.input[index : index + 3]) for index in range(2, len(node.input), 3)]
    output = _quantized(graph, node.input[0:2], node.output[0])
    known = tuple(part for part in parts if part is not None)
    axis = integer(node, "axis", 0)
    if output is None or len(known) < len(parts) or not _per_tensor(output, *known) or abs(axis) > MOST_AXES:
        return None
    return Standard("Concat", {"axis": axis}, known, output)


def _gemm(graph: Graph, node: onnx.NodeProto) -> Standard | None:
    names = _inputs(node, 9)
    first, second = _quantized(graph, names[0:3]), _quantized(graph, names[3:6])
    # Without an output scale the result is float32, which only the host can give.
    output = _quantized(graph, names[7:9], node.output[0]) if names[7] else None
    if first is None or second is None or output is None or not _per_tensor(first, output):
        return None
    bias = graph.constant(names[6]) if names[6] else None
    if real(node, "alpha", 1.0) != 1.0 or (names[6] and (bias is None or bias.dtype != np.int32)):
        return None
    transposed = integer(node, "transB", 0)
    name = names[6]
    if bias is not None and bias.ndim != 1:
        if bias.size != (bias.shape[-1] if bias.ndim else 1):
            return None
        name = graph.add_constant(f"{names[6]}_flat", bias.reshape(-1))
    found: dict[str, Any] = {"transA": integer(node, "transA", 0), "transB": transposed}
    return Standard("Gemm", found, (first, second), output, name, 0 if transposed else 1)


FORMS: dict[str, Callable[[Graph, onnx.NodeProto], Standard | None]] = {
    "QGemm": _gemm,
    "QLinearAdd": _two_inputs,
    "QLinearMul": _two_inputs,
    "QLinearSigmoid": _one_input,
    "QLinearLeakyRelu": _leaky_relu,
    "QLinearSoftmax": _softmax,
    "QLinearGlobalAveragePool": _global_average,
    "QLinearAveragePool": _average,
    "QLinearConcat": _concat,
}
