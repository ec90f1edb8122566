"""Skipping ahead is only a faster way to the same answer, and data does not depend on time."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from timing_programs import launch, memory_with, random_config, random_program

from weft_sim import DeviceFault, golden, isa, simulator
from weft_sim.isa import Halt, Jump, Load, Matmul, Store, Unit, Vector
from weft_sim.machine import PRESETS, MachineConfig
from weft_sim.result import RunOptions, RunResult


def everything(result: RunResult) -> tuple[Any, ...]:
    """All that a run answers, comparable."""
    return (
        result.status,
        result.fault,
        result.cycles,
        result.instructions,
        result.units,
        result.read_bytes,
        result.write_bytes,
        result.mailboxes,
        result.events.tolist(),
    )


def compare(config: MachineConfig, program: list[isa.Instruction], **options: Any) -> RunResult:
    stepped, stepped_dram = launch(config, program, single_step=True, **options)
    skipped, skipped_dram = launch(config, program, **options)
    assert everything(stepped) == everything(skipped)
    assert np.array_equal(stepped_dram, skipped_dram)
    return stepped


@pytest.mark.parametrize("block", range(8))
def test_skipping_equals_single_stepping_on_random_machines(block: int) -> None:
    for seed in range(100 * block, 100 * (block + 1)):
        rng = random.Random(seed)
        config = random_config(rng)
        program = random_program(rng, config, rng.randint(1, 30))
        compare(config, program, timing_only=True, stall_seed=rng.choice([0, 0, seed + 1]))


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_skipping_equals_single_stepping_on_the_presets(name: str) -> None:
    for seed in range(40):
        rng = random.Random(seed)
        compare(PRESETS[name], random_program(rng, PRESETS[name], 40), timing_only=True)


def convolution(config: MachineConfig, tiles: int) -> list[isa.Instruction]:
    """A convolution in `tiles` double-buffered steps, buffers side by side, so that banks are contended."""
    lanes, pixels = config.lanes, 8 * 20
    load, store, mxu, vpu = (1 << unit for unit in (Unit.LOAD, Unit.STORE, Unit.MXU, Unit.VPU))
    program: list[isa.Instruction] = []
    for tile in range(tiles):
        half, reused = tile % 2, tile >= 2
        inputs, weights = half * 220, 440 + half * 9 * lanes
        result, record = 440 + 18 * lanes + half * pixels, 440 + 18 * lanes + 2 * pixels
        program += [
            Load(
                offset=64 * tile,
                scratchpad=inputs * lanes,
                run_bytes=22 * lanes,
                count_3=10,
                dram_stride_3=640,
                scratchpad_stride_3=22 * lanes,
                wait=mxu if reused else 0,
            ),
            Load(offset=8192, scratchpad=record * lanes, run_bytes=8 * lanes),
            Load(offset=4096, scratchpad=weights * lanes, run_bytes=9 * lanes * lanes, signal=mxu),
            Matmul(
                input=inputs,
                weight=weights,
                input_lanes=lanes,
                weight_rows=lanes,
                accumulator=half * pixels,
                reduce_mask=12,
                outer_count_2=3,
                outer_count_3=3,
                outer_input_stride_2=22,
                outer_input_stride_3=1,
                outer_weight_stride_2=3 * lanes,
                outer_weight_stride_3=lanes,
                inner_count_1=8,
                inner_count_2=20,
                inner_input_stride_1=22,
                inner_input_stride_2=1,
                inner_accumulator_stride_1=20,
                inner_accumulator_stride_2=1,
                wait=load | (vpu if reused else 0),
                signal=load | vpu,
            ),
            Vector(
                a_source=isa.Source.ACCUMULATOR_S32,
                b_source=isa.Source.IMMEDIATE,
                parameters=1,
                parameter=record,
                a=half * pixels,
                d=result,
                count_4=pixels,
                a_stride_4=1,
                d_stride_4=1,
                wait=mxu | (store if reused else 0),
                signal=mxu | store,
            ),
            Store(
                offset=32768,
                scratchpad=result * lanes,
                run_bytes=20 * lanes,
                count_3=8,
                dram_stride_3=700,
                scratchpad_stride_3=20 * lanes,
                wait=vpu,
                signal=vpu,
            ),
        ]
    return [*program, Halt()]


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_double_buffered_convolution(name: str) -> None:
    config = PRESETS[name]
    result = compare(config, convolution(config, 5))
    assert result.units["mxu"].busy == 5 * 9 * 160
    dram, address = memory_with(convolution(config, 5))
    golden.run(config, dram, address, 31, [0])
    assert np.array_equal(dram, launch(config, convolution(config, 5))[1])


def test_time_does_not_depend_on_data_and_data_not_on_time() -> None:
    rng = random.Random(7)
    config = PRESETS["weft-8"]
    program = convolution(config, 3)
    full, full_dram = launch(config, program)
    timing, timing_dram = launch(config, program, timing_only=True)
    assert everything(full) == everything(timing)
    assert np.array_equal(timing_dram, memory_with(program)[0])
    for seed in (1, 2, rng.getrandbits(64)):
        stalled, stalled_dram = launch(config, program, stall_seed=seed)
        assert np.array_equal(stalled_dram, full_dram)
        assert stalled.cycles > full.cycles
        assert everything(stalled) == everything(launch(config, program, stall_seed=seed)[0])


def test_counters_add_up() -> None:
    result, _ = launch(PRESETS["weft-16"], convolution(PRESETS["weft-16"], 4))
    for unit in Unit:
        counters = result.units[unit.name.lower()]
        assert 0 < counters.busy + sum(counters.stalls.values()) <= result.cycles
    events = result.events
    assert events["index"].tolist() == list(range(25))
    assert np.all(events["issue"] <= events["start"]) and np.all(events["start"] <= events["end"])
    assert result.cycles > events["end"].max()


def test_events_can_be_left_out() -> None:
    config = PRESETS["weft-8"]
    with_events, _ = launch(config, convolution(config, 2))
    without, _ = launch(config, convolution(config, 2), record_events=False)
    assert len(without.events) == 0 and without.cycles == with_events.cycles


def test_timing_only_takes_mailboxes_from_the_trace() -> None:
    """A loop that ends when the mailbox reads 3: with data it never does; the trace decides without data."""
    program = [Jump(condition=isa.Condition.NOT_EQUAL, mailbox=2, value=3, target=0), Halt()]
    config = PRESETS["weft-8"]
    result, _ = launch(config, program, timing_only=True, mailbox_trace=(0, 7, -1, 3, 9))
    assert result.status == "done" and result.instructions == 5
    with pytest.raises(DeviceFault, match=r"instruction 0 reads a mailbox.*only 2 values"):
        launch(config, program, timing_only=True, mailbox_trace=(0, 7))


def test_launch_conditions_are_checked() -> None:
    dram = np.zeros(256, np.uint8)
    with pytest.raises(ValueError, match="multiple of 128"):
        simulator.run(PRESETS["weft-8"], dram, 1, 1, [])
    with pytest.raises(ValueError, match="do not fit"):
        simulator.run(PRESETS["weft-8"], dram, 128, 2, [])
    dram.flags.writeable = False
    with pytest.raises(ValueError, match="writeable"):
        simulator.run(PRESETS["weft-8"], dram, 0, 1, [], RunOptions())
