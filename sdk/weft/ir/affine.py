"""A scale and an offset per channel: batch normalization by itself, and products and sums with constants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weft.ir.operators import BinaryKind, Form, Operator

__all__ = ["ChannelAffine", "ChannelSlopes", "RowAffine"]


@dataclass(frozen=True)
class ChannelAffine(Operator):
    """y = clamp(rint((x − zx) · scale[c] + offset[c]) + zy, low, high), product and sum rounded to float32.

    scale, offset float32 [channels], in steps of the output; the channels are axis 1.
    """

    scale: npt.NDArray[np.float32]
    offset: npt.NDArray[np.float32]
    low: int
    high: int


@dataclass(frozen=True)
class RowAffine(ChannelAffine):
    """The channels are the last axis."""

    def forms(self, lanes: int) -> Sequence[tuple[Form, ...]]:
        return [(Form.MATRIX, Form.MATRIX)]


@dataclass(frozen=True)
class ChannelSlopes(Operator):
    """y = clamp(rint(kind((x − zx) · negative[c], (x − zx) · positive)) + zy, low, high): PRelu.

    kind is MAXIMUM where no negative[c] exceeds `positive`, MINIMUM where none is below it. Both are in steps of the
    output, negative float32 [channels]; the channels are axis 1.
    """

    kind: BinaryKind
    negative: npt.NDArray[np.float32]
    positive: np.float32
    low: int
    high: int
