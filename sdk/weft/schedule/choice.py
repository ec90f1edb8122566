"""Who may choose tiles instead of the analytic estimate: what was measured, or what is being measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from weft.ir import Operator
from weft.schedule.convolution import ConvolutionShape, ConvolutionTile
from weft.schedule.product import ProductShape, ProductTile
from weft_sim.machine import MachineConfig

__all__ = ["ANALYTIC", "Analytic", "ChosenTiles", "Shape", "Tile", "TileChoices"]

Shape = ConvolutionShape | ProductShape
Tile = ConvolutionTile | ProductTile


class TileChoices(Protocol):
    """Asked for the tile of every convolution and product that is lowered."""

    def tile(self, shape: Shape, operator: Operator, config: MachineConfig) -> Tile | None:
        """A legal tile for the shape on the machine, or None where the estimate shall choose. `operator` has that
        shape; where operators share the memories, the machine is one with the operator's part of them."""


@dataclass(frozen=True)
class Analytic:
    """Leaves every choice to the estimate."""

    def tile(self, shape: Shape, operator: Operator, config: MachineConfig) -> Tile | None:
        """None."""
        return None


class ChosenTiles:
    """Tiles by shape and machine; the estimate chooses for all others."""

    def __init__(self, chosen: Mapping[tuple[Shape, MachineConfig], Tile]) -> None:
        self._chosen = dict(chosen)

    def tile(self, shape: Shape, operator: Operator, config: MachineConfig) -> Tile | None:
        """The shape's tile, if there is one."""
        return self._chosen.get((shape, config))


ANALYTIC = Analytic()
