"""Who may choose tiles instead of the analytic estimate: what was measured, or what is being measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from weft.ir import Operator
from weft.schedule.convolution import ConvolutionShape, ConvolutionTile
from weft.schedule.product import ProductShape, ProductTile

__all__ = ["ANALYTIC", "Analytic", "FixedTile", "Shape", "Tile", "TileChoices"]

Shape = ConvolutionShape | ProductShape
Tile = ConvolutionTile | ProductTile


class TileChoices(Protocol):
    """Asked for the tile of every convolution and product that is lowered."""

    def tile(self, shape: Shape, operator: Operator) -> Tile | None:
        """A legal tile for the shape, or None where the estimate shall choose. `operator` has that shape."""


@dataclass(frozen=True)
class Analytic:
    """Leaves every choice to the estimate."""

    def tile(self, shape: Shape, operator: Operator) -> Tile | None:
        """None."""
        return None


@dataclass(frozen=True)
class FixedTile:
    """One tile for one shape; the estimate chooses for all others."""

    shape: Shape
    chosen: Tile

    def tile(self, shape: Shape, operator: Operator) -> Tile | None:
        """The tile, if the shape is this one."""
        return self.chosen if shape == self.shape else None


ANALYTIC = Analytic()
