"""A launch before the launch: what a machine does must not depend on what it did before.

The program leaves as much behind as a program can (tokens that nobody took, base registers, mailboxes, digits and
pointers of every unit), but its data are all zeros, because memories are zero at a launch (docs/machine.md) and only a
program changes them.
"""

from __future__ import annotations

from dataclasses import dataclass

from weft_sim.isa import (
    REGISTERS,
    Destination,
    Fill,
    Halt,
    Instruction,
    Load,
    Matmul,
    MatmulMode,
    Operation,
    Register,
    Source,
    Store,
    Table,
    Unit,
    Vector,
)
from weft_sim.isa.program import encode_program
from weft_sim.machine import MachineConfig

__all__ = ["Rehearsal", "rehearsal"]

_ZEROS = 1 << 14
"""Address of the zeros that are loaded, bytes; STORE writes behind them."""


@dataclass(frozen=True)
class Rehearsal:
    """Memory with a program at address 0, and its number of instructions. The launch is left to its end, or the machine
    is reset in cycle `reset_at` of it (0: never)."""

    dram: bytes
    instruction_count: int
    reset_at: int = 0


def rehearsal(config: MachineConfig, reset_at: int = 0) -> Rehearsal:
    """The launch before, for a machine with at least 16 vectors and rows."""
    program = _program(config)
    code = encode_program(program)
    assert len(code) <= _ZEROS
    return Rehearsal(code + bytes(2 * _ZEROS - len(code)), len(program), reset_at)


def _program(config: MachineConfig) -> tuple[Instruction, ...]:
    """No instruction waits, so that every token stays: all operands are zero, whatever comes first."""
    others = {unit: sum(1 << other for other in Unit if other != unit) for unit in Unit}
    lanes = config.lanes
    window = min(lanes // 2, 3)
    transfer = {"register": 0, "scratchpad": 3, "run_bytes": 5 * lanes + 1, "count_2": 2, "count_3": 3}
    load = Load(offset=_ZEROS + 5, dram_stride_3=99, scratchpad_stride_3=lanes, signal=others[Unit.LOAD], **transfer)
    store = Store(
        offset=_ZEROS + 4097, dram_stride_3=99, scratchpad_stride_3=lanes, signal=others[Unit.STORE], **transfer
    )
    dense = Matmul(
        weight_rows=lanes, input_lanes=lanes, inner_count_2=7, inner_input_stride_2=1, inner_accumulator_stride_2=1,
        outer_count_3=3, reduce_mask=8, signal=others[Unit.MXU],
    )  # fmt: skip
    depthwise = Matmul(
        mode=MatmulMode.DEPTHWISE, window_rows=2, window_columns=window, weight_rows=2 * window, input_lanes=lanes,
        inner_count_1=3, inner_count_2=4, inner_input_stride_1=4, inner_input_stride_2=1, inner_accumulator_stride_2=1,
    )  # fmt: skip
    mailbox = Vector(
        a_source=Source.ACCUMULATOR_S32, b_source=Source.IMMEDIATE, operation=Operation.ADD, b_scale=1234.0, count_3=2,
        count_4=3, destination=Destination.MAILBOX, signal=others[Unit.VPU],
    )  # fmt: skip
    divide = Vector(
        a_source=Source.SCRATCHPAD_S8, b_source=Source.IMMEDIATE, operation=Operation.DIVIDE, b_scale=3.0, parameters=1,
        count_4=3, d_stride_4=1, destination=Destination.ACCUMULATOR_S32,
    )  # fmt: skip
    registers = [
        Register(destination=n, offset=0x5A5A5A00 + n, signal=others[Unit.FETCH] if n < 4 else 0)
        for n in range(1, REGISTERS)
    ]
    work = [
        load,
        dense,
        store,
        depthwise,
        mailbox,
        divide,
        Fill(run_bytes=lanes + 1, count_3=3, scratchpad_stride_3=lanes),
    ]
    ends = [mailbox.replace(d=number) for number in (5, 15)]
    return (*registers, *work, Table(slot=1), *ends, load.replace(signal=0), store.replace(signal=0), Halt())
