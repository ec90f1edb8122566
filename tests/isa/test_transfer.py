"""LOAD, STORE and FILL byte by byte; FETCH's instructions; programs on the golden machine."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from weft_sim import golden
from weft_sim.isa import (
    NO_MAILBOX,
    NO_REGISTER,
    Condition,
    Fill,
    Halt,
    Instruction,
    Jump,
    Load,
    MachineState,
    Register,
    Store,
    Unit,
)  # fmt: skip
from weft_sim.isa.program import encode_program
from weft_sim.machine import machine
from weft_sim.random_program.instructions import Arena, _fill, _load, _store
from weft_sim.result import RunOptions

CONFIG = machine("weft-8")


def _state(seed: int) -> MachineState:
    rng = np.random.default_rng(seed)
    state = MachineState(CONFIG, rng.integers(0, 256, 5000, dtype=np.uint8), [100, 7])
    state.scratchpad[:] = rng.integers(0, 256, len(state.scratchpad))
    return state


def reference(i: Instruction, state: MachineState) -> None:
    counts = [getattr(i, f"count_{n}") for n in range(4)]
    for digits in product(*map(range, counts)):
        local = i.scratchpad + sum(getattr(i, f"scratchpad_stride_{n}") * d for n, d in enumerate(digits))
        for byte in range(i.run_bytes):
            if isinstance(i, Fill):
                state.scratchpad[local + byte] = i.value
                continue
            far = state.registers[i.register] + i.offset
            far += sum(getattr(i, f"dram_stride_{n}") * d for n, d in enumerate(digits))
            if isinstance(i, Load):
                state.scratchpad[local + byte] = state.dram[far + byte]
            else:
                state.dram[far + byte] = state.scratchpad[local + byte]


@pytest.mark.parametrize("maker", [_load, _store, _fill])
@pytest.mark.parametrize("seed", range(12))
def test_random_runs(maker, seed: int) -> None:
    instruction = maker(np.random.default_rng(seed), Arena(CONFIG, (3, 203), (0, 4), {0: (0, 3000), 1: (100, 2500)}))
    expected, found = _state(seed), _state(seed)
    reference(instruction, expected)
    instruction.execute(found)
    np.testing.assert_array_equal(found.dram, expected.dram)
    np.testing.assert_array_equal(found.scratchpad, expected.scratchpad)


@pytest.mark.parametrize(
    ("condition", "taken"),
    [("ALWAYS", "yyy"), ("EQUAL", "nyn"), ("NOT_EQUAL", "yny"), ("LESS", "ynn"), ("GREATER_EQUAL", "nyy")],
)
def test_jump_compares_signed(condition: str, taken: str) -> None:
    for mailbox, expected in zip((-(1 << 31), -4, (1 << 31) - 1), taken, strict=True):
        state = _state(0)
        state.mailboxes[3] = mailbox
        state.program_counter = 1
        Jump(condition=Condition[condition], mailbox=3, value=-4, target=77).execute(state)
        assert state.program_counter == (77 if expected == "y" else 1)


def test_registers_wrap() -> None:
    state = _state(0)
    state.mailboxes[2] = -3
    Register(destination=5, source=0, mailbox=2, offset=-(1 << 31), scale=7).execute(state)
    assert state.registers[5] == (100 - (1 << 31) - 21) % (1 << 32)
    Register(destination=5, source=NO_REGISTER, mailbox=NO_MAILBOX, offset=-1, scale=9).execute(state)
    assert state.registers[5] == (1 << 32) - 1


def _run(program: list[Instruction], **options: int) -> tuple[object, np.ndarray]:
    dram = np.zeros(4096, np.uint8)
    code = np.frombuffer(encode_program(program), np.uint8)
    dram[: len(code)] = code
    return golden.run(CONFIG, dram, 0, len(program), [2048], RunOptions(**options)), dram


def test_golden_stops_before_the_instruction_at_fault() -> None:
    result, dram = _run([Fill(value=9, run_bytes=4), Store(run_bytes=4), Store(offset=5, wait=1 << Unit.LOAD), Halt()])
    assert (result.status, result.fault.cause, result.fault.instruction) == ("fault", "deadlock", 2)
    assert dram[2048:2056].tolist() == [9, 9, 9, 9, 0, 0, 0, 0]
    assert result.instructions == 2


@pytest.mark.parametrize(
    ("program", "cause", "at"),
    [
        ([Fill()], "program_range", 1),
        ([], "program_range", 0),
        ([Jump(target=9), Halt()], "program_range", 9),
        ([Jump(target=0)], "cycle_limit", 0),
        ([Load(offset=2048)], "dram_range", 0),
    ],
)  # fmt: skip
def test_faults(program: list[Instruction], cause: str, at: int) -> None:
    result, _ = _run(program, instruction_limit=50)
    assert (result.fault.cause, result.fault.instruction) == (cause, at)


def test_launch_conditions() -> None:
    dram = np.zeros(1024, np.uint8)
    for bad in (
        (dram[::2], 0, 1, []), (dram.view(np.int8), 0, 1, []), (dram, 64, 1, []), (dram, 0, 9, []), (dram, -128, 1, []),
        (dram, 0, 1, [0] * 17), (dram, 0, 1, [1 << 32]), (dram, 0, -1, []),
    ):  # fmt: skip
        with pytest.raises(ValueError):
            golden.run(CONFIG, *bad)
