"""The VPU against the instruction table's NumPy semantics and against the simulator's cycles.

Undisturbed, every instruction's cycles from issue to first grant and retirement, and what was done in each of
them, are the simulator's. With grants denied and rows of the MXU at random, the results stay the same.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from weft_sim import simulator
from weft_sim.hazards import own_operand_overwritten
from weft_sim.isa import Destination, Halt, MachineState, Operation, Reduction, Source, Table, Vector
from weft_sim.machine import machine
from weft_sim.random_program.instructions import Arena, random_instruction
from weft_sim.result import RunOptions

CONFIG = machine("weft-8")
LANES = CONFIG.lanes
VECTORS, ROWS = 320, 80
FIRST_VECTOR = CONFIG.bank_bytes // LANES - 150
FIRST_ROW = CONFIG.accumulator_bank_rows - 40
"""What the random instructions may touch, across the border of two banks. Nothing else is looked at."""
ARENA = Arena(CONFIG, (FIRST_VECTOR, FIRST_VECTOR + VECTORS), (FIRST_ROW, FIRST_ROW + ROWS), {0: (0, 4096)})
ACTIVITIES = ("busy", "idle", "token", "queue", "dram", "bank", "weights", "write", "interval", "drain")
CORNERS = np.array(
    [0, 1, 0x7FFFFF, 0x800000, 0x3F000000, 0x3F800000, 0x4B7FFFFF, 0x4F000000, 0x7F7FFFFF, 0x7F800000, 0x7F812345],
    np.uint32,
)


@dataclass
class Run:
    """What an instruction did, in cycles after its issue."""

    start: int = -1
    end: int = -1
    signal: int = -1
    activity: Counter[str] = field(default_factory=Counter)


class Frozen:
    """Checks that the VPU stands still exactly while the MXU writes to the bank of the result that is due."""

    def __init__(self):
        self.banks = set()

    def look(self, dut):
        mxu_writes = int(dut.mxu_write_i.value)
        mxu_bank = int(dut.mxu_row_i.value) // CONFIG.accumulator_bank_rows
        if ACTIVITIES[int(dut.activity_o.value)] == "write":
            assert mxu_writes and not int(dut.row_write_o.value)
            self.banks.add(mxu_bank)
        if dut.row_write_o.value == 1:
            bank = int(dut.row_write_address_o.value) // CONFIG.accumulator_bank_rows
            assert self.banks <= {bank}, f"frozen for banks {self.banks} before a write to bank {bank}"
            assert not (mxu_writes and mxu_bank == bank)
            self.banks.clear()


async def start(dut):
    for name in (
        "task_valid_i", "task_i", "deny_a_i", "deny_b_i", "mxu_write_i", "mxu_row_i", "fill_i", "fill_address_i",
        "fill_data_i", "row_fill_i", "row_fill_address_i", "row_fill_data_i", "read_i", "read_vector_i", "read_row_i",
    ):  # fmt: skip
        getattr(dut, name).value = 0
    dut.tokens_i.value = 0b11111
    dut.rst_ni.value = 0
    Clock(dut.clk_i, 2, "ns").start()
    for _ in range(3):
        await RisingEdge(dut.clk_i)
    dut.rst_ni.value = 1
    await RisingEdge(dut.clk_i)


def random_state(rng):
    """Memories with integers of all sizes, ordinary floats and corners."""
    state = MachineState(CONFIG, np.zeros(0, np.uint8), ())
    state.vectors[slice(*ARENA.vectors)] = rng.integers(256, size=(VECTORS, LANES))
    shape = (ROWS, LANES)
    integers = rng.integers(-(1 << 31), 1 << 31, size=shape) >> rng.integers(0, 32, size=shape)
    floats = (rng.normal(size=shape) * 2.0 ** rng.integers(-20, 30, size=shape)).astype(np.float32).view(np.int32)
    corners = (rng.choice(CORNERS, size=shape) | rng.integers(2, size=shape, dtype=np.uint32) << 31).view(np.int32)
    kind = rng.integers(8, size=shape)
    state.accumulators[slice(*ARENA.rows)] = np.where(kind < 3, integers, np.where(kind < 7, floats, corners))
    return state


async def fill(dut, state):
    dut.fill_i.value = dut.row_fill_i.value = 1
    for address in range(*ARENA.vectors):
        dut.fill_address_i.value = address
        dut.fill_data_i.value = int.from_bytes(state.vectors[address].tobytes(), "little")
        row = FIRST_ROW + address % ROWS
        dut.row_fill_address_i.value = row
        dut.row_fill_data_i.value = int.from_bytes(state.accumulators[row].tobytes(), "little")
        await RisingEdge(dut.clk_i)
    dut.fill_i.value = dut.row_fill_i.value = 0


async def compare(dut, state, instruction):
    """All of the arena in both memories."""
    vectors, rows = [], []
    dut.read_i.value = 1
    for offset in range(VECTORS + 1):
        dut.read_vector_i.value = FIRST_VECTOR + min(offset, VECTORS - 1)
        dut.read_row_i.value = FIRST_ROW + min(offset, ROWS - 1)
        await RisingEdge(dut.clk_i)
        vectors.append(int(dut.read_vector_o.value).to_bytes(LANES, "little"))
        rows.append(int(dut.read_row_o.value).to_bytes(4 * LANES, "little"))
    dut.read_i.value = 0
    await RisingEdge(dut.clk_i)
    # Data comes one cycle behind its address.
    for offset, vector in enumerate(vectors[1:]):
        want = state.vectors[FIRST_VECTOR + offset].tobytes()
        assert vector == want, f"vector {FIRST_VECTOR + offset} after {instruction}: {vector.hex()}, not {want.hex()}"
    for offset, row in enumerate(rows[1 : ROWS + 1]):
        want = state.accumulators[FIRST_ROW + offset].tobytes()
        assert row == want, f"row {FIRST_ROW + offset} after {instruction}: {row.hex()}, not {want.hex()}"


async def execute(dut, instruction, rng=None):
    """One instruction, disturbed if there is a generator."""
    bits = int.from_bytes(instruction.encode(), "little")
    dut.task_i.value = bits & ((1 << len(dut.task_i)) - 1)
    dut.task_valid_i.value = 1
    await RisingEdge(dut.clk_i)
    assert dut.issue_o.value == 1 and dut.idle_o.value == 1
    dut.task_valid_i.value = 0
    run, frozen = Run(), Frozen()
    mailboxes = []
    for cycle in range(1, 1_000_000):
        if rng is not None:
            dut.deny_a_i.value = int(rng.random() < 0.3)
            dut.deny_b_i.value = int(rng.random() < 0.3)
            dut.mxu_write_i.value = int(rng.random() < 0.5)
            dut.mxu_row_i.value = int(rng.integers(*ARENA.rows))
        await RisingEdge(dut.clk_i)
        assert dut.idle_o.value == 0
        run.activity[ACTIVITIES[int(dut.activity_o.value)]] += 1
        frozen.look(dut)
        if dut.first_grant_o.value == 1:
            assert run.start < 0
            run.start = cycle
        if dut.mailbox_write_o.value == 1:
            mailboxes.append((int(dut.mailbox_number_o.value), int(dut.mailbox_value_o.value)))
        if dut.retire_o.value == 1:
            run.end, run.signal = cycle, int(dut.retire_signal_o.value)
            break
    dut.deny_a_i.value = dut.deny_b_i.value = dut.mxu_write_i.value = 0
    await RisingEdge(dut.clk_i)
    assert dut.idle_o.value == 1
    return run, mailboxes


def simulated(instruction):
    """The simulator's run of the instruction alone."""
    program = instruction.replace(wait=0, signal=0).encode() + Halt().encode()
    dram = np.frombuffer(program, np.uint8).copy()
    result = simulator.run(CONFIG, dram, 0, 2, [0] * 16, RunOptions(record_events=True))
    event = next(event for event in result.events if event["index"] == 0)
    counters = result.units["vpu"]
    return event["start"] - event["issue"], event["end"] - event["issue"], counters


