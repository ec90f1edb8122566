"""Random programs that golden model, simulator and RTL must agree on: valid, race-free, and all of whose
state is seen.

A program works inside an arena of scratchpad, accumulator rows and DRAM that straddles bank boundaries, and
ends by storing the arena and what the tables hold, so a wrong byte anywhere reaches DRAM. It is made of
segments: straight runs of random instructions, bounded loops, and skips that data decide. Tokens come from
`synchronize`, and some superfluous pairs are added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from weft_sim.isa import (
    INSTRUCTION_BYTES,
    Condition,
    Destination,
    FaultCause,
    Fill,
    Halt,
    Instruction,
    Jump,
    Operation,
    Register,
    Source,
    Unit,
    Vector,
)
from weft_sim.isa.program import encode_program
from weft_sim.machine import MachineConfig
from weft_sim.random_program.dump import dump_bytes, dump_constants, dump_state
from weft_sim.random_program.faults import FAULTS, with_fault
from weft_sim.random_program.instructions import Arena, random_instruction
from weft_sim.random_program.tokens import add_superfluous_tokens
from weft_sim.synchronize import synchronize

__all__ = ["RandomProgram", "generate"]

Generator = np.random.Generator
DATA_BYTES = 24 << 10  # three equal parts: floats, integers, bytes
DYNAMIC_REGISTER = 9
WALKING_REGISTER = 10
LOOP_STEPS = 3
STEP_BYTES = 96
COUNTER_MAILBOX = 0
DATA_MAILBOX = 1


@dataclass(frozen=True)
class RandomProgram:
    """A launch: DRAM (uint8, the program included), where the program lies, the registers that the host
    binds, and the fault that the program must end with (None: it halts). `instructions` are those before a
    fault's corruption."""

    instructions: tuple[Instruction, ...]
    dram: npt.NDArray[np.uint8]
    program_address: int
    instruction_count: int
    registers: tuple[int, ...]
    fault: FaultCause | None = None


def generate(config: MachineConfig, seed: int, length: int, fault: FaultCause | None = None) -> RandomProgram:
    """A program of about `length` random instructions (and the code that makes their results visible).

    Equal arguments give equal programs. With `fault`, one instruction of the program raises it (any cause but
    NONE and CYCLE_LIMIT, which no instruction raises; ValueError for these).
    """
    if fault is not None and fault not in FAULTS:
        raise ValueError(f"no instruction can raise {fault!r}")
    rng = np.random.default_rng(seed)
    builder = _Builder(rng, config)
    marked = int(rng.integers(max(1, length)))
    while len(builder.code) < length:
        builder.segment()
        if fault is not None and builder.marked < 0 and len(builder.code) >= marked:
            builder.mark()
    if fault is not None and builder.marked < 0:
        builder.mark()
    constants = DATA_BYTES - builder.registers[0]
    builder.code += dump_state(config, builder.arena, constants, constants + len(dump_constants()))
    builder.code.append(Halt())
    sources = [unit for unit in Unit if fault is None or unit != Unit.FETCH]
    program = add_superfluous_tokens(rng, synchronize(config, builder.code, builder.registers), sources)
    code = encode_program(program)
    if fault is not None:
        code = with_fault(rng, code, builder.marked, fault)
    return _launch(rng, builder, program, code, fault)


