"""One of two tensors, element by element or as a whole, as a function of a third says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weft.ir.operators import Form, Operator, Tensor

__all__ = ["Select"]


@dataclass(frozen=True)
class Select(Operator):
    """y = clamp(table[c] ? a : b, low, high) on q, for inputs c, a, b.

    a, b and the output have one shape, type, scale and zero point. c has that shape, or one element that decides for
    all. `table` bool [256] is indexed by q mod 256.
    """

    table: npt.NDArray[np.bool_]
    low: int
    high: int

    @property
    def condition(self) -> Tensor:
        """c."""
        return self.inputs[0]

    @property
    def decides_for_all(self) -> bool:
        """Whether c has one element."""
        return math.prod(self.condition.shape) == 1

    @property
    def threshold(self) -> tuple[int, bool] | None:
        """The least q of the upper part, and whether the condition holds there and below not, or the other way round;
        None where it changes more than once."""
        low, high = self.condition.limits
        truth = self.table[np.arange(low, high + 1) & 0xFF]
        changes = np.flatnonzero(truth[1:] != truth[:-1])
        if changes.size > 1:
            return None
        return (low + int(changes[0]) + 1 if changes.size else low), bool(truth[-1])

    def forms(self, lanes: int) -> Sequence[tuple[Form, ...]]:
        if self.decides_for_all:
            return [(each, form, form, form) for form in Form for each in Form]
        return [(form,) * 4 for form in Form]
