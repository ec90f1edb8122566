"""Sums and means along one axis or over a plane, in terms of operators that the accelerator has.

A sum over the lanes is a product with ones, a mean over height and width an average pooling. ONNX Runtime adds
floats in an order that depends on shapes and addresses, so these are within a bound, not bit for bit: `error`, in
steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from weft.ir.operators import AveragePool, Convolution, Form, Operator

__all__ = ["ChannelSum", "PlaneMean", "RowSum", "WidthReduction", "bound"]


@dataclass(frozen=True)
class ChannelSum(Convolution):
    """Sum over axis 1 of an image: a 1×1 convolution with ones; the multiplier makes a mean of it."""

    error: float

    @property
    def macs(self) -> int:
        return 0

    @property
    def inexact(self) -> str:
        return bound(self.error)


@dataclass(frozen=True)
class RowSum(ChannelSum):
    """Sum over the last axis: each row times a column of ones."""

    def forms(self, lanes: int) -> Sequence[tuple[Form, ...]]:
        return [(Form.MATRIX, Form.MATRIX)]


@dataclass(frozen=True)
class PlaneMean(AveragePool):
    """Mean over height, width or both (a sum too, with the count in the output's scale)."""

    error: float

    @property
    def inexact(self) -> str:
        return bound(self.error)


@dataclass(frozen=True)
class WidthReduction(Operator):
    """Over the last axis, which is the width of an image or the columns of a matrix: what its form makes it."""

    image: PlaneMean
    matrix: RowSum

    def forms(self, lanes: int) -> Sequence[tuple[Form, ...]]:
        return [(form, form) for form in Form]

    def with_forms(self, forms: Mapping[str, Form]) -> Operator:
        """The operator for the chosen form: this class exists before forms are chosen only."""
        chosen = self.image if forms.get(self.output.name) == Form.IMAGE else self.matrix
        return chosen.with_forms(forms)


def bound(error: float) -> str:
    """What is reported of an operator whose real result is that close to the reference's."""
    return f"at most 1 step of the output's scale (the real results differ by less than {error:.1g} steps)"
