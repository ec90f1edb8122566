"""Random programs: deterministic, valid, race-free, covering, and such that a wrong byte shows."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from weft_sim import PRESETS, golden
from weft_sim.golden import GoldenMachine
from weft_sim.isa import (
    OPCODES,
    FaultCause,
    Instruction,
    Matmul,
    MatmulMode,
    Operation,
    Reduction,
    Unit,
    Vector,
    decode,
)
from weft_sim.machine import MachineConfig, machine
from weft_sim.races import check_execution
from weft_sim.random_program import RandomProgram, generate
from weft_sim.random_program.faults import FAULTS
from weft_sim.random_program.tokens import add_superfluous_tokens

TINY = MachineConfig(
    name="tiny", lanes=4, scratchpad_bytes=8192, scratchpad_banks=1, accumulator_rows=64, accumulator_banks=1,
    dram_beat_bytes=4, line_depth=16,
)  # fmt: skip
CONFIGS = [*PRESETS.values(), TINY]


def _run(config: MachineConfig, program: RandomProgram) -> GoldenMachine:
    dram = program.dram.copy()
    run = GoldenMachine(config, dram, program.program_address, program.instruction_count, program.registers)
    while run.step():
        pass
    return run


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
@pytest.mark.parametrize("seed", range(5))
def test_programs_halt_without_races(config: MachineConfig, seed: int) -> None:
    program = generate(config, seed, 40)
    run = _run(config, program)
    assert run.fault is None
    text = (program.program_address, program.instruction_count)
    assert check_execution(config, run.executed, len(program.dram), text) == []


def test_equal_seeds_give_equal_programs() -> None:
    first, second, other = (generate(TINY, seed, 30) for seed in (7, 7, 8))
    assert first.instructions == second.instructions
    assert (first.dram == second.dram).all()
    assert first.instructions != other.instructions


def test_everything_is_covered() -> None:
    executed: list[Instruction] = []
    for seed in range(25):
        executed += [item for _, item, _ in _run(TINY, generate(TINY, 1000 + seed, 60)).executed]
    assert {type(item) for item in executed} == set(OPCODES.values())
    matmuls = [item for item in executed if isinstance(item, Matmul)]
    assert {(item.mode, item.weight_order) for item in matmuls} == {(0, 0), (0, 1), (1, 0)}
    assert {item.window_rows for item in matmuls if item.mode == MatmulMode.DEPTHWISE} == {1, 2, 3, 4}
    vectors = [item for item in executed if isinstance(item, Vector)]
    for name, count in (("a_source", 4), ("b_source", 6), ("destination", 5), ("table", 3), ("parameters", 2)):
        assert len(Counter(getattr(item, name) for item in vectors)) == count, name
    assert {item.operation for item in vectors} == set(Operation)
    assert {item.reduction for item in vectors} == set(Reduction)
    channels = {(item.UNIT, unit) for item in executed for unit in Unit if item.signal >> unit & 1}
    assert len(channels) == len(Unit) * (len(Unit) - 1)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("seed", range(6))
def test_faults_on_request(fault: FaultCause, seed: int) -> None:
    program = generate(TINY, seed, 20, fault)
    result = golden.run(
        TINY, program.dram.copy(), program.program_address, program.instruction_count, program.registers
    )
    assert result.fault is not None
    assert result.fault.cause == fault.name.lower()
    assert program.fault == fault


def test_causes_that_no_instruction_raises_are_refused() -> None:
    for fault in (FaultCause.NONE, FaultCause.CYCLE_LIMIT):
        with pytest.raises(ValueError, match="no instruction can raise"):
            generate(TINY, 0, 5, fault)


def _flip(run: GoldenMachine, rng: np.random.Generator) -> None:
    """One random bit of the state that programs use."""
    written = {s for _, item, r in run.executed for s in item.streams(run.state.config, r) if s.write}
    rows = sorted(s.base for s in written if s.name in ("accumulator", "d") and s.space == 2)
    local = sorted(s.base for s in written if s.space == 1)
    if rows and rng.random() < 0.5:
        row, lane = int(rng.choice(rows)), int(rng.integers(run.state.config.lanes))
        run.state.accumulators[row, lane] ^= np.int32(1 << int(rng.integers(24)))
    else:
        run.state.scratchpad[int(rng.choice(local))] ^= np.uint8(1 << int(rng.integers(8)))


@pytest.mark.parametrize("seed", range(8))
def test_a_flipped_bit_of_the_state_reaches_dram(seed: int) -> None:
    config = machine("weft-8")
    program = generate(config, seed, 40)
    good = _run(config, program).state.dram
    dump = next(i for i, item in enumerate(program.instructions) if item.MNEMONIC == "STORE" and item.run_bytes > 8192)
    rng = np.random.default_rng(seed)
    dram = program.dram.copy()
    run = GoldenMachine(config, dram, program.program_address, program.instruction_count, program.registers)
    while run.state.program_counter != dump:
        assert run.step()
    _flip(run, rng)
    while run.step():
        pass
    assert (dram != good).any()


def test_superfluous_tokens_keep_programs_race_free_and_are_there() -> None:
    program = generate(TINY, 3, 60)
    more = add_superfluous_tokens(np.random.default_rng(0), program.instructions, list(Unit))
    assert sum(item.wait.bit_count() for item in more) > sum(item.wait.bit_count() for item in program.instructions)
    code = b"".join(item.encode() for item in more)
    dram = program.dram.copy()
    dram[program.program_address :] = np.frombuffer(code, np.uint8)
    assert isinstance(decode(code[:128]), Instruction)
    run = GoldenMachine(TINY, dram, program.program_address, len(more), program.registers)
    while run.step():
        pass
    assert run.fault is None
    assert check_execution(TINY, run.executed, len(dram)) == []
    np.testing.assert_array_equal(
        dram[: program.program_address], _run(TINY, program).state.dram[: program.program_address]
    )