def check_cycles(instruction, run):
    begin, end, counters = simulated(instruction)
    assert (run.start, run.end) == (begin, end), f"{instruction}: {run}, simulated start {begin}, end {end}"
    expected = Counter({"busy": counters.busy, **counters.stalls})
    for name in ("busy", "bank", "write", "interval", "drain"):
        assert run.activity[name] == expected[name], f"{instruction}: {name} {run.activity}, simulated {expected}"


def check_mailbox(instruction, state, mailboxes):
    if getattr(instruction, "destination", None) != Destination.MAILBOX:
        assert mailboxes == []
        return
    assert mailboxes == [(instruction.d, int(state.mailboxes[instruction.d]) & 0xFFFFFFFF)], f"{instruction}"


def random_vpu_instruction(rng):
    while True:
        instruction = random_instruction(rng, ARENA)
        if not isinstance(instruction, Vector | Table):
            continue
        if isinstance(instruction, Vector) and rng.random() < 0.1:
            mailbox = {"destination": Destination.MAILBOX, "d": int(rng.integers(16))}
            instruction = instruction.replace(**mailbox, **{f"d_stride_{i}": 0 for i in range(5)})
        return instruction.replace(signal=int(rng.integers(16)))


async def check_programs(dut, seed, programs, length, disturbed):
    rng = np.random.default_rng(seed)
    for _ in range(programs):
        state = random_state(rng)
        await fill(dut, state)
        for slot in range(2):
            await one(dut, state, Table(slot=slot, source=FIRST_VECTOR + 100 * slot), None)
        for _ in range(length):
            await one(dut, state, random_vpu_instruction(rng), rng if disturbed else None)


