"""MXU against the instruction table's own NumPy semantics, over random and directed MATMULs."""

from __future__ import annotations

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from weft_sim.isa import DEPTHWISE_ROWS, MachineState, Matmul, MatmulMode, WeightOrder
from weft_sim.machine import machine
from weft_sim.random_program.instructions import Arena, random_instruction

CONFIG = machine("weft-8")
LANES = CONFIG.lanes
VECTORS, ROWS = 512, 64
DRAM = np.zeros(0, np.uint8)


async def start(dut):
    for name in ("task_valid_i", "fill_i", "row_i", "deny_weights_i", "task_i", "fill_address_i", "fill_data_i"):
        getattr(dut, name).value = 0
    dut.row_address_i.value = 0
    dut.tokens_i.value = 0b11111
    dut.rst_ni.value = 0
    Clock(dut.clk_i, 2, "ns").start()
    for _ in range(3):
        await RisingEdge(dut.clk_i)
    dut.rst_ni.value = 1
    await RisingEdge(dut.clk_i)


async def fill(dut, vectors):
    for address, vector in enumerate(vectors):
        dut.fill_i.value = 1
        dut.fill_address_i.value = address
        dut.fill_data_i.value = int.from_bytes(vector.tobytes(), "little")
        await RisingEdge(dut.clk_i)
    dut.fill_i.value = 0


async def rows(dut, count):
    found = []
    for address in range(count):
        dut.row_i.value = 1
        dut.row_address_i.value = address
        await RisingEdge(dut.clk_i)
        dut.row_i.value = 0
        await RisingEdge(dut.clk_i)
        data = int(dut.row_data_o.value).to_bytes(4 * LANES, "little")
        found.append(np.frombuffer(data, np.int32))
    return np.stack(found)


async def execute(dut, tasks, rng=None):
    """Offers the tasks one after the other, with the weight port denied at random if there is a generator."""
    retired = 0
    waiting = list(tasks)
    for _ in range(200_000):
        dut.task_valid_i.value = bool(waiting)
        if waiting:
            bits = int.from_bytes(waiting[0].encode(), "little")
            dut.task_i.value = bits & ((1 << Matmul.BITS) - 1)
        dut.deny_weights_i.value = 0 if rng is None else int(rng.random() < 0.4)
        await RisingEdge(dut.clk_i)
        # Sampled before the edge's effects: what held in the cycle that ends here.
        if waiting and int(dut.issue_o.value):
            waiting.pop(0)
        if int(dut.retire_o.value):
            assert int(dut.retire_signal_o.value) == tasks[retired].signal
            retired += 1
        if retired == len(tasks):
            dut.task_valid_i.value = 0
            await RisingEdge(dut.clk_i)
            assert int(dut.idle_o.value)
            return
    raise AssertionError(f"only {retired} of {len(tasks)} retired")


async def check(dut, state, tasks, rng=None):
    await execute(dut, tasks, rng)
    for task in tasks:
        assert task.validate(CONFIG, state.registers, 0) is None
        task.execute(state)
    found = await rows(dut, ROWS)
    wrong = np.argwhere(found != state.accumulators[:ROWS])
    assert len(wrong) == 0, f"row, lane {wrong[0]}: {tasks}"


async def prepare(dut, seed):
    await start(dut)
    rng = np.random.default_rng(seed)
    state = MachineState(CONFIG, DRAM, ())
    state.vectors[:VECTORS] = rng.integers(0, 256, (VECTORS, LANES), dtype=np.uint8)
    await fill(dut, state.vectors[:VECTORS])
    # Memories start as the simulator of hardware leaves them: every row is written once.
    weights = VECTORS - 1
    await check(dut, state, [Matmul(input=0, weight=weights, inner_count_2=ROWS, inner_accumulator_stride_2=1)])
    return rng, state


@cocotb.test()
async def random_matmuls(dut):
    rng, state = await prepare(dut, 1)
    arena = Arena(CONFIG, (0, VECTORS), (0, ROWS), {0: (0, 1 << 16)})
    tasks = []
    while len(tasks) < 120:
        found = random_instruction(rng, arena)
        if isinstance(found, Matmul):
            tasks.append(found.replace(signal=int(rng.integers(8))))
    for first in range(0, len(tasks), 6):
        await check(dut, state, tasks[first : first + 6], rng if first % 12 else None)


