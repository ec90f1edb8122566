"""Bias correction: the mean error that quantization causes in an output channel goes into the bias.

After M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (ICCV 2019),
section 4.2, in its empirical form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from weft.frontend.graph import Array, Graph, is_standard, real, set_attribute
from weft.frontend.model import Model
from weft.quantize.emit import Emission, Restored
from weft.quantize.operators import WEIGHTED
from weft.quantize.parameters import ActivationParameters
from weft.quantize.plan import is_bias_add
from weft.quantize.ranges import Runner

__all__ = ["correct_biases"]


@dataclass(frozen=True)
class _Branch:
    """A weighted node of the float graph, the node that holds its bias, and the tensor of its errors."""

    node: onnx.NodeProto
    holder: onnx.NodeProto
    difference: str


def correct_biases(model: Model, emission: Emission, samples: Sequence[Mapping[str, Array]]) -> Model:
    """The float model with biases that make up for the mean shift of each output channel.

    Every quantized Conv, ConvTranspose, Gemm and MatMul with constant weights is run beside itself on the
    float model's own activations, once in float and once with quantized operands, all in one pass over the
    samples. A layer's shift is thereby its own: corrections do not depend on each other. A shift that the
    samples do not tell from chance is shrunk by max(0, 1 - standard error^2 / shift^2). Convolutions and Gemms
    without a bias get one; a MatMul without an Add behind it has no place for one and stays.
    """
    graph = Graph(model)
    branches = _add_branches(graph, emission)
    if not branches or not samples:
        return model
    shifts: dict[str, list[npt.NDArray[np.float64]]] = {branch.difference: [] for branch in branches}
    graph.output_names |= shifts.keys()  # so that `finish` keeps what leads there
    for values in Runner(graph.finish(), list(shifts), 0, None).run(samples):
        for branch in branches:
            difference = values[branch.difference].astype(np.float64)
            axis = _channel_axis(branch.node, difference.ndim)
            others = tuple(index for index in range(difference.ndim) if index != axis)
            shifts[branch.difference].append(difference.mean(axis=others))
    corrected = Graph(model)
    by_name = {node.name: node for node in corrected.nodes}
    for branch in branches:
        shift = _significant(np.stack(shifts[branch.difference]))
        if np.any(shift) and np.all(np.isfinite(shift)):
            _shift_bias(corrected, by_name[branch.holder.name], by_name[branch.node.name], shift)
    return corrected.finish()


def _significant(shifts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The mean over samples [samples, channels], shrunk by its uncertainty (positive-part James-Stein)."""
    mean = shifts.mean(axis=0)
    if len(shifts) < 2:
        return np.asarray(mean)
    variance = shifts.var(axis=0, ddof=1) / len(shifts)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(mean != 0, mean * np.maximum(0.0, 1.0 - variance / mean**2), 0.0)


def _channel_axis(node: onnx.NodeProto, rank: int) -> int:
    return 1 if node.op_type in ("Conv", "ConvTranspose") else rank - 1


def _add_branches(graph: Graph, emission: Emission) -> list[_Branch]:
    """Puts beside each correctable node its quantized self on the same float inputs, and their difference."""
    quantized = Graph(emission.model)
    restored = {each.tensor: each for each in emission.restored}
    copies: dict[str, str] = {}
    branches = []
    for node in list(graph.nodes):
        holder = _bias_holder(graph, node)
        if holder is None or node.name not in emission.plan.nodes:
            continue
        twin = next(each for each in quantized.nodes if each.name == node.name)
        if not all(name in restored for name in twin.input[:2]):
            continue
        copy = onnx.NodeProto()
        copy.CopyFrom(twin)
        copy.name = graph.fresh_node_name(f"{node.name}_quantized")
        copy.input[:] = [_operand(graph, quantized, restored, emission.parameters, copies, name) for name in twin.input]
        copy.output[:] = [graph.fresh(f"{node.output[0]}_from_quantized")]
        difference = graph.fresh(f"{node.output[0]}_shift")
        graph.add(copy)
        name = graph.fresh_node_name(f"{node.name}_shift")
        graph.add(helper.make_node("Sub", [node.output[0], copy.output[0]], [difference], name=name))
        graph.set_type(difference, onnx.TensorProto.FLOAT, graph.shape(node.output[0]) or ())
        branches.append(_Branch(node, holder, difference))
    return branches


