"""QLinearMatMul [→ integer Clip] [→ Transpose] → RowProduct (constant matrix) or MatrixProduct."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import onnx

from weft.ir.graph import Graph, attributes
from weft.ir.operators import Convolution, Form, RowProduct, Tensor
from weft.ir.patterns import convolution
from weft.ir.patterns.common import Refusal, clamp_behind, integers, quantized_behind, scalar, tensor
from weft.ir.products import MatrixProduct, Operand, lane_axis

__all__ = ["match"]

Axes = tuple[int, ...]
MAX_HOPS = 8


def match(graph: Graph, node: onnx.NodeProto) -> Convolution | MatrixProduct:
    """Any QLinearMatMul of ranks 2 to 4 whose scales are per tensor (per column too for a constant matrix)."""
    weights = graph.constant(node.input[3])
    if weights is not None and weights.ndim == 2 and graph.constant(node.input[0]) is None:
        return _rows(graph, node)
    a = _operand(graph, node, 0, (-1,))
    b = _operand(graph, node, 3, (-1, -2))
    inputs = tuple(each.tensor for each in (a, b) if each.constant is None)
    if not inputs:
        raise Refusal("both of its operands are constant")
    y = tensor(graph, node.output[0], node.input[6], node.input[7])
    if len(y.shape) != max(len(a.axes), len(b.axes)):
        raise Refusal(f"{node.output[0]!r} does not have the rank of its operands")
    nodes, name, low, high = clamp_behind(graph, y.name, y.limits)
    y = dataclasses.replace(y, name=name)
    behind, output, axes = _transposed_behind(graph, y)
    multiplier = np.float32(a.tensor.scale * b.tensor.scale) / y.scale
    if not np.isfinite(multiplier):
        raise Refusal("its requantization multiplier is not finite")
    return MatrixProduct(
        node.name, (node.name, *nodes, *behind), inputs, output, a, b, axes, np.float32(multiplier), low, high
    )


def _rows(graph: Graph, node: onnx.NodeProto) -> Convolution:
    """An activation times a constant matrix: rows of the activation are positions of a 1×1 convolution."""
    found = convolution.match_matmul(graph, node)
    fields = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    return RowProduct(**fields) if len(found.inputs[0].shape) > 2 else found


def _operand(graph: Graph, node: onnx.NodeProto, index: int, positions: tuple[int, ...]) -> Operand:
    """The operand at that input; `positions`: the axes (from the end) that may lie in the lanes."""
    name, scale, zero = node.input[index : index + 3]
    values = graph.constant(name)
    if values is not None:
        return _constant(graph, name, scale, zero, values, "ab"[index > 0])
    described = tensor(graph, name, scale, zero)
    if len(described.shape) < 2:
        raise Refusal("products with vectors stay on the host")
    plain = Operand(described, tuple(range(len(described.shape))))
    source, axes = _transposed_source(graph, name, plain.axes)
    if source == name:
        return plain
    moved = Operand(dataclasses.replace(described, name=source, shape=_permuted_back(described.shape, axes)), axes)
    return moved if any(moved.lane_position(form) in positions for form in Form) else plain


def _constant(graph: Graph, name: str, scale: str, zero: str, values: npt.NDArray[np.generic], side: str) -> Operand:
    described = Tensor(
        name, values.shape, str(values.dtype), np.float32(scalar(graph, scale, f"scale of {side}")),
        int(scalar(graph, zero, f"zero point of {side}")), Form.MATRIX,
    )  # fmt: skip
    if not 2 <= values.ndim <= 4 or 0 in values.shape:
        raise Refusal(f"a constant operand of shape {list(values.shape)} stays on the host")
    return Operand(described, tuple(range(values.ndim)), values)


def _permuted_back(shape: tuple[int, ...], axes: Axes) -> tuple[int, ...]:
    """The shape whose transposition by `axes` is `shape`."""
    return tuple(shape[axes.index(axis)] for axis in range(len(axes)))


def _transposed_source(graph: Graph, name: str, axes: Axes) -> tuple[str, Axes]:
    """Where a value comes from through Transposes that keep its q: the source, and its axes in the value's order."""
    for _ in range(MAX_HOPS):
        node = graph.producer.get(name)
        quantize = None
        if node is not None and node.op_type == "QuantizeLinear":
            quantize, node = node, graph.producer.get(node.input[0])
        if node is None or node.op_type != "Transpose":
            break
        source = node.input[0]
        if quantize is not None:
            dequantize = graph.producer.get(source)
            if dequantize is None or not _same_parameters(graph, dequantize, quantize):
                break
            source = dequantize.input[0]
        if source in graph.initializers or graph.shape(source) is None:
            break
        permutation = _permutation(node, len(axes))
        name, axes = source, tuple(permutation[axis] for axis in axes)
    return name, axes


def _transposed_behind(graph: Graph, y: Tensor) -> tuple[list[str], Tensor, Axes]:
    """One Transpose behind the result (its only reader) that leaves columns in the lanes of some form."""
    plain = tuple(range(len(y.shape)))
    node, nodes = graph.only_consumer(y.name), []
    dequantize = None
    if node is not None and node.op_type == "DequantizeLinear":
        dequantize = node
        nodes.append(node.name)
        node = graph.only_consumer(node.output[0])
    if node is None or node.op_type != "Transpose":
        return [], y, plain
    nodes.append(node.name)
    name = node.output[0]
    if dequantize is not None:
        try:
            behind, output, _, _ = quantized_behind(graph, name)
        except Refusal:
            return [], y, plain
        if len(behind) > 1 or not _same_parameters(graph, dequantize, graph.by_name[behind[0]]):
            return [], y, plain
        nodes, name = [*nodes, *behind], output.name
    axes = _permutation(node, len(plain))
    moved = dataclasses.replace(y, name=name, shape=tuple(y.shape[axis] for axis in axes))
    if all(axes[lane_axis(moved, form)] != plain[-1] for form in Form):
        return [], y, plain
    return nodes, moved, axes


def _same_parameters(graph: Graph, dequantize: onnx.NodeProto, quantize: onnx.NodeProto) -> bool:
    """Whether QuantizeLinear gives back every q that DequantizeLinear took."""
    if dequantize.op_type != "DequantizeLinear" or len(dequantize.input) < 3 or len(quantize.input) < 3:
        return False
    pairs = [(graph.constant(dequantize.input[i]), graph.constant(quantize.input[i])) for i in (1, 2)]
    return all(
        a is not None and b is not None and a.size == b.size == 1 and a.dtype == b.dtype and a.item() == b.item()
        for a, b in pairs
    )


def _permutation(node: onnx.NodeProto, rank: int) -> Axes:
    given = attributes(node).get("perm")
    return tuple(range(rank))[::-1] if given is None else integers(given, rank, 0)
