"""The simulator against an independent, plain reading of docs/machine.md (reference_machine.py)."""

from __future__ import annotations

import random

import pytest
from reference_machine import Reference
from timing_programs import launch, random_config, random_program

from weft_sim import isa
from weft_sim.isa import Halt, Jump, Register
from weft_sim.machine import PRESETS, MachineConfig


def agree(config: MachineConfig, program: list[isa.Instruction], seed: int = 0) -> None:
    reference = Reference(config, program, seed)
    cycles = reference.run()
    result, _ = launch(config, program, timing_only=True, stall_seed=seed)
    assert result.cycles == cycles
    assert [list(event) for event in result.events.tolist()] == reference.events
    for unit, counters in result.units.items():
        for activity, count in (("busy", counters.busy), *counters.stalls.items()):
            assert count == reference.activity[unit, activity], (unit, activity)
    assert result.read_bytes == reference.dram.read_beats * config.dram_beat_bytes
    assert result.write_bytes == reference.dram.write_beats * config.dram_beat_bytes


@pytest.mark.parametrize("block", range(6))
def test_random_programs_on_random_machines(block: int) -> None:
    for seed in range(1000 + 50 * block, 1050 + 50 * block):
        rng = random.Random(seed)
        config = random_config(rng)
        agree(config, random_program(rng, config, rng.randint(1, 14)), rng.choice([0, 0, seed]))


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_random_programs_on_the_presets(name: str) -> None:
    for seed in range(8):
        agree(PRESETS[name], random_program(random.Random(seed), PRESETS[name], 16))


@pytest.mark.parametrize("distance", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("outstanding", [1, 2, 8])
def test_jumps_drop_what_is_in_flight(distance: int, outstanding: int) -> None:
    rng = random.Random(distance)
    config = random_config(rng)
    for latency in (1, 9, 64):
        values = config.to_dict() | {
            "outstanding_bursts": outstanding,
            "dram_latency": latency,
            "fetch_depth": 8,
        }
        program: list[isa.Instruction] = [Register(destination=1)] * 14 + [Halt()]
        program[0] = Jump(target=distance)
        program[min(distance + 1, 12)] = Jump(target=13)
        agree(MachineConfig.from_dict(values), program)
