"""A convolution with an element-wise operator behind it, as one operator: residual connections."""

from __future__ import annotations

from dataclasses import dataclass

from weft.ir.operators import Convolution, Elementwise, Tensor

__all__ = ["JoinedConvolution"]


@dataclass(frozen=True)
class JoinedConvolution(Convolution):
    """inputs[0] convolved and quantized as `between`, within the convolution's low and high; then joined with inputs[1] as
    `join` says. `output` is the join's."""

    between: Tensor
    join: Elementwise
