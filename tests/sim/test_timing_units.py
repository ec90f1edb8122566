"""Cycle counts of tiny programs on weft-16, worked out by hand from docs/machine.md.

Instruction 0 leaves the decoder in cycle 83: its request is loaded in 0 and presented in 1, its beats are on
the bus in 65..72 and received in 66..73, the decoder takes it in 74 and counts 8 down. Later ones follow every 10
cycles (83, 93, 103, 113), until the fifth, which is requested when the first is taken (75): 158, 168, …
An instruction that left in t issues in t + 1.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from timing_programs import launch

from weft_sim import isa
from weft_sim.isa import (
    Destination,
    Fill,
    Halt,
    Jump,
    Load,
    Matmul,
    Operation,
    Reduction,
    Register,
    Source,
    Store,
    Table,
    Unit,
    Vector,
)
from weft_sim.machine import MachineConfig, machine
from weft_sim.result import RunResult

CONFIG = machine("weft-16")
BANK = CONFIG.bank_bytes // CONFIG.lanes  # vectors
LOAD, STORE, MXU, VPU = (1 << unit for unit in (Unit.LOAD, Unit.STORE, Unit.MXU, Unit.VPU))


def timed(*program: isa.Instruction, config: MachineConfig = CONFIG, **options: Any) -> RunResult:
    """The result of a program (HALT is added), the same when single-stepping and when skipping."""
    stepped, _ = launch(config, [*program, Halt()], single_step=True, **options)
    skipped, _ = launch(config, [*program, Halt()], **options)
    assert stepped.fault is None
    assert (stepped.cycles, stepped.units) == (skipped.cycles, skipped.units)
    assert stepped.events.tolist() == skipped.events.tolist()
    return stepped


def times(result: RunResult, index: int) -> tuple[int, int, int]:
    """Issue, start and end of an instruction."""
    return tuple(result.events[index].tolist()[2:])


def stalls(result: RunResult, unit: str) -> dict[str, int]:
    return {cause: cycles for cause, cycles in result.units[unit].stalls.items() if cycles}


# FETCH


def test_halt_alone() -> None:
    result = timed()
    assert result.cycles == 85  # HALT leaves in 83, done in 84
    assert times(result, 0) == (83, 83, 83)
    assert result.units["fetch"].busy == 9
    assert stalls(result, "fetch") == {"dram": 75}
    assert result.read_bytes == isa.INSTRUCTION_BYTES


def test_instructions_leave_every_ten_cycles_until_a_request_waits_for_the_decoder() -> None:
    result = timed(*[Register(destination=1)] * 6)
    assert result.events["issue"].tolist() == [83, 93, 103, 113, 158, 168, 178]


def test_a_taken_jump_refetches() -> None:
    # 83: leaves; 84: AR loaded; 85: accepted; 149..156: beats; 157: received; 158: taken
    result = timed(Jump(target=2), Register(destination=1), Register(destination=2))
    assert result.events["index"].tolist() == [0, 2, 3]
    assert result.events["issue"].tolist() == [83, 167, 177]


def test_a_jump_that_is_not_taken_costs_nothing() -> None:
    jump = Jump(condition=isa.Condition.NOT_EQUAL, target=0)  # mailbox 0 holds 0
    assert timed(jump, Register(destination=2)).events["issue"].tolist() == [83, 93, 103]


def test_fetch_waits_for_a_token() -> None:
    fill = Fill(run_bytes=16 * 40, signal=1 << Unit.FETCH)  # writes 85..124
    result = timed(fill, Register(destination=1, wait=LOAD))
    assert times(result, 0) == (84, 85, 124)
    assert times(result, 1) == (125, 125, 125)
    assert stalls(result, "fetch")["token"] == 125 - 93


def test_a_full_queue_holds_the_decoder() -> None:
    config = dataclasses.replace(CONFIG, queue_depth=2)
    long = Fill(run_bytes=16 * 2000)  # writes 85..2084; four contexts and two queue places take six FILLs
    result = timed(long, *[Fill()] * 6, config=config)
    assert times(result, 0) == (84, 85, 2084)
    assert times(result, 4)[0] == 2085  # the context is free in 2085, so the queue has room in 2086
    assert result.events["issue"][-1] == 2096
    assert stalls(result, "fetch")["queue"] == 2086 - 178


# LOAD


@pytest.mark.parametrize(
    ("offset", "size", "end"),
    [
        (0, 1, 152),
        (0, 16, 152),
        (0, 17, 153),
        (0, 512, 183),
        (8, 8, 152),
        (8, 9, 153),
        (15, 512, 184),
        (4080, 32, 153),
    ],
)
def test_load_latency_and_bandwidth(offset: int, size: int, end: int) -> None:
    # 85: AR loaded; 86: accepted; 150: first beat on the bus; 151: received; 152: written
    assert times(timed(Load(offset=offset, run_bytes=size)), 0) == (84, 85, end)


def test_a_burst_ends_at_a_4_kib_boundary() -> None:
    # With one outstanding, the second burst is requested in 152, the first being there, and comes 67 later.
    config = dataclasses.replace(CONFIG, outstanding_bursts=1)
    assert times(timed(Load(offset=4064, run_bytes=32), config=config), 0)[2] == 153
    assert times(timed(Load(offset=4080, run_bytes=32), config=config), 0)[2] == 219


def test_outstanding_bursts_limit_bandwidth() -> None:
    # 64 bursts of one beat; without a limit below the latency the bus is always busy
    def end(outstanding: int) -> int:
        config = dataclasses.replace(CONFIG, burst_beats=1, outstanding_bursts=outstanding)
        return times(timed(Load(run_bytes=1024), config=config), 0)[2]

    assert end(64) == 152 + 63
    assert end(32) == 152 + 31 + 67  # request 32 is loaded when beat 0 has been received: 67 cycles a round
    assert end(1) == 152 + 63 * 67


def test_dram_rate() -> None:
    config = dataclasses.replace(CONFIG, dram_rate_numerator=1, dram_rate_denominator=2)
    # FETCH's beats: 65, 67, … 79; leaves in 90. LOAD's: 157, 159, … 219
    assert times(timed(Load(run_bytes=512), config=config), 0) == (91, 92, 221)


def test_writes_at_any_byte() -> None:
    # pieces of 11, 16 and 5 bytes; the first needs one beat, the second two
    assert times(timed(Load(scratchpad=5, run_bytes=32)), 0)[2] == 154


def test_fill_writes_one_vector_per_cycle() -> None:
    assert times(timed(Fill(run_bytes=16, count_3=7, scratchpad_stride_3=64)), 0) == (84, 85, 91)
    assert times(timed(Fill(scratchpad=1, run_bytes=16)), 0) == (84, 85, 86)


def test_the_next_load_overlaps_the_one_before() -> None:
    # 94: issue (the generator is idle); its beat follows the first instruction's on the bus
    result = timed(Load(run_bytes=512), Load(run_bytes=16))
    assert times(result, 0)[2] == 183
    assert times(result, 1) == (94, 95, 184)


# STORE


@pytest.mark.parametrize(("offset", "size", "end"), [(0, 16, 153), (0, 17, 154), (0, 512, 184), (8, 16, 154)])
def test_store_retires_with_the_response(offset: int, size: int, end: int) -> None:
    # 85: read; 87: in the fifo, W loaded; 88: accepted; 89: on the bus; response 64 after the last beat
    result = timed(Store(offset=offset, run_bytes=size))
    assert times(result, 0) == (84, 85, end)
    assert result.cycles == end + 2
    assert result.write_bytes == 16 * (end - 152)


def test_a_token_is_seen_in_the_next_cycle() -> None:
    result = timed(Load(run_bytes=512, signal=STORE), Store(run_bytes=512, wait=LOAD))
    assert times(result, 0)[2] == 183
    assert times(result, 1) == (184, 185, 284)
    assert stalls(result, "store") == {"token": 184 - 94, "dram": 284 - 218}


# MXU


def matmul(vectors: int, tiles: int = 1, rows: int = 16, **fields: Any) -> Matmul:
    given = {
        "input": 0,
        "weight": BANK,
        "input_lanes": 16,
        "reduce_mask": 8,
        "inner_input_stride_2": 1,
    } | fields
    return Matmul(weight_rows=rows, inner_count_2=vectors, outer_count_3=tiles, inner_accumulator_stride_2=1, **given)


@pytest.mark.parametrize(("vectors", "rows", "end"), [(1, 16, 108), (50, 16, 157), (1, 1, 93), (7, 9, 107)])
def test_matmul_of_one_tile(vectors: int, rows: int, end: int) -> None:
    # 16 rows: read 85..100, shadow full in 102, swap; streams from 103 on; the last row is written 5 later
    result = timed(matmul(vectors, rows=rows))
    assert times(result, 0) == (84, 85, end)
    assert result.units["mxu"].busy == vectors
    assert stalls(result, "mxu") == {"weights": rows + 2}


@pytest.mark.parametrize(("vectors", "end", "weights"), [(18, 144, 19), (19, 145, 18), (20, 147, 18), (1, 127, 36)])
def test_the_next_tile_needs_19_cycles(vectors: int, end: int, weights: int) -> None:
    # swap in 102; W may read again in 104..119, the shadow is full in 121
    result = timed(matmul(vectors, tiles=2))
    assert times(result, 0)[2] == end
    assert stalls(result, "mxu") == {"weights": weights}


def test_inputs_keep_weights_out_of_their_bank() -> None:
    # X reads bank 0 in 103..132, W only from 133 on: full in 150; X streams 151..180
    result = timed(matmul(30, tiles=2, weight=100))
    assert times(result, 0)[2] == 185
    assert stalls(result, "mxu") == {"weights": 36}


def test_the_next_matmul_loads_while_this_one_streams() -> None:
    # W is free in 103, one MATMUL behind; it reads 104..119 and swaps with X's last vector in 202
    result = timed(matmul(100), matmul(10))
    assert times(result, 0)[2] == 207
    assert times(result, 1) == (103, 104, 217)


def test_depthwise_streams_every_input_vector() -> None:
    # 9 taps: read 85..93, full in 95; 48 vectors stream in 96..143
    fields: dict[str, Any] = {
        "mode": isa.MatmulMode.DEPTHWISE,
        "window_rows": 3,
        "window_columns": 3,
        "inner_count_1": 6,
    }
    assert times(timed(matmul(8, rows=9, inner_input_stride_1=8, **fields)), 0) == (84, 85, 148)


# VPU


def vector(steps: int, **fields: Any) -> Vector:
    given = {
        "a_source": Source.ACCUMULATOR_S32,
        "b_source": Source.IMMEDIATE,
        "count_4": steps,
        "a_stride_4": 1,
    } | fields
    return Vector(d_stride_4=1, **given)


@pytest.mark.parametrize("steps", [1, 2, 60])
def test_vector_latency(steps: int) -> None:
    result = timed(vector(steps))  # enters in 85, written in 109
    assert times(result, 0) == (84, 85, 108 + steps)
    assert result.units["vpu"].busy == steps
    assert stalls(result, "vpu") == {"drain": 24}


def test_parameters_come_before_each_step_of_loop_0() -> None:
    # 85..92 record, 93..102 steps, 103..110 record, 111..120 steps
    result = timed(vector(10, count_0=2, parameters=1, parameter=BANK))
    assert times(result, 0)[2] == 144
    assert result.units["vpu"].busy == 36


def test_sum_and_divide_intervals() -> None:
    summed = timed(vector(3, reduction=Reduction.SUM, reduce_loops=1))  # enters in 85, 89, 93
    assert times(summed, 0)[2] == 117
    assert stalls(summed, "vpu") == {"interval": 6, "drain": 24}
    divided = timed(vector(2, operation=Operation.DIVIDE))  # enters in 85 and 117
    assert times(divided, 0)[2] == 141
    both = timed(vector(2, operation=Operation.DIVIDE, reduction=Reduction.SUM, reduce_loops=1))
    assert times(both, 0)[2] == 141


def test_maximum_takes_one_cycle_a_step() -> None:
    assert times(timed(vector(9, reduction=Reduction.MAXIMUM, reduce_loops=1)), 0)[2] == 85 + 8 + 24


def test_operands_in_one_bank_take_turns() -> None:
    local = {"a_source": Source.SCRATCHPAD_S8, "b_source": Source.SCRATCHPAD_S8, "b_stride_4": 1}
    same = timed(vector(10, b=100, d=5 * BANK, **local))
    assert times(same, 0)[2] == 85 + 2 * 10 - 1 + 24
    assert stalls(same, "vpu") == {"bank": 10, "drain": 24}
    assert times(timed(vector(10, b=BANK, d=5 * BANK, **local)), 0)[2] == 85 + 9 + 24


def test_table_reads_64_vectors() -> None:
    assert times(timed(Table()), 0) == (84, 85, 150)


def test_mailbox_result_retires_like_any_other() -> None:
    assert times(timed(vector(3, destination=Destination.MAILBOX)), 0)[2] == 111


# Conflicts between units


def test_matmul_writes_freeze_the_vpu() -> None:
    # the MXU writes rows of bank 0 in 108..207; the VPU's result for bank 0 is due in 119
    result = timed(
        matmul(100),
        vector(1, a_source=Source.SCRATCHPAD_S8, a=3 * BANK, destination=Destination.ACCUMULATOR_S32),
    )
    assert times(result, 1) == (94, 95, 208)
    assert stalls(result, "vpu") == {"drain": 24, "write": 89}


def test_matmul_reads_of_rows_come_first() -> None:
    # the MXU reads rows in 107..206, so 12 of the VPU's 20 steps enter in 95..106, the rest in 207..214
    result = timed(matmul(100, accumulate=1), vector(20, a=200))
    assert times(result, 1)[2] == 238
    assert stalls(result, "vpu") == {"bank": 100, "drain": 24}
    fresh = timed(matmul(100), vector(20, a=200))  # nothing is added: no row is read
    assert times(fresh, 1)[2] == 95 + 19 + 24


def test_store_reads_last() -> None:
    result = timed(vector(50, a_source=Source.SCRATCHPAD_S8), Store(run_bytes=16))  # the VPU reads bank 0 in 85..134
    assert times(result, 1) == (94, 135, 135 + 68)
    assert stalls(result, "store")["bank"] == 40


def test_vpu_writes_before_load() -> None:
    # the VPU writes bank 0 in 109..158, so 14 of the 20 vectors are filled in 95..108, the rest in 159..164
    result = timed(vector(50), Fill(scratchpad=16 * 1000, run_bytes=16 * 20))
    assert times(result, 1) == (94, 95, 164)
    assert stalls(result, "load") == {"bank": 50}


def test_stores_take_the_bus_before_loads() -> None:
    alone = timed(Load(run_bytes=4096))
    shared = timed(Load(run_bytes=4096), Store(run_bytes=1024, scratchpad=8192, offset=8192))
    assert times(alone, 0)[2] == 152 + 255
    assert times(shared, 0)[2] == 152 + 255 + 13  # the write beats take the bus in 99..162
