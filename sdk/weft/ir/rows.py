"""Operators along the axis that lies in the lanes: softmax and its logarithm, layer normalization."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weft.ir.operators import Form, Operator
from weft.ir.reductions import bound

__all__ = ["LayerNorm", "Softmax", "axis_forms"]

UNIT = 2.0**-24
"""Relative error of one float32 rounding."""


def axis_forms(rank: int, axis: int) -> list[Form]:
    """The forms in which that axis of a tensor lies in the lanes."""
    image = axis == (0 if rank == 1 else 1)
    return [form for form, fits in ((Form.MATRIX, axis == rank - 1), (Form.IMAGE, image)) if fits]


@dataclass(frozen=True)
class Softmax(Operator):
    """y = clamp(rint(softmax(x) / sy) + zy), or the logarithm of it, along `axis`, which lies in the lanes.

    Not bit for bit ONNX Runtime's: that evaluates its own polynomial for exp with fused multiply-adds and adds in an
    order that depends on the CPU. `error` bounds the difference of the two real results, in steps of the output.
    """

    axis: int
    logarithm: bool

    def forms(self, lanes: int) -> Sequence[tuple[Form, ...]]:
        return [(form, form) for form in axis_forms(len(self.output.shape), self.axis)]

    @property
    def error(self) -> float:
        """Both sides: each x = (q − z)·s is rounded once, x − max once, so exponents are off by at most 3·255·s·u; exp
        itself by 4u (ONNX Runtime's polynomial: 2 ulp), a sum of n terms by n·u, the division, the product and the
        output's scale by 4u. As ratios of softmax these add up; its values are at most 1."""
        span, count = 255.0 * float(self.inputs[0].scale), self.inputs[0].shape[self.axis]
        ratio = UNIT * 2 * (2 * 3 * span + count + 16)
        if not self.logarithm:
            return float(np.expm1(ratio)) / float(self.output.scale)
        # the logarithm's own series and roots: 32·8u; differences of numbers up to span + ln(count): 4u each
        return (ratio + UNIT * (256 + 8 * (span + math.log(count)))) / float(self.output.scale)

    @property
    def inexact(self) -> str:
        return bound(self.error)


@dataclass(frozen=True)
class LayerNorm(Operator):
    """y = clamp(rint(((x − mean) / sqrt(variance + epsilon) · scale + bias) / sy) + zy, low, high) over the last axis.

    scale and bias float32 [size of the axis]. Not bit for bit ONNX Runtime's, which adds squares in an order that
    depends on the CPU, with fused multiply-adds. `error` bounds the difference of the two real results, in steps.
    """

    scale: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    epsilon: np.float32
    low: int
    high: int

    def forms(self, lanes: int) -> Sequence[tuple[Form, ...]]:
        return [(Form.MATRIX, Form.MATRIX)]

    @property
    def offset(self) -> np.float32:
        """Epsilon in squares of the input's steps: statistics are taken of q − z."""
        with np.errstate(all="ignore"):
            step = np.float64(self.inputs[0].scale)
            return np.float32(np.float64(self.epsilon) / (step * step))

    @property
    def error(self) -> float:
        """With n values of a row, all in steps of the input:

        - deviations d differ by at most e = 4·255·u (the reference rounds each x and its mean, we round ours) and are
          rounded once more on each side; a constant row has d = 0 on both;
        - whole numbers that are not all equal have variance v ≥ (n − 1)/n², and mean |d| ≤ 2v (equality for two
          neighbouring values), so e moves v by at most 4e + n·e² (relative), its root by half of that;
        - squares are added with a relative error of at most n·u there and (n/lanes + 6)·u ≤ n·u + 6u here;
        - |d|/√v ≤ √(n − 1); the few operations behind that are rounded at most 12 times on both sides together.
        """
        n = self.inputs[0].shape[-1]
        largest, step = float(np.max(np.abs(self.scale), initial=0)), float(self.output.scale)
        tail = 8 * UNIT * float(np.max(np.abs(self.bias), initial=0)) / step
        if n == 1:
            return tail
        e, reach = 4 * 255 * UNIT, float(np.sqrt(n - 1.0))
        root = 2 * e + n * e * e / 2 + (n + 6) * UNIT + 14 * UNIT
        return largest / step * (e * n / reach + reach * root) + tail

    @property
    def inexact(self) -> str:
        return bound(self.error)
