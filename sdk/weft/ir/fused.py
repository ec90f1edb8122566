"""A convolution with what follows it element by element, as one operator."""

from __future__ import annotations

from dataclasses import dataclass

from weft.ir.operators import Convolution, Elementwise, Operator, TableLookup

__all__ = ["FusedConvolution"]


@dataclass(frozen=True)
class FusedConvolution(Operator):
    """`anchor` of inputs[0], quantized, then `tail` of that: joined with inputs[1], or looked up in a table. It is no
    Convolution itself, so that nothing takes it for one and forgets the tail."""

    anchor: Convolution
    tail: Elementwise | TableLookup

    @property
    def macs(self) -> int:
        return self.anchor.macs
