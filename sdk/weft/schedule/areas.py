"""Scratchpad and accumulators divided into double-buffered slots, one kind of traffic per bank where possible."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from weft_sim.isa import PARAMETER_VECTORS
from weft_sim.machine import MachineConfig

__all__ = ["Areas"]

SHARES = {"x": 6, "weights": 6, "output": 3, "parameters": 1}
"""Sixteenths of the scratchpad. Inputs and weights are read in the same cycle, so they get banks of their own."""


@dataclass(frozen=True)
class Areas:
    """Byte addresses of two slots of each kind, and slot sizes in bytes (rows for the accumulators)."""

    x: tuple[int, int]
    weights: tuple[int, int]
    output: tuple[int, int]
    parameters: tuple[int, int]
    accumulators: tuple[int, int]
    x_bytes: int
    weight_bytes: int
    output_bytes: int
    parameter_bytes: int
    accumulator_rows: int

    @classmethod
    def of(cls, config: MachineConfig) -> Areas:
        """The division for a machine: areas start at multiples of 1/16 of the scratchpad, slots at vectors."""
        slots: dict[str, tuple[int, int]] = {}
        sizes: dict[str, int] = {}
        start = 0
        for kind, share in SHARES.items():
            end = start + config.scratchpad_bytes * share // 16
            first = -(-start // config.lanes) * config.lanes
            size = (end - first) // 2 // config.lanes * config.lanes
            slots[kind], sizes[kind] = (first, first + size), size
            start = end
        rows = config.accumulator_rows // 2
        return cls(
            slots["x"], slots["weights"], slots["output"], slots["parameters"], (0, rows),
            sizes["x"], sizes["weights"], sizes["output"], sizes["parameters"], rows,
        )  # fmt: skip

    def moved(self, scratchpad: int, accumulators: int) -> Areas:
        """The same slots so many bytes and rows further on."""
        places = {kind: self._shifted(kind, scratchpad) for kind in SHARES}
        return dataclasses.replace(self, **places, accumulators=self._shifted("accumulators", accumulators))

    def _shifted(self, kind: str, distance: int) -> tuple[int, int]:
        first, second = getattr(self, kind)
        return first + distance, second + distance

    def parameter_blocks(self, lanes: int) -> int:
        """Channel blocks whose parameter records fit in a slot."""
        return self.parameter_bytes // (PARAMETER_VECTORS * lanes)
