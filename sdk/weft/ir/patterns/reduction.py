"""DequantizeLinear → ReduceMean | ReduceSum | ReduceMax → QuantizeLinear: the last axis, axis 1, height, width."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import onnx

from weft.ir.graph import Graph, attributes
from weft.ir.operators import MaxPool, Operator, SumOrder, Tensor
from weft.ir.patterns.common import Refusal, constant, dequantized, quantized_behind
from weft.ir.reductions import ChannelSum, PlaneMean, RowSum, WidthReduction

__all__ = ["match"]

UNIT = 2.0**-24
LARGEST_ERROR = 0.5
LARGEST_COUNT = (1 << 24) // 255
"""Values whose sum of q − z is certainly below 2²⁴, hence exact in float32."""


def match(graph: Graph, node: onnx.NodeProto) -> Operator:
    """Sums and means within a bound; maxima, over height and width only, exactly."""
    _, x = dequantized(graph, node.input[0])
    axes = _axes(graph, node, len(x.shape))
    nodes, output, low, high = quantized_behind(graph, node.output[0])
    found = _Found(node, (node.name, *nodes), x, output, low, high)
    spatial = bool(axes) and min(axes) >= 2
    if node.op_type == "ReduceMax":
        if not spatial:
            raise Refusal(f"a maximum over axes {list(axes)} of {len(x.shape)} stays on the host")
        kernel = _kernel(x, axes, output)
        return MaxPool(node.name, found.names, (x,), output, kernel, kernel, (0, 0, 0, 0), (1, 1), low, high)
    if not spatial:
        return _over_lanes(found, axes)
    if axes != (len(x.shape) - 1,):
        return _over_plane(found, axes)
    try:
        matrix = _over_lanes(found, axes)
    except Refusal:
        return _over_plane(found, axes)
    image = _over_plane(found, axes)
    return WidthReduction(node.name, found.names, (x,), output, image, matrix) if isinstance(matrix, RowSum) else image


@dataclass(frozen=True)
class _Found:
    """The reduction's node, all nodes it stands for, and what is around it."""

    node: onnx.NodeProto
    names: tuple[str, ...]
    x: Tensor
    output: Tensor
    low: int
    high: int

    @property
    def is_sum(self) -> bool:
        return bool(self.node.op_type == "ReduceSum")


def _axes(graph: Graph, node: onnx.NodeProto, rank: int) -> tuple[int, ...]:
    given = attributes(node)
    if len(node.input) > 1 and node.input[1]:
        listed = [int(axis) for axis in constant(graph, node.input[1], "list of axes").reshape(-1)]
    else:
        listed = [int(axis) for axis in given.get("axes", ())]  # type: ignore[attr-defined]
    if not listed:
        raise Refusal("it reduces over all axes or none")
    return tuple(sorted({axis % rank for axis in listed}))


def _kernel(x: Tensor, axes: tuple[int, ...], output: Tensor) -> tuple[int, int]:
    """The window that is the whole extent of the reduced axes. Refuses where keepdims = 0 changes how the result is
    stored."""
    rank = len(x.shape)
    kernel = (x.view[2] if 2 in axes and rank == 4 else 1, x.view[3] if rank - 1 in axes else 1)
    if output.view != (x.view[0], x.view[1], x.view[2] // kernel[0], x.view[3] // kernel[1]):
        raise Refusal(f"its result of shape {list(output.shape)} is stored in another order")
    return kernel


def _over_plane(found: _Found, axes: tuple[int, ...]) -> PlaneMean:
    x, output = found.x, found.output
    kernel = _kernel(x, axes, output)
    count = math.prod(kernel)
    error = 2 * (count + 8) * UNIT * 255 * float(x.scale) * (count if found.is_sum else 1) / float(output.scale)
    _check_error(error, count)
    if found.is_sum:  # the sum over sy is the mean over sy / count
        output = dataclasses.replace(output, scale=np.float32(output.scale / np.float32(count)))
    counts = tuple((size,) * extent for size, extent in zip(kernel, output.view[2:], strict=True))
    return PlaneMean(
        found.node.name, found.names, (x,), output, kernel, kernel, (0, 0, 0, 0), counts[0], counts[1],
        SumOrder.ROWS, found.low, found.high, error,
    )  # fmt: skip


def _over_lanes(found: _Found, axes: tuple[int, ...]) -> ChannelSum:
    x, output = found.x, found.output
    rank = len(x.shape)
    if len(axes) != 1 or rank == 1 or axes[0] not in (1, rank - 1):
        raise Refusal(f"a sum over axes {list(axes)} of {rank} stays on the host")
    axis, count = axes[0], x.shape[axes[0]]
    if output.shape != (*x.shape[:axis], 1, *x.shape[axis + 1 :]):
        raise Refusal(f"its result of shape {list(output.shape)} is stored in another order")
    factor = np.float64(x.scale) / (1 if found.is_sum else count) / np.float64(output.scale)
    error = (count + 8) * UNIT * 255 * count * float(factor)
    _check_error(error, count)
    kind = RowSum if axis == rank - 1 else ChannelSum
    return kind(
        found.node.name, found.names, (x,), output, np.ones((1, count, 1, 1), np.int8), 0, np.zeros(1, np.int32),
        np.full(1, factor, np.float32), (1, 1), (0, 0, 0, 0), (1, 1), 1, found.low, found.high, error,
    )  # fmt: skip


def _check_error(error: float, count: int) -> None:
    if not error <= LARGEST_ERROR or count > LARGEST_COUNT:
        raise Refusal("its result is not provably within one step of the reference's for these scales")
