"""Transposed convolution, and the plain convolutions that it consists of."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weft.ir.operators import Convolution, Operator, Tensor
from weft.ir.reductions import bound

__all__ = ["Phase", "TransposedConvolution", "phases"]


@dataclass(frozen=True)
class TransposedConvolution(Operator):
    """y = clamp(rint(float32(Σ(x − zx)(w − zw) + bias) · multiplier) + zy), each x spread over a window of y.

    weights [O, I/group, kh, kw] (turned from ONNX's [I, O/group, kh, kw]), bias int32 [O], multiplier float32 [O] =
    sx·sw/sy. The reference computes in float32; `error` bounds the real results' difference, in steps.
    """

    weights: npt.NDArray[np.generic]
    weight_zero_point: int
    bias: npt.NDArray[np.int32]
    multiplier: npt.NDArray[np.float32]
    strides: tuple[int, int]
    pads: tuple[int, int]
    group: int
    low: int
    high: int
    error: float

    @property
    def macs(self) -> int:
        return int(math.prod(self.inputs[0].shape) // self.inputs[0].view[1] * self.weights.size)

    @property
    def inexact(self) -> str:
        return bound(self.error)


@dataclass(frozen=True)
class Phase:
    """The outputs at rows ≡ row modulo the vertical stride and columns likewise: a convolution of stride 1."""

    row: int
    column: int
    convolution: Convolution


def phases(operator: TransposedConvolution) -> list[Phase]:
    """One convolution per residue of the output position; every one has at least one tap (kernel ≥ stride)."""
    found = []
    _, _, height, width = operator.output.view
    for row in range(min(operator.strides[0], height)):
        for column in range(min(operator.strides[1], width)):
            rows, top = _taps(row, operator.pads[0], operator.strides[0], operator.weights.shape[2])
            columns, left = _taps(column, operator.pads[1], operator.strides[1], operator.weights.shape[3])
            extents = (-(-(height - row) // operator.strides[0]), -(-(width - column) // operator.strides[1]))
            found.append(Phase(row, column, _convolution(operator, rows, columns, (top, left), extents)))
    return found


def _taps(phase: int, pad: int, stride: int, kernel: int) -> tuple[list[int], int]:
    """The kernel's taps that reach output `phase` + m·stride, in the order of growing input, and the padding before.

    Output o gets x[i]·w[k] where i·stride + k = o + pad; so k ≡ phase + pad modulo the stride, and larger k mean
    smaller i.
    """
    first = (phase + pad) % stride
    taps = list(range(first, kernel, stride))[::-1]
    return taps, len(taps) - 1 - (phase + pad) // stride


def _convolution(
    operator: TransposedConvolution,
    rows: list[int],
    columns: list[int],
    before: tuple[int, int],
    extents: tuple[int, int],
) -> Convolution:
    """`before` may be negative: then the first input rows are not read."""
    n, channels, _, _ = operator.output.view
    weights = np.ascontiguousarray(operator.weights[:, :, rows][:, :, :, columns])
    _, _, height, width = operator.inputs[0].view
    after = (extents[0] - 1 + len(rows) - before[0] - height, extents[1] - 1 + len(columns) - before[1] - width)
    output = operator.output
    shape = (n, channels, *extents)
    return Convolution(
        operator.name, operator.nodes, operator.inputs,
        Tensor(output.name, shape, output.dtype, output.scale, output.zero_point),
        weights, operator.weight_zero_point, operator.bias, operator.multiplier, (1, 1), (*before, *after), (1, 1),
        operator.group, operator.low, operator.high,
    )  # fmt: skip
