"""The architectural state that instructions read and write, as plain NumPy arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from weft_sim.isa.architecture import MAILBOXES, REGISTERS, TABLE_ENTRIES, TABLE_SLOTS
from weft_sim.machine import MachineConfig

__all__ = ["MachineState", "addresses"]


class MachineState:
    """Everything a program can see. All memories but DRAM are zero at launch (no program should rely on
    it)."""

    def __init__(self, config: MachineConfig, dram: npt.NDArray[np.uint8], registers: Sequence[int]) -> None:
        self.config = config
        self.dram = dram
        self.scratchpad = np.zeros(config.scratchpad_bytes, np.uint8)
        self.accumulators = np.zeros((config.accumulator_rows, config.lanes), np.int32)
        self.tables = np.zeros((TABLE_SLOTS, TABLE_ENTRIES), np.uint32)
        self.mailboxes = np.zeros(MAILBOXES, np.int32)
        self.registers = [int(value) & 0xFFFFFFFF for value in registers] + [0] * (REGISTERS - len(registers))
        self.program_counter = 0
        self.halted = False

    @property
    def vectors(self) -> npt.NDArray[np.uint8]:
        """The scratchpad as [vectors, lanes] bytes (a view)."""
        return self.scratchpad.reshape(-1, self.config.lanes)

    @property
    def floats(self) -> npt.NDArray[np.float32]:
        """The accumulators as float32 [rows, lanes] (a view of the same bits)."""
        return self.accumulators.view(np.float32)


def addresses(base: int, dims: Sequence[tuple[int, int]]) -> npt.NDArray[np.int64]:
    """`base + Σ stride·digit` for every digit tuple, outermost digit slowest: shape [product of counts]."""
    result = np.array([base], np.int64)
    for count, stride in dims:
        result = (result[:, None] + np.arange(count, dtype=np.int64) * stride).reshape(-1)
    return result