@cocotb.test()
async def extreme_operands(dut):
    """Every corner of operand and zero point, full lanes: the widest sums."""
    _, state = await prepare(dut, 2)
    for value, weight in ((0, 0), (255, 255), (127, 128), (128, 127), (0, 255)):
        await fill(dut, np.full((32, LANES), value, np.uint8))
        state.vectors[:32] = value
        weights = np.full((LANES, LANES), weight, np.uint8)
        for index in range(LANES):
            dut.fill_i.value = 1
            dut.fill_address_i.value = 32 + index
            dut.fill_data_i.value = int.from_bytes(weights[index].tobytes(), "little")
            await RisingEdge(dut.clk_i)
        dut.fill_i.value = 0
        state.vectors[32 : 32 + LANES] = weight
        base = Matmul(
            weight=32,
            weight_rows=LANES,
            input_lanes=LANES,
            inner_count_2=8,
            inner_input_stride_2=1,
            inner_accumulator_stride_2=1,
        )
        tasks = [
            base.replace(input_signed=a, weight_signed=b, input_zero=x, weight_zero=y, accumulate=1)
            for a in (0, 1)
            for b in (0, 1)
            for x in ((-128, 0, 127) if a else (0, 127, 255))
            for y in ((-128, 0, 127) if b else (0, 127, 255))
        ]
        await check(dut, state, tasks)


@cocotb.test()
async def depthwise_shapes(dut):
    """Every window that fits the lanes, every stride, the smallest planes and the widest one."""
    rng, state = await prepare(dut, 3)
    for window_rows in range(1, DEPTHWISE_ROWS + 1):
        for window_columns in range(1, LANES // window_rows + 1):
            row_shift, column_shift = int(rng.integers(3)), int(rng.integers(3))
            height = window_rows + int(rng.integers(4))
            width = window_columns + int(rng.integers(5))
            plane = Matmul(
                mode=MatmulMode.DEPTHWISE,
                weight_rows=window_rows * window_columns,
                window_rows=window_rows,
                window_columns=window_columns,
                row_shift=row_shift,
                column_shift=column_shift,
                weight=400,
                input_lanes=LANES,
                weight_signed=1,
                input_zero=7,
                inner_count_0=1,
                inner_count_1=height,
                inner_count_2=width,
                inner_input_stride_1=width,
                inner_input_stride_2=1,
                inner_accumulator_stride_1=8,
                inner_accumulator_stride_2=1,
            )
            await check(dut, state, [plane, plane.replace(input=100, accumulator=3, accumulate=1)], rng)
    single = Matmul(
        mode=MatmulMode.DEPTHWISE,
        weight_rows=3,
        window_rows=3,
        weight=10,
        input_lanes=LANES,
        inner_count_1=9,
        inner_input_stride_1=1,
        inner_accumulator_stride_1=1,
    )
    wide = single.replace(
        inner_count_1=3,
        inner_count_2=CONFIG.line_depth,
        inner_input_stride_1=128,
        inner_input_stride_2=1,
        column_shift=2,
        inner_accumulator_stride_2=1,
    )
    await check(dut, state, [single, wide, single])


@cocotb.test()
async def swaps_back_to_back(dut):
    """Tiles of one vector: nothing hides the loading of weights; rows are read while they are written."""
    rng, state = await prepare(dut, 4)
    one = Matmul(
        weight=64,
        weight_rows=1,
        input_lanes=LANES,
        outer_count_3=9,
        outer_input_stride_3=1,
        outer_weight_stride_3=1,
        reduce_mask=8,
        accumulator=5,
    )
    many = one.replace(inner_count_2=3, weight_rows=LANES, weight_order=WeightOrder.COLUMNS)
    await check(dut, state, [one, many, one.replace(accumulate=1), many.replace(reduce_mask=0)], rng)


@cocotb.test()
async def waits_for_tokens(dut):
    _, state = await prepare(dut, 5)
    dut.tokens_i.value = 0
    task = Matmul(wait=0b10010)
    dut.task_i.value = int.from_bytes(task.encode(), "little") & ((1 << Matmul.BITS) - 1)
    dut.task_valid_i.value = 1
    for tokens in (0, 0b00010, 0b10000, 0b01101):
        dut.tokens_i.value = tokens
        for _ in range(3):
            await RisingEdge(dut.clk_i)
            assert not int(dut.issue_o.value)
    dut.tokens_i.value = 0b10010
    await check(dut, state, [task])
