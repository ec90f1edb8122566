"""Products of two matrices that are both activations (or where a constant one has batches of its own)."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weft.ir.operators import Form, Operator, Tensor, in_form

__all__ = ["MatrixProduct", "Operand", "lane_axis"]


@dataclass(frozen=True)
class Operand:
    """One side of a product: `tensor` (or its q, `constant`) with its axes in the order `axes`, as numpy.transpose
    takes it. So a Transpose in front of a product costs nothing: the loads walk the stored tensor in another order."""

    tensor: Tensor
    axes: tuple[int, ...]
    constant: npt.NDArray[np.generic] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that the product sees: [..., rows, columns]."""
        return tuple(self.tensor.shape[axis] for axis in self.axes)

    def lane_position(self, form: Form) -> int:
        """Which axis of the product lies in the lanes, counted from the end: −1 columns, −2 rows, less: a batch."""
        return self.axes.index(lane_axis(self.tensor, form)) - len(self.axes)


def lane_axis(tensor: Tensor, form: Form) -> int:
    """The axis of a tensor of rank 2 to 4 whose elements lie in the lanes."""
    return len(tensor.shape) - 1 if form == Form.MATRIX else 1


@dataclass(frozen=True)
class MatrixProduct(Operator):
    """QLinearMatMul with batches: y = clamp(rint(float32(Σ(a − za)(b − zb)) · multiplier) + zy, low, high).

    a [..., m, k], b [..., k, n], y [..., m, n]; leading axes broadcast, ranks 2 to 4. multiplier is (sa·sb)/sy in
    float32. `output_axes`: axis i of the stored output is axis output_axes[i] of y (a Transpose behind).
    """

    a: Operand
    b: Operand
    output_axes: tuple[int, ...]
    multiplier: np.float32
    low: int
    high: int

    @property
    def macs(self) -> int:
        return math.prod(self.output.shape) * self.a.shape[-1]

    @property
    def operands(self) -> tuple[Operand, Operand]:
        return (self.a, self.b)

    def forms(self, lanes: int) -> Sequence[tuple[Form, ...]]:
        """a's lanes hold k; b's hold k or n; the output's hold n."""
        sides = [operand for operand in self.operands if operand.constant is None]
        allowed = [
            [form for form in reversed(Form) if operand.lane_position(form) in self._positions(operand)]
            for operand in sides
        ]
        n = len(self.output_axes) - 1
        results = [form for form in reversed(Form) if self.output_axes[lane_axis(self.output, form)] == n]
        return list(itertools.product(*allowed, results))

    def _positions(self, operand: Operand) -> tuple[int, ...]:
        return (-1,) if operand is self.a else (-1, -2)

    def with_forms(self, forms: Mapping[str, Form]) -> Operator:
        a, b = (
            dataclasses.replace(each, tensor=in_form(each.tensor, forms)) if each.constant is None else each
            for each in self.operands
        )
        return dataclasses.replace(self._in_forms(forms), a=a, b=b)
