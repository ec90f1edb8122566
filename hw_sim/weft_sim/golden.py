"""The golden model: programs executed one instruction at a time, in program order, by the table's own
semantics.

It has no time and settles every argument about bytes: the simulator and the RTL must leave the same DRAM
behind.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from weft_sim.isa.architecture import INSTRUCTION_BYTES, FaultCause
from weft_sim.isa.instruction import Instruction, StaticFault, decode
from weft_sim.isa.state import MachineState
from weft_sim.isa.tokens import TokenLedger
from weft_sim.machine import MachineConfig
from weft_sim.result import Fault, RunOptions, RunResult

__all__ = ["GoldenMachine", "run"]


class GoldenMachine:
    """One launch, step by step. `executed` lists (program index, instruction, base registers before it) in
    execution order, as `races.check_execution` takes it."""

    def __init__(
        self,
        config: MachineConfig,
        dram: npt.NDArray[np.uint8],
        program_address: int,
        instruction_count: int,
        registers: Sequence[int],
    ) -> None:
        self.state = MachineState(config, dram, registers)
        self.program_address = program_address
        self.instruction_count = instruction_count
        self.ledger = TokenLedger()
        self.fault: Fault | None = None
        self.executed: list[tuple[int, Instruction, tuple[int, ...]]] = []

    def step(self) -> bool:
        """Executes one instruction; False when the program halted or faulted."""
        index = self.state.program_counter
        found = self._fetch(index)
        if isinstance(found, Instruction):
            fault = found.validate(self.state.config, self.state.registers, len(self.state.dram))
            fault = fault or self.ledger.dispatch(found)
        else:
            fault = found
        if fault is not None or not isinstance(found, Instruction):
            assert isinstance(fault, StaticFault)
            self.fault = Fault(fault.cause.name.lower(), index, fault.detail)
            return False
        self.executed.append((index, found, tuple(self.state.registers)))
        self.state.program_counter = index + 1
        found.execute(self.state)
        return not self.state.halted

    def _fetch(self, index: int) -> Instruction | StaticFault:
        start = self.program_address + index * INSTRUCTION_BYTES
        if index >= self.instruction_count:
            return StaticFault(FaultCause.PROGRAM_RANGE, f"the program has {self.instruction_count} instructions")
        return decode(self.state.dram[start : start + INSTRUCTION_BYTES].tobytes())


def run(
    config: MachineConfig,
    dram: npt.NDArray[np.uint8],
    program_address: int,
    instruction_count: int,
    registers: Sequence[int],
    options: RunOptions = RunOptions(),
) -> RunResult:
    """Runs the program at `program_address` (bytes) of `dram` (uint8, modified in place).

    Raises ValueError when the program itself does not lie inside `dram`; everything else ends as a fault in
    the result.
    """
    check_launch(dram, program_address, instruction_count, registers)
    machine = GoldenMachine(config, dram, program_address, instruction_count, registers)
    while machine.step():
        if len(machine.executed) >= options.instruction_limit:
            machine.fault = Fault(
                "cycle_limit", machine.state.program_counter, f"{options.instruction_limit} instructions"
            )
            break
    status = "fault" if machine.fault else "done"
    mailboxes = tuple(int(value) for value in machine.state.mailboxes)
    return RunResult(status, machine.fault, 0, len(machine.executed), mailboxes=mailboxes)


def check_launch(
    dram: npt.NDArray[np.uint8], program_address: int, instruction_count: int, registers: Sequence[int]
) -> None:
    """The launch conditions that every device checks. Raises ValueError in words."""
    if dram.dtype != np.uint8 or dram.ndim != 1 or not dram.flags.c_contiguous or len(dram) >= 1 << 32:
        raise ValueError("DRAM must be a contiguous one-dimensional uint8 array below 4 GiB")
    if program_address % INSTRUCTION_BYTES or not 0 <= program_address <= len(dram):
        raise ValueError(f"the program address {program_address} must be a multiple of {INSTRUCTION_BYTES} inside DRAM")
    if not 0 <= instruction_count <= (len(dram) - program_address) // INSTRUCTION_BYTES:
        raise ValueError(f"{instruction_count} instructions do not fit in DRAM behind address {program_address}")
    if len(registers) > 16 or any(not 0 <= int(value) < 1 << 32 for value in registers):
        raise ValueError("at most 16 base registers of 32 bits can be bound")