class _Builder:
    """A growing program without tokens."""

    def __init__(self, rng: Generator, config: MachineConfig) -> None:
        self.rng = rng
        self.config = config
        self.code: list[Instruction] = []
        self.marked = -1
        self.registers = tuple(int(value) for value in rng.integers(0, 4096, 4))
        vectors = min(config.vectors - 1, 12288 // config.lanes)
        rows = min(config.accumulator_rows - 1, 40)
        first = _straddle(rng, config.vectors, vectors, config.vectors // config.scratchpad_banks)
        first_row = _straddle(rng, config.accumulator_rows, rows, config.accumulator_bank_rows)
        offsets = dict.fromkeys(range(len(self.registers)), (0, DATA_BYTES - 4096))
        # the first vector and row stay with the loops' counter
        self.counter = (first, first_row)
        self.arena = Arena(config, (first + 1, first + vectors), (first_row + 1, first_row + rows), offsets)

    def segment(self) -> None:
        """Appends straight code, a loop, or a skip."""
        kind = self.rng.random()
        if kind < 0.15:
            self._loop()
        elif kind < 0.3:
            self._skip()
        else:
            self._straight(int(self.rng.integers(3, 12)))

    def mark(self) -> None:
        """Leaves an instruction that a fault can replace."""
        self.marked = len(self.code)
        self.code.append(Fill(scratchpad=self.counter[0] * self.config.lanes))

    def _straight(self, count: int) -> None:
        arena = self.arena
        if self.rng.random() < 0.4:
            arena = self._dynamic(arena)
        self.code += [random_instruction(self.rng, arena) for _ in range(count)]

    def _dynamic(self, arena: Arena) -> Arena:
        """Makes a base register depend on data: base + (0 to 7) × scale."""
        source = int(self.rng.integers(len(self.registers)))
        scale = int(self.rng.integers(-40, 41))
        offset = int(self.rng.integers(0, 64)) + max(0, -7 * scale)
        self.code.append(self._to_mailbox(DATA_MAILBOX, low=0.0, high=7.0))
        self.code.append(
            Register(destination=DYNAMIC_REGISTER, source=source, mailbox=DATA_MAILBOX, offset=offset, scale=scale)
        )
        low, high = arena.offsets[source]
        return replace(arena, offsets={**arena.offsets, DYNAMIC_REGISTER: (low, high - 400)})

    def _to_mailbox(self, mailbox: int, low: float, high: float) -> Vector:
        source = int(self.rng.choice([Source.SCRATCHPAD_S8, Source.ACCUMULATOR_S32]))
        first, last = self.arena.vectors if source == Source.SCRATCHPAD_S8 else self.arena.rows
        return Vector(
            a_source=source, a=int(self.rng.integers(first, last)), b_source=Source.IMMEDIATE,
            destination=Destination.MAILBOX, d=mailbox, low=low, high=high,
        )  # fmt: skip

    def _jump_next(self) -> None:
        """Every unit catches up; a JUMP may go to what follows."""
        self.code.append(Jump(target=len(self.code) + 1))

    def _loop(self) -> None:
        """Counts in a row of floats up to a bound; the body uses a register that walks through DRAM."""
        vector, row = self.counter
        steps = int(self.rng.integers(1, LOOP_STEPS + 1))
        self.code.append(Fill(scratchpad=vector * self.config.lanes, run_bytes=self.config.lanes))
        self.code.append(Vector(a=vector, d=row, b_source=Source.IMMEDIATE, destination=Destination.ACCUMULATOR_F32))
        self.code.append(Register(destination=WALKING_REGISTER, source=1, offset=int(self.rng.integers(64))))
        self._jump_next()
        top = len(self.code)
        low, high = self.arena.offsets[1]
        walking = {**self.arena.offsets, WALKING_REGISTER: (low, high - 64 - LOOP_STEPS * STEP_BYTES)}
        arena = replace(self.arena, offsets=walking)
        self.code += [random_instruction(self.rng, arena) for _ in range(int(self.rng.integers(2, 8)))]
        step = int(self.rng.integers(STEP_BYTES))
        self.code.append(Register(destination=WALKING_REGISTER, source=WALKING_REGISTER, offset=step))
        self.code.append(
            Vector(
                a_source=Source.ACCUMULATOR_F32,
                a=row,
                d=row,
                b_source=Source.IMMEDIATE,
                operation=Operation.ADD,
                destination=Destination.ACCUMULATOR_F32,
            )
        )
        self.code.append(
            Vector(
                a_source=Source.ACCUMULATOR_F32,
                a=row,
                b_source=Source.IMMEDIATE,
                destination=Destination.MAILBOX,
                d=COUNTER_MAILBOX,
            )
        )
        self.code.append(Jump(condition=Condition.LESS, mailbox=COUNTER_MAILBOX, value=steps, target=top))

    def _skip(self) -> None:
        """Runs some instructions only if a value is small enough."""
        self.code.append(self._to_mailbox(DATA_MAILBOX, low=-100.0, high=100.0))
        inner = [random_instruction(self.rng, self.arena) for _ in range(int(self.rng.integers(1, 6)))]
        target = len(self.code) + len(inner) + 2
        condition = Condition(int(self.rng.choice([c for c in Condition if c != Condition.ALWAYS])))
        value = int(self.rng.integers(-5, 6))
        self.code.append(Jump(condition=condition, mailbox=DATA_MAILBOX, value=value, target=target))
        self.code += inner
        self._jump_next()


def _straddle(rng: Generator, total: int, size: int, bank: int) -> int:
    """First unit of an area of `size` that, where possible, crosses a multiple of `bank`."""
    boundary = bank * int(rng.integers(1, max(2, total // bank)))
    return int(np.clip(boundary - int(rng.integers(1, size)), 0, total - size))


def _launch(
    rng: Generator, builder: _Builder, program: Sequence[Instruction], code: bytes, fault: FaultCause | None
) -> RandomProgram:
    """Fills DRAM: ordinary floats, small integers and any bytes, then the dump's constants and room, then the
    program."""
    third = DATA_BYTES // 3
    data = [
        rng.normal(0, 8, third // 4).astype("<f4").view(np.uint8),
        rng.integers(-300, 300, third // 4).astype("<i4").view(np.uint8),
        rng.integers(0, 256, third, dtype=np.uint8),
        dump_constants(),
        np.zeros(dump_bytes(builder.config, builder.arena), np.uint8),
    ]
    used = sum(map(len, data))
    data += [np.zeros(-used % INSTRUCTION_BYTES, np.uint8), np.frombuffer(code, np.uint8)]
    address = used + -used % INSTRUCTION_BYTES
    count = len(code) // INSTRUCTION_BYTES
    return RandomProgram(tuple(program), np.concatenate(data), address, count, builder.registers, fault)
