"""A convolution with what follows it element by element, as one operator."""

from __future__ import annotations

from dataclasses import dataclass

from weft.ir.operators import Convolution, Elementwise, TableLookup, Tensor

__all__ = ["FusedConvolution"]


@dataclass(frozen=True)
class FusedConvolution(Convolution):
    """inputs[0] convolved and quantized as `between`, within the convolution's low and high; then `tail`: joined with
    inputs[1], or looked up in a table. `output` is the tail's."""

    between: Tensor
    tail: Elementwise | TableLookup
