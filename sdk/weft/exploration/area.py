"""How large a machine is, from the synthesis of two of them: gates for the logic, bits for the memories.

docs/synthesis.json has, for weft-8 and weft-16, the gates of every module of the RTL; `condense` makes of it the table
area.json that comes with the package. A module's gates at other lanes are those of the power law through both:

    gates(N) = gates(8) · (gates(16) ÷ gates(8)) ^ log2(N ÷ 8)

so what grows with N, such as a float unit for each lane, doubles from 16 to 32, what grows with N², the array, becomes
four times as large, and control stays. The bits of scratchpad and accumulators are those of the configuration; other
memories follow the same law. Everything is in the area of a two-input NAND gate, with the usual ratios of standard
cells. It is a proxy: no wires, no clock tree, no macros of a real process.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from weft_sim.machine import MachineConfig

__all__ = ["Area", "area", "condense"]

GATES = {"nand": 1.0, "nor": 1.0, "inverters": 0.5, "flip_flops": 6.0}
"""NAND2 equivalents of a cell."""

BIT = 0.5
"""NAND2 equivalents of a bit of SRAM, its periphery included."""

MEASURED = ("weft-8", "weft-16")
SMALL_LANES = 8
CONFIGURED = ("scratchpad_bank_memory", "accumulator_bank_memory")
FILE = "area.json"


@dataclass(frozen=True)
class Area:
    """Of a machine: logic in NAND2 equivalents, memory in bits."""

    gates: float
    memory_bits: float

    @property
    def total(self) -> float:
        """Both in NAND2 equivalents."""
        return self.gates + BIT * self.memory_bits


def area(config: MachineConfig) -> Area:
    """The proxy for a machine."""
    small, large = (_table()[name] for name in MEASURED)
    gates = bits = 0.0
    for module in sorted(small.keys() | large.keys()):
        few, many = small.get(module, [0.0, 0.0]), large.get(module, [0.0, 0.0])
        gates += _between(few[0], many[0], config.lanes)
        if module not in CONFIGURED:
            bits += _between(few[1], many[1], config.lanes)
    bits += 8 * config.scratchpad_bytes + 32 * config.lanes * config.accumulator_rows
    return Area(gates, bits)


def condense(synthesis: Mapping[str, Any]) -> dict[str, dict[str, list[float]]]:
    """Gates in NAND2 equivalents and memory bits of every module, from the content of docs/synthesis.json."""
    return {
        name: {
            module: [sum(GATES[cell] * found["own"][cell] for cell in GATES), float(found["memory_bits"])]
            for module, found in sorted(synthesis[name]["gates"]["modules"].items())
        }
        for name in MEASURED
    }


def _between(small: float, large: float, lanes: int) -> float:
    """The power law through both; where one of them is nothing, the straight line."""
    if small > 0 and large > 0:
        return small * float((large / small) ** ((lanes.bit_length() - 1) - (SMALL_LANES.bit_length() - 1)))
    return max(0.0, small + (large - small) * (lanes - SMALL_LANES) / SMALL_LANES)


@cache
def _table() -> dict[str, dict[str, list[float]]]:
    table: dict[str, dict[str, list[float]]] = json.loads(
        resources.files("weft.exploration").joinpath(FILE).read_text(encoding="utf-8")
    )
    return table
