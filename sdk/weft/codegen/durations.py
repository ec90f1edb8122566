"""How long instructions keep their units busy, about: for deciding what to overlap with what."""

from __future__ import annotations

from collections.abc import Sequence

from weft_sim.isa import TIMING, Fill, Instruction, Load, Matmul, Operation, Reduction, Store, Table, Vector
from weft_sim.isa.architecture import Unit
from weft_sim.machine import MachineConfig

__all__ = ["busy_cycles"]


def busy_cycles(instructions: Sequence[Instruction], config: MachineConfig) -> dict[Unit, float]:
    """Cycles for each unit that these instructions keep busy, without stalls."""
    busy: dict[Unit, float] = {}
    for instruction in instructions:
        busy[instruction.UNIT] = busy.get(instruction.UNIT, 0.0) + _cycles(instruction, config)
    return busy


def _cycles(instruction: Instruction, config: MachineConfig) -> float:
    match instruction:
        case Matmul():
            outer = [getattr(instruction, f"outer_count_{loop}") for loop in range(4)]
            inner = [getattr(instruction, f"inner_count_{loop}") for loop in range(3)]
            tile = instruction.weight_rows + TIMING["WEIGHT_SWAP_CYCLES"]
            return float(_product(outer) * max(_product(inner), tile))
        case Vector():
            steps = _product([getattr(instruction, f"count_{loop}") for loop in range(5)])
            interval = TIMING["SUM_INTERVAL"] if instruction.reduction == Reduction.SUM else 1
            if instruction.operation in (Operation.DIVIDE, Operation.SQUARE_ROOT):
                interval = TIMING["DIVIDE_INTERVAL"]
            return float(steps * interval + TIMING["VPU_LATENCY"])
        case Load() | Store() | Fill():
            runs = _product([getattr(instruction, f"count_{loop}") for loop in range(4)])
            return runs * instruction.run_bytes / config.dram_bytes_per_cycle
        case Table():
            return 1024 / config.lanes
    return 1.0


def _product(counts: Sequence[int]) -> int:
    result = 1
    for count in counts:
        result *= count
    return result
