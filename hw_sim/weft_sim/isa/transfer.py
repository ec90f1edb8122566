"""LOAD, STORE and FILL: strided byte runs between DRAM and scratchpad."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from weft_sim.isa.architecture import REGISTERS, Space, Unit
from weft_sim.isa.field import SignedField, UnsignedField
from weft_sim.isa.instruction import AddressStream, Instruction
from weft_sim.isa.state import MachineState, addresses
from weft_sim.machine import MachineConfig

__all__ = ["Fill", "Load", "Store"]

_LOOPS = 4


def _dims(instruction: Instruction, stride: str) -> tuple[tuple[int, int], ...]:
    counts = instruction.consecutive("count_0", _LOOPS)
    return tuple(zip(counts, instruction.consecutive(f"{stride}_stride_0", _LOOPS), strict=True))


class Transfer(Instruction):
    """What LOAD and STORE share: fields, checks and address streams."""

    __slots__ = ()
    register = UnsignedField(8, "base register of the DRAM address")
    offset = SignedField(32, "bytes from the base register")
    scratchpad = UnsignedField(24, "byte address in the scratchpad")
    run_bytes = UnsignedField(16, "contiguous bytes of each run", 1)
    count_0 = UnsignedField(16, "steps of loop 0 (outermost)", 1)
    count_1 = UnsignedField(16, "steps of loop 1", 1)
    count_2 = UnsignedField(16, "steps of loop 2", 1)
    count_3 = UnsignedField(16, "steps of loop 3 (innermost)", 1)
    dram_stride_0 = SignedField(32, "bytes per step of loop 0")
    dram_stride_1 = SignedField(32, "bytes per step of loop 1")
    dram_stride_2 = SignedField(32, "bytes per step of loop 2")
    dram_stride_3 = SignedField(32, "bytes per step of loop 3")
    scratchpad_stride_0 = SignedField(24, "bytes per step of loop 0")
    scratchpad_stride_1 = SignedField(24, "bytes per step of loop 1")
    scratchpad_stride_2 = SignedField(24, "bytes per step of loop 2")
    scratchpad_stride_3 = SignedField(24, "bytes per step of loop 3")

    _WRITES = Space.SCRATCHPAD

    def loop_counts(self) -> tuple[int, ...]:
        return (self.count_0, self.count_1, self.count_2, self.count_3, self.run_bytes)

    def check_fields(self, config: MachineConfig) -> str | None:
        if self.register >= REGISTERS:
            return f"register {self.register} does not exist"
        return super().check_fields(config)

    def streams(self, config: MachineConfig, registers: Sequence[int]) -> tuple[AddressStream, ...]:
        base = registers[self.register] + self.offset
        run, writes = self.run_bytes, self._WRITES
        dram = AddressStream("dram", Space.DRAM, writes == Space.DRAM, base, run, _dims(self, "dram"))
        local = AddressStream(
            "scratchpad",
            Space.SCRATCHPAD,
            writes == Space.SCRATCHPAD,
            self.scratchpad,
            run,
            _dims(self, "scratchpad"),
        )
        return (dram, local)


class Load(Transfer, opcode=4, mnemonic="LOAD", unit=Unit.LOAD):
    """Copies runs of `run_bytes` bytes from DRAM to scratchpad, one for each step of four nested loops.

    DRAM address: registers[register] + offset + Σ dram_stride_i·digit_i; scratchpad address: scratchpad +
    Σ scratchpad_stride_i·digit_i, all in bytes, loop 0 outermost. Strides smaller than the run make
    overlapping rows (im2col); a run may start and end at any byte. Where runs overlap in the destination, the
    later one's bytes stay.
    """

    __slots__ = ()

    def execute(self, state: MachineState) -> None:
        dram, local = self.streams(state.config, state.registers)
        sources, targets = addresses(dram.base, dram.dims), addresses(local.base, local.dims)
        for source, target in zip(sources.tolist(), targets.tolist(), strict=True):
            state.scratchpad[target : target + self.run_bytes] = state.dram[source : source + self.run_bytes]


class Store(Transfer, opcode=5, mnemonic="STORE", unit=Unit.STORE):
    """Copies runs of `run_bytes` bytes from scratchpad to DRAM, one for each step of four nested loops.

    Addresses as in LOAD. Bytes outside the runs are not touched.
    """

    __slots__ = ()
    _WRITES = Space.DRAM

    def execute(self, state: MachineState) -> None:
        dram, local = self.streams(state.config, state.registers)
        targets, sources = addresses(dram.base, dram.dims), addresses(local.base, local.dims)
        for source, target in zip(sources.tolist(), targets.tolist(), strict=True):
            state.dram[target : target + self.run_bytes] = state.scratchpad[source : source + self.run_bytes]


class Fill(Instruction, opcode=6, mnemonic="FILL", unit=Unit.LOAD):
    """Writes the byte `value` to runs of `run_bytes` bytes of the scratchpad: borders of padded tensors."""

    __slots__ = ()
    value = UnsignedField(8, "the byte written")
    scratchpad = UnsignedField(24, "byte address in the scratchpad")
    run_bytes = UnsignedField(16, "contiguous bytes of each run", 1)
    count_0 = UnsignedField(16, "steps of loop 0 (outermost)", 1)
    count_1 = UnsignedField(16, "steps of loop 1", 1)
    count_2 = UnsignedField(16, "steps of loop 2", 1)
    count_3 = UnsignedField(16, "steps of loop 3 (innermost)", 1)
    scratchpad_stride_0 = SignedField(24, "bytes per step of loop 0")
    scratchpad_stride_1 = SignedField(24, "bytes per step of loop 1")
    scratchpad_stride_2 = SignedField(24, "bytes per step of loop 2")
    scratchpad_stride_3 = SignedField(24, "bytes per step of loop 3")

    def loop_counts(self) -> tuple[int, ...]:
        return (self.count_0, self.count_1, self.count_2, self.count_3, self.run_bytes)

    def streams(self, config: MachineConfig, registers: Sequence[int]) -> tuple[AddressStream, ...]:
        dims = _dims(self, "scratchpad")
        return (AddressStream("scratchpad", Space.SCRATCHPAD, True, self.scratchpad, self.run_bytes, dims),)

    def execute(self, state: MachineState) -> None:
        (local,) = self.streams(state.config, state.registers)
        starts = addresses(local.base, local.dims)
        state.scratchpad[starts[:, None] + np.arange(self.run_bytes)] = self.value
