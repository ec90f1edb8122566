"""MatMul and Gemm between quantized tensors to QLinearMatMul, or with a bias to QLinearConv.

QLinearMatMul has no bias, so a product with one is written as a 1x1 convolution over the rows:
Reshape [..., K] -> [rows, K, 1, 1], QLinearConv with weights [N, K, 1, 1] and bias [N], Reshape -> [..., N].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper

from weft.frontend.graph import Graph, integer, real
from weft.frontend.integer.bias import matching_bias
from weft.frontend.integer.conv import weight_inputs
from weft.frontend.integer.emit import Match, finish, output_parameters, side, tail
from weft.frontend.integer.quantization import Stored, activation, stored
from weft.frontend.origins import record


@dataclass(frozen=True)
class Operands:
    """a [..., K] (or [K, M] where transpose_a) times b [..., K, N] (or [N, K] where transpose_b), plus bias
    [N]."""

    a: Stored
    b: Stored
    a_shape: tuple[int | None, ...]
    b_shape: tuple[int | None, ...]
    transpose_a: bool
    transpose_b: bool
    bias: Stored | None

    @property
    def sources(self) -> list[onnx.NodeProto]:
        """The DequantizeLinear nodes of the operands."""
        return [tensor.node for tensor in (self.a, self.b, self.bias) if tensor is not None]


def rewrite(graph: Graph, match: Match) -> bool:
    """Replaces the match by integer operators; False, and nothing changed, where the operands do not allow
    it."""
    operands = _operands(graph, match)
    if operands is None:
        return False
    if operands.bias is not None:
        return _as_convolution(graph, match, operands)
    return _as_product(graph, match, operands)


def _operands(graph: Graph, match: Match) -> Operands | None:
    node = match.main
    a, b = activation(graph, node.input[0]), stored(graph, node.input[1])
    if a is None or b is None or b.quantization.dtype not in (np.int8, np.uint8):
        return None
    a_shape, b_shape = graph.shape(a.name), graph.shape(b.name)
    if a_shape is None or b_shape is None or len(a_shape) < 2 or len(b_shape) < 2:
        return None
    gemm = node.op_type == "Gemm"
    transpose_a = gemm and bool(integer(node, "transA", 0))
    transpose_b = gemm and bool(integer(node, "transB", 0))
    column_axis = len(b_shape) - (2 if transpose_b else 1)
    if not b.quantization.is_per_tensor and len(b_shape) != 2:
        return None
    if not b.quantization.per_channel_on(column_axis, len(b_shape)):
        return None
    name = _bias_name(match)
    if not name:
        return Operands(a, b, a_shape, b_shape, transpose_a, transpose_b, None)
    columns = b_shape[column_axis]
    if (gemm and (real(node, "alpha", 1.0) != 1.0 or real(node, "beta", 1.0) != 1.0)) or columns is None:
        return None
    bias = matching_bias(graph, name, columns, a.quantization, b.quantization)
    if bias is None or len(graph.shape(bias.name) or ()) > len(a_shape):
        return None
    return Operands(a, b, a_shape, b_shape, transpose_a, transpose_b, bias)


def _bias_name(match: Match) -> str:
    """The tensor that is added to the product, or "" where none is."""
    if match.bias_add is not None:
        first, second = match.bias_add.input
        return str(second if first == match.main.output[0] else first)
    has_bias = match.main.op_type == "Gemm" and len(match.main.input) > 2
    return str(match.main.input[2]) if has_bias else ""


def _as_product(graph: Graph, match: Match, operands: Operands) -> bool:
    node = match.main
    if node.op_type == "Gemm" and real(node, "alpha", 1.0) != 1.0:
        return False
    right = weight_inputs(graph, operands.b, operands.a.quantization)
    if right is None:
        return False
    left = side(graph, operands.a)
    if operands.transpose_a:
        left = (_transposed(graph, match, left[0]), *left[1:])
    if operands.transpose_b:
        right = (_transposed(graph, match, right[0]), *right[1:])
    dtype = operands.a.quantization.dtype
    operator = onnx.NodeProto(op_type="QLinearMatMul", name=node.name)
    operator.input.extend([*left, *right, *output_parameters(graph, match, dtype)])
    operator.output.append(tail(graph, match, dtype, graph.shape(match.quantize.output[0])))
    finish(graph, match, operator, operands.sources)
    return True


def _as_convolution(graph: Graph, match: Match, operands: Operands) -> bool:
    values = graph.constant(operands.b.name)
    shape = graph.shape(match.quantize.output[0])
    bias = operands.bias
    # One extent of the result may be unknown: Reshape infers it.
    if values is None or values.ndim != 2 or bias is None or shape is None or shape.count(None) > 1:
        return False
    weights = weight_inputs(graph, operands.b, operands.a.quantization)
    if weights is None:
        return False
    values = graph.constant(weights[0])
    assert values is not None
    kernel = values if operands.transpose_b else values.T
    columns, depth = kernel.shape
    weight_name = graph.add_constant(
        f"{operands.b.name}_kernel", np.ascontiguousarray(kernel).reshape(columns, depth, 1, 1)
    )
    left = side(graph, operands.a)
    rows = _transposed(graph, match, left[0]) if operands.transpose_a else left[0]
    dtype = operands.a.quantization.dtype
    count = None if None in shape else int(np.prod([extent or 0 for extent in shape[:-1]]))
    rows = _reshaped(graph, match, rows, (-1, depth, 1, 1), (count, depth, 1, 1), dtype, "rows")
    result = graph.fresh(f"{match.main.output[0]}_columns")
    graph.set_type(result, helper.np_dtype_to_tensor_dtype(match.output.dtype), (count, columns, 1, 1))
    operator = onnx.NodeProto(op_type="QLinearConv", name=match.main.name)
    operator.input.extend([rows, *left[1:], weight_name, *weights[1:], *output_parameters(graph, match, dtype)])
    operator.input.append(_flat_bias(graph, bias))
    # The bounds come before the Reshape, so that they stand right behind the convolution.
    operator.output.append(tail(graph, match, dtype, (count, columns, 1, 1), result))
    extents = tuple(-1 if extent is None else extent for extent in shape)
    _reshape(graph, match, result, extents, match.quantize.output[0], "columns")
    finish(graph, match, operator, operands.sources)
    return True


def _flat_bias(graph: Graph, bias: Stored) -> str:
    values = graph.constant(bias.name)
    assert values is not None
    return bias.name if values.ndim == 1 else graph.add_constant(f"{bias.name}_flat", values.reshape(-1))


def _transposed(graph: Graph, match: Match, name: str) -> str:
    """A matrix transposed: a new constant for constants, a Transpose node for the rest."""
    values = graph.constant(name)
    if values is not None:
        return graph.add_constant(f"{name}_transposed", np.ascontiguousarray(values.T))
    result = graph.fresh(f"{name}_transposed")
    shape = graph.shape(name)
    if shape is not None:
        graph.set_type(result, graph.element_type(name), shape[::-1])
    node = helper.make_node(
        "Transpose", [name], [result], name=graph.fresh_node_name(f"{match.main.name}_transpose"), perm=[1, 0]
    )
    record(node, [match.main])
    graph.add(node)
    return result


def _reshaped(
    graph: Graph,
    match: Match,
    name: str,
    extents: Sequence[int],
    shape: Sequence[int | None],
    dtype: np.dtype[Any],
    suffix: str,
) -> str:
    result = graph.fresh(f"{name}_{suffix}")
    graph.set_type(result, helper.np_dtype_to_tensor_dtype(dtype), shape)
    _reshape(graph, match, name, extents, result, suffix)
    return result


def _reshape(graph: Graph, match: Match, name: str, extents: Sequence[int], result: str, suffix: str) -> None:
    shape = graph.add_constant(f"{result}_shape", np.asarray(extents, np.int64))
    node = helper.make_node(
        "Reshape", [name, shape], [result], name=graph.fresh_node_name(f"{match.main.name}_{suffix}")
    )
    record(node, [match.main])
    graph.add(node)