def _bias_holder(graph: Graph, node: onnx.NodeProto) -> onnx.NodeProto | None:
    """The node whose constant operand is the bias of `node`, or can become it; None where there is no place."""
    if not is_standard(node, *WEIGHTED) or graph.constant(node.input[1]) is None:
        return None
    if node.op_type != "MatMul":
        return None if node.op_type == "Gemm" and real(node, "beta", 1.0) == 0.0 else node
    reader = graph.only_consumer(node.output[0])
    return reader if reader is not None and is_bias_add(graph, reader) is node else None


def _operand(
    graph: Graph,
    quantized: Graph,
    restored: Mapping[str, Restored],
    parameters: Mapping[str, ActivationParameters],
    copies: dict[str, str],
    name: str,
) -> str:
    """The tensor of the float graph that holds what the quantized node would read, were its inputs exact."""
    found = restored.get(name)
    if found is None or name in copies:
        return copies.get(name, name)
    if found.activation:
        copies[name] = _stored_and_restored(graph, found.activation, parameters[found.activation])
    else:
        copies[name] = graph.add_constant(f"{found.source}_restored", restored_constant(quantized, name))
    return copies[name]


def restored_constant(quantized: Graph, name: str) -> Array:
    """The float32 values of a quantized constant behind a DequantizeLinear."""
    node = quantized.producer(name)
    assert node is not None
    stored, scale, zero_point = (quantized.constant(each) for each in node.input)
    assert stored is not None and scale is not None and zero_point is not None
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
    extents = [-1 if index == axis else 1 for index in range(stored.ndim)] if scale.ndim else []
    steps = stored.astype(np.int64) - zero_point.astype(np.int64).reshape(extents)
    return np.asarray(steps.astype(np.float32) * scale.reshape(extents), np.float32)


def _stored_and_restored(graph: Graph, tensor: str, parameters: ActivationParameters) -> str:
    scale = graph.add_constant(f"{tensor}_scale", np.asarray(parameters.scale))
    zero_point = graph.add_constant(f"{tensor}_zero_point", np.asarray(parameters.zero_point))
    stored, restored = graph.fresh(f"{tensor}_stored"), graph.fresh(f"{tensor}_restored")
    for kind, source, result in (("QuantizeLinear", tensor, stored), ("DequantizeLinear", stored, restored)):
        name = graph.fresh_node_name(f"{tensor}_{kind}")
        graph.add(helper.make_node(kind, [source, scale, zero_point], [result], name=name))
    return restored


def _shift_bias(graph: Graph, holder: onnx.NodeProto, node: onnx.NodeProto, shift: npt.NDArray[np.float64]) -> None:
    if holder is not node:
        index = 1 if holder.input[0] == node.output[0] else 0
        _add_to_constant(graph, holder, index, shift)
    elif len(node.input) > 2 and node.input[2]:
        factor = real(node, "beta", 1.0) if node.op_type == "Gemm" else 1.0
        _add_to_constant(graph, node, 2, shift / factor)
    else:
        biased = onnx.NodeProto()
        biased.CopyFrom(node)
        biased.input[:] = [*node.input[:2], graph.add_constant(f"{node.name}_bias", shift.astype(np.float32))]
        if node.op_type == "Gemm":
            set_attribute(biased, "beta", 1.0)
        graph.remove(node)
        graph.add(biased)


def _add_to_constant(graph: Graph, node: onnx.NodeProto, index: int, shift: npt.NDArray[np.float64]) -> None:
    bias = graph.constant(node.input[index])
    assert bias is not None
    moved = (bias.astype(np.float64).reshape(-1) + shift).astype(np.float32)
    shape = bias.shape if bias.size == moved.size else moved.shape
    graph.replace_input(node, index, graph.add_constant(f"{node.input[index]}_corrected", moved.reshape(shape)))
