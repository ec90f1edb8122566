"""Nodes of the integer graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper

from weft.frontend.graph import Array, Graph
from weft.frontend.integer.bounds import Bounded
from weft.frontend.integer.quantization import Quantization, Stored
from weft.frontend.origins import record


@dataclass(frozen=True)
class Match:
    """An operator between quantized tensors: `main` is the Conv, MatMul or Gemm, `bias_add` the Add behind a
    MatMul, `bounds` the activations, `quantize` the QuantizeLinear at the end, which stores as `output`
    says."""

    main: onnx.NodeProto
    bias_add: onnx.NodeProto | None
    bounds: Bounded
    quantize: onnx.NodeProto
    output: Quantization

    def replaced(self) -> tuple[onnx.NodeProto, ...]:
        """All nodes that the integer operator stands for, the main one first."""
        add = () if self.bias_add is None else (self.bias_add,)
        return (self.main, *add, *self.bounds.nodes, self.quantize)


def shifted_zero_point(quantization: Quantization, dtype: np.dtype[Any]) -> Array:
    """The zero point after storing the same values as int8 instead of uint8, or the other way round."""
    if quantization.dtype == dtype:
        return quantization.zero_point
    offset = 128 if dtype == np.uint8 else -128
    return np.asarray(quantization.zero_point.astype(np.int32) + offset).astype(dtype)


def shifted_values(values: Array, dtype: np.dtype[Any]) -> Array:
    """Constant values stored as int8 instead of uint8, or the other way round; subtract the shifted zero
    point."""
    if values.dtype == dtype:
        return values
    offset = 128 if dtype == np.uint8 else -128
    return (values.astype(np.int32) + offset).astype(dtype)


def constant_like(graph: Graph, name: str, value: Array) -> str:
    """The constant `name` where it already has exactly this value and shape, else a new one."""
    present = graph.constant(name) if name else None
    if present is not None and present.dtype == value.dtype and present.shape == value.shape:
        return name if np.array_equal(present, value) else graph.add_constant(f"{name}_integer", value)
    return graph.add_constant(f"{name}_integer" if name else "zero_point", value)


def parameters(graph: Graph, node: onnx.NodeProto, scale: Array, zero_point: Array) -> tuple[str, str]:
    """Names of constants for a scale and a zero point, those of a Q or DQ node where they are the same."""
    zero_name = node.input[2] if len(node.input) > 2 else ""
    return constant_like(graph, node.input[1], scale), constant_like(graph, zero_name, zero_point)


def side(graph: Graph, tensor: Stored) -> tuple[str, str, str]:
    """The three inputs (tensor, scale, zero point) by which an integer operator reads a quantized tensor."""
    return tensor.name, *parameters(graph, tensor.node, tensor.quantization.scale, tensor.quantization.zero_point)


def output_parameters(graph: Graph, match: Match, dtype: np.dtype[Any]) -> tuple[str, str]:
    """Scale and zero point of the operator's output, stored as `dtype`."""
    return parameters(graph, match.quantize, match.output.scale, shifted_zero_point(match.output, dtype))


def finish(graph: Graph, match: Match, operator: onnx.NodeProto, sources: Sequence[onnx.NodeProto]) -> None:
    """Puts the integer operator in the place of the match; `sources` are the DequantizeLinear nodes it
    absorbs."""
    for node in match.replaced():
        graph.remove(node)
    record(operator, [*match.replaced(), *sources])
    graph.add(operator)


def tail(
    graph: Graph, match: Match, dtype: np.dtype[Any], shape: tuple[int | None, ...] | None, target: str = ""
) -> str:
    """Adds the nodes between the integer operator and `target`, the QuantizeLinear's output where none is given.

    The operator stores as `dtype`, its input's type, because ONNX Runtime has no other kernels; an integer
    Clip follows where an activation's bounds are tighter than the type's range, and DequantizeLinear,
    QuantizeLinear with the same scale (exact) where the output's type differs. Returns the name that the
    operator must produce.
    """
    output = match.output
    name: str = target or match.quantize.output[0]
    if dtype != output.dtype:
        name = _convert(graph, match, dtype, name, shape)
    low, high = output.limits()
    offset = int(shifted_zero_point(output, dtype)) - int(output.zero_point)
    least, most = output.quantize_bound(match.bounds.low), output.quantize_bound(match.bounds.high)
    if (least, most) == (low, high):
        return name
    bounds = (None if least == low else least + offset, None if most == high else most + offset)
    return _clip(graph, match, dtype, name, bounds, shape)


def _clip(
    graph: Graph,
    match: Match,
    dtype: np.dtype[Any],
    target: str,
    bounds: Sequence[int | None],
    shape: tuple[int | None, ...] | None,
) -> str:
    last = match.bounds.nodes[-1]
    source = _typed(graph, f"{target}_unclipped", dtype, shape)
    names = [
        "" if bound is None else graph.add_constant(f"{last.name}_{suffix}", np.asarray(bound, dtype))
        for bound, suffix in zip(bounds, ("low", "high"), strict=True)
    ]
    inputs = [source, *names] if names[1] else [source, names[0]]
    node = helper.make_node("Clip", inputs, [target], name=last.name)
    record(node, match.bounds.nodes)
    graph.add(node)
    return source


def _convert(
    graph: Graph,
    match: Match,
    dtype: np.dtype[Any],
    target: str,
    shape: tuple[int | None, ...] | None,
) -> str:
    source = _typed(graph, f"{target}_{dtype.name}", dtype, shape)
    middle = graph.fresh(f"{target}_{dtype.name}_dequantized")
    if shape is not None:
        graph.set_type(middle, onnx.TensorProto.FLOAT, shape)
    scale, zero = parameters(graph, match.quantize, match.output.scale, match.output.zero_point)
    shifted = constant_like(graph, f"{zero}_{dtype.name}", shifted_zero_point(match.output, dtype))
    nodes = (
        helper.make_node(
            "DequantizeLinear",
            [source, scale, shifted],
            [middle],
            name=graph.fresh_node_name(f"{match.quantize.name}_from_{dtype.name}"),
        ),
        helper.make_node("QuantizeLinear", [middle, scale, zero], [target], name=match.quantize.name),
    )
    for node in nodes:
        record(node, [match.quantize])
        graph.add(node)
    return source


def _typed(graph: Graph, base: str, dtype: np.dtype[Any], shape: tuple[int | None, ...] | None) -> str:
    name = graph.fresh(base)
    if shape is not None:
        graph.set_type(name, helper.np_dtype_to_tensor_dtype(dtype), shape)
    return name