async def one(dut, state, instruction, rng):
    with np.errstate(all="ignore"):
        instruction.execute(state)
    run, mailboxes = await execute(dut, instruction, rng)
    assert run.signal == instruction.signal
    check_mailbox(instruction, state, mailboxes)
    if rng is None:
        check_cycles(instruction, run)
    if not isinstance(instruction, Table):
        await compare(dut, state, instruction)


@cocotb.test()
async def undisturbed(dut):
    await start(dut)
    await check_programs(dut, 1, 4, 50, disturbed=False)


@cocotb.test()
async def disturbed(dut):
    await start(dut)
    await check_programs(dut, 2, 4, 50, disturbed=True)


@cocotb.test()
async def every_operation_with_every_reduction(dut):
    """On floats, with everything in front of and behind the operation in use; then once more, disturbed, so that the
    pipeline stands still in the middle of look-ups, divisions and roots."""
    await start(dut)
    rng = np.random.default_rng(3)
    state = random_state(rng)
    await fill(dut, state)
    await one(dut, state, Table(slot=1, source=FIRST_VECTOR + 100), None)
    place = {"a": FIRST_ROW, "b": FIRST_ROW + 32, "d": FIRST_ROW + 64, "d_stride_2": 1}
    place |= {"a_stride_2": 4, "a_stride_4": 1, "b_stride_2": 4, "b_stride_4": 1}
    for operation in Operation:
        for reduction in Reduction:
            fields = {
                "a_source": Source.ACCUMULATOR_F32,
                "b_source": Source.ACCUMULATOR_F32,
                "count_2": 6,
                "count_4": 4,
            }
            fields |= {"destination": Destination.ACCUMULATOR_F32, "scale": 1.5, "b_scale": 0.75, "a_rescale": 3.0}
            loops = {"reduction": reduction, "reduce_loops": 0 if reduction == Reduction.NONE else 2}
            instruction = Vector(operation=operation, **fields, **loops, **place)
            if reduction != Reduction.NONE:
                instruction = instruction.replace(a_round=1, a_scale=40.0, a_low=-90.0, a_high=125.5, table=2)
            assert own_operand_overwritten(CONFIG, instruction) is None
            await one(dut, state, instruction, None)
            await one(dut, state, instruction, rng)


@cocotb.test()
async def waits_for_its_tokens(dut):
    await start(dut)
    instruction = Vector(wait=0b01010, destination=Destination.SCRATCHPAD_S8)
    dut.task_i.value = int.from_bytes(instruction.encode(), "little") & ((1 << len(dut.task_i)) - 1)
    dut.task_valid_i.value = 1
    for tokens in (0b00000, 0b00010, 0b11000, 0b10101):
        dut.tokens_i.value = tokens
        await RisingEdge(dut.clk_i)
        assert dut.issue_o.value == 0 and ACTIVITIES[int(dut.activity_o.value)] == "token"
    dut.tokens_i.value = 0b01010
    await RisingEdge(dut.clk_i)
    assert dut.issue_o.value == 1 and ACTIVITIES[int(dut.activity_o.value)] == "idle"
    await RisingEdge(dut.clk_i)  # another one waits, but only one at a time is taken
    assert dut.issue_o.value == 0
    dut.task_valid_i.value = 0
    while dut.retire_o.value == 0:
        await RisingEdge(dut.clk_i)
