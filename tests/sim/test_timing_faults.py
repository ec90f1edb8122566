"""Programs that stop early: cause, instruction, and that everything before the fault completes."""

from __future__ import annotations

import random

import numpy as np
import pytest
from timing_programs import launch, memory_with, random_config, random_program

from weft_sim import golden, isa, simulator
from weft_sim.isa import Halt, Jump, Load, Register, Store, Unit, Vector
from weft_sim.machine import machine
from weft_sim.result import RunOptions

CONFIG = machine("weft-16")
LOAD, STORE = 1 << Unit.LOAD, 1 << Unit.STORE
COPY = [Load(run_bytes=512, signal=STORE), Store(offset=4096, run_bytes=512, wait=LOAD)]


@pytest.mark.parametrize(
    ("wrong", "cause"),
    [
        (Load(opcode=200), "illegal_opcode"),
        (Load(count_0=0), "illegal_field"),
        (Load(offset=-1), "dram_range"),
        (Load(scratchpad=CONFIG.scratchpad_bytes - 1, run_bytes=2), "scratchpad_range"),
        (Vector(a_source=isa.Source.ACCUMULATOR_S32, a=CONFIG.accumulator_rows), "accumulator_range"),
        (Load(wait=STORE), "deadlock"),
        (Jump(target=99), "program_range"),
    ],
)
def test_what_comes_before_a_fault_completes(wrong: isa.Instruction, cause: str) -> None:
    program = [*COPY, wrong, Load(), Halt()]
    for single_step in (False, True):
        result, dram = launch(CONFIG, program, single_step=single_step)
        assert result.status == "fault" and result.fault is not None
        assert (result.fault.cause, result.fault.instruction) == (
            cause,
            99 if cause == "program_range" else 2,
        )
        assert result.fault.detail
        assert np.array_equal(dram[4096:4608], dram[:512])
        assert result.cycles == 286  # as if HALT had stood there


def test_more_tokens_than_a_channel_holds() -> None:
    program = [Register(destination=1, signal=LOAD)] * (isa.TOKEN_LIMIT + 1)
    result, _ = launch(CONFIG, [*program, Halt()])
    assert result.fault is not None
    assert (result.fault.cause, result.fault.instruction) == ("token_overflow", isa.TOKEN_LIMIT)


def test_running_off_the_end() -> None:
    result, _ = launch(CONFIG, [Register(destination=1)])
    assert result.fault is not None
    assert (result.fault.cause, result.fault.instruction) == ("program_range", 1)
    assert result.cycles == 86  # leaves in 83, fault in 84, done in 85


def test_an_empty_program() -> None:
    result = simulator.run(CONFIG, np.zeros(128, np.uint8), 0, 0, [])
    assert result.fault is not None
    assert (result.fault.cause, result.fault.instruction, result.cycles) == ("program_range", 0, 2)


@pytest.mark.parametrize("single_step", [False, True])
def test_cycle_limit(single_step: bool) -> None:
    exact, _ = launch(CONFIG, [*COPY, Halt()], cycle_limit=286, single_step=single_step)
    assert exact.status == "done"
    result, _ = launch(CONFIG, [*COPY, Halt()], cycle_limit=285, single_step=single_step)
    assert result.fault is not None and result.cycles == 285
    assert (result.fault.cause, result.fault.instruction) == ("cycle_limit", 3)
    early, _ = launch(CONFIG, [*COPY, Halt()], cycle_limit=100, single_step=single_step)
    assert early.fault is not None and early.fault.instruction == 2
    assert early.events["end"].tolist() == [100, 100]


def test_endless_loops_end() -> None:
    result, _ = launch(CONFIG, [Jump(target=0)], instruction_limit=50)
    assert result.fault is not None
    assert (result.fault.cause, result.fault.instruction, result.instructions) == ("cycle_limit", 0, 50)


@pytest.mark.parametrize("block", range(4))
def test_flipped_bits_end_like_on_the_golden_model(block: int) -> None:
    for seed in range(100 * block, 100 * (block + 1)):
        rng = random.Random(seed)
        config = random_config(rng)
        program = random_program(rng, config, rng.randint(1, 8))
        dram, address = memory_with(program)
        for _ in range(rng.randint(1, 6)):
            dram[rng.randrange(address, len(dram))] ^= 1 << rng.randrange(8)
        options = RunOptions(instruction_limit=40)
        expected_dram = dram.copy()
        expected = golden.run(config, expected_dram, address, len(program), [0], options)
        result = simulator.run(config, dram, address, len(program), [0], options)
        assert np.array_equal(dram, expected_dram)
        assert (result.status, result.instructions, result.mailboxes) == (
            expected.status,
            expected.instructions,
            expected.mailboxes,
        )
        if expected.fault is not None and result.fault is not None:
            assert (result.fault.cause, result.fault.instruction) == (
                expected.fault.cause,
                expected.fault.instruction,
            )


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes_are_a_clean_fault(seed: int) -> None:
    dram = np.random.default_rng(seed).integers(0, 256, 4096, dtype=np.uint8)
    dram[::128] = seed % 10  # mostly legal opcodes
    result = simulator.run(CONFIG, dram, 0, 32, [0] * 16, RunOptions(instruction_limit=1000))
    assert result.status == "fault" and result.fault is not None and result.fault.instruction < 33
