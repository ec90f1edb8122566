"""Random programs and random bytes: golden model and simulator leave the same memory and the same fault, cleanly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft_sim import golden, simulator
from weft_sim.isa import INSTRUCTION_BYTES, OPCODES, FaultCause
from weft_sim.machine import MachineConfig, machine
from weft_sim.random_program import RandomProgram, generate
from weft_sim.result import RunOptions

TINY = MachineConfig(
    name="tiny", lanes=4, scratchpad_bytes=4096, scratchpad_banks=2, accumulator_rows=64, accumulator_banks=2,
    dram_beat_bytes=4, dram_latency=3, burst_beats=4, outstanding_bursts=2, queue_depth=2, fetch_depth=2, line_depth=16,
)  # fmt: skip
MACHINES = {name: machine(name) for name in ("weft-8", "weft-16", "weft-32", "vta-16")} | {"tiny": TINY}
CAUSES = tuple(cause for cause in FaultCause if cause not in (FaultCause.NONE, FaultCause.CYCLE_LIMIT))
seeds = st.integers(0, 2**32 - 1)


def assert_alike(config: MachineConfig, program: RandomProgram, stall_seed: int) -> None:
    launch = (program.program_address, program.instruction_count, program.registers)
    expected, found = program.dram.copy(), program.dram.copy()
    wanted = golden.run(config, expected, *launch)
    result = simulator.run(config, found, *launch, RunOptions(stall_seed=stall_seed))
    assert (result.status, result.mailboxes) == (wanted.status, wanted.mailboxes)
    causes = [None if each.fault is None else (each.fault.cause, each.fault.instruction) for each in (wanted, result)]
    assert causes[0] == causes[1]
    np.testing.assert_array_equal(found, expected)


@given(seeds, st.sampled_from(sorted(MACHINES)), st.integers(1, 60), st.sampled_from((0, 0, 7)))
def test_valid_programs(seed: int, name: str, length: int, stall_seed: int) -> None:
    config = MACHINES[name]
    assert_alike(config, generate(config, seed, length), stall_seed)


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.name.lower())
@pytest.mark.parametrize("name", ("weft-8", "tiny"))
def test_programs_with_a_fault(name: str, cause: FaultCause) -> None:
    config = MACHINES[name]
    for seed in range(8):
        assert_alike(config, generate(config, seed, 20, cause), 0)


@given(st.binary(min_size=0, max_size=6 * INSTRUCTION_BYTES), st.sampled_from(sorted(OPCODES)), st.booleans())
def test_random_bytes_end_in_a_clean_fault(data: bytes, opcode: int, plausible: bool) -> None:
    """Also with a real opcode and clear reserved bits in front, so that later checks are reached."""
    dram = np.zeros(64 * 1024, np.uint8)
    body = bytearray(data[: len(data) // INSTRUCTION_BYTES * INSTRUCTION_BYTES])
    for start in range(0, len(body), INSTRUCTION_BYTES) if plausible else ():
        used = OPCODES[opcode].BITS // 8
        body[start] = opcode
        body[start + used : start + INSTRUCTION_BYTES] = bytes(INSTRUCTION_BYTES - used)
    dram[: len(body)] = np.frombuffer(bytes(body), np.uint8)
    results = []
    for run in (golden.run, simulator.run):
        memory = dram.copy()
        options = RunOptions(cycle_limit=2_000_000, instruction_limit=1000)
        result = run(MACHINES["weft-8"], memory, 0, len(body) // INSTRUCTION_BYTES, [0, 4096], options)
        assert result.status in ("done", "fault")
        results.append((result.fault and (result.fault.cause, result.fault.instruction), memory.tobytes()))
    if "cycle_limit" not in str(results):
        assert results[0] == results[1]
