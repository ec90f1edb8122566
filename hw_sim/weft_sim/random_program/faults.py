"""One wrong instruction in an otherwise good program."""

from __future__ import annotations

import numpy as np

from weft_sim.isa import (
    INSTRUCTION_BYTES,
    NO_REGISTER,
    TOKEN_LIMIT,
    FaultCause,
    Fill,
    Instruction,
    Jump,
    Load,
    Register,
    Source,
    Store,
    Unit,
    Vector,
)

__all__ = ["FAULTS", "with_fault"]

_WRONG: dict[FaultCause, tuple[Instruction, ...]] = {
    FaultCause.ILLEGAL_OPCODE: (Fill(),),
    FaultCause.ILLEGAL_FIELD: (
        Fill(count_2=0), Fill(wait=1 << Unit.LOAD), Vector(a_source=Source.IMMEDIATE), Vector(operation=200),
        Fill(count_0=5000, count_1=5000), Load(register=16),
    ),
    FaultCause.DRAM_RANGE: (Load(offset=-(1 << 31)), Store(dram_stride_1=1 << 30, count_1=9)),
    FaultCause.SCRATCHPAD_RANGE: (
        Fill(scratchpad=(1 << 24) - 1, run_bytes=2), Fill(scratchpad_stride_0=-1, count_0=2),
    ),
    FaultCause.ACCUMULATOR_RANGE: (Vector(a_source=Source.ACCUMULATOR_S32, a=(1 << 24) - 1),),
    FaultCause.PROGRAM_RANGE: (Jump(target=0xFFFFFFFF), Jump(target=1 << 24)),
    FaultCause.DEADLOCK: (Fill(wait=1 << Unit.FETCH),),
    FaultCause.TOKEN_OVERFLOW: (Register(source=NO_REGISTER, destination=15, signal=1 << Unit.LOAD),),
}  # fmt: skip

FAULTS = tuple(_WRONG)
"""Every cause that an instruction can raise."""


def with_fault(rng: np.random.Generator, code: bytes, at: int, fault: FaultCause) -> bytes:
    """The program's bytes with instruction `at` replaced by one that raises the fault (for TOKEN_OVERFLOW: by
    a row of instructions of which the last does). No instruction of the program may signal LOAD from
    FETCH."""
    choices = _WRONG[fault]
    wrong = choices[int(rng.integers(len(choices)))].encode()
    if fault == FaultCause.ILLEGAL_OPCODE:
        wrong = bytes([int(rng.choice([0, 10, 255]))]) + wrong[1:]
    elif fault == FaultCause.ILLEGAL_FIELD and rng.random() < 0.3:
        wrong = wrong[:-1] + b"\x80"  # a reserved bit
    repeat = TOKEN_LIMIT + 1 if fault == FaultCause.TOKEN_OVERFLOW else 1
    start = at * INSTRUCTION_BYTES
    return code[:start] + wrong * repeat + code[start + INSTRUCTION_BYTES :]
