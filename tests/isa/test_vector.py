"""VECTOR and TABLE against a loop over single numbers, with struct-rounded Python floats as float32."""

from __future__ import annotations

import math
import struct
from itertools import product

import numpy as np
import pytest

from weft_sim.isa import Destination, MachineState, Operation, Reduction, Source, Table, Vector
from weft_sim.machine import machine
from weft_sim.random_program.instructions import Arena, _vector

CONFIG = machine("weft-8")
LANES = CONFIG.lanes
INFINITY = float("inf")


def f32(value: float) -> float:
    """Rounded to binary32. Python's + − × ÷ √ of two binary32 numbers, rounded twice, equal the once-rounded
    result (53 ≥ 2·24 + 2 bits)."""
    if math.isnan(value) or math.isinf(value):
        return value
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(INFINITY, value)


def multiply(x: float, y: float) -> float:
    return f32(x * y)


def maximum(x: float, y: float) -> float:
    return math.nan if math.isnan(x) or math.isnan(y) else (x if x > y else y)


def minimum(x: float, y: float) -> float:
    return math.nan if math.isnan(x) or math.isnan(y) else (x if x < y else y)


def clamp(x: float, low: float, high: float) -> float:
    return minimum(maximum(x, low), high)


def whole(x: float) -> float:
    if math.isnan(x) or math.isinf(x):
        return x
    return math.copysign(float(round(x)), x)


def saturate(x: float, offset: int = 0) -> int:
    low, high = -(1 << 31), (1 << 31) - 1
    value = 0 if math.isnan(x) else (int(math.copysign(1 << 40, x)) if math.isinf(x) else round(x))
    return min(max(min(max(value, low), high) + offset, low), high)


def divide(x: float, y: float) -> float:
    if math.isnan(x) or math.isnan(y) or (x == 0 and y == 0) or (math.isinf(x) and math.isinf(y)):
        return math.nan
    if y == 0:
        return math.copysign(INFINITY, x) * math.copysign(1.0, y)
    return f32(x / y)


OPERATIONS = {
    Operation.PASS: lambda a, b: a,
    Operation.ADD: lambda a, b: f32(a + b),
    Operation.SUBTRACT: lambda a, b: f32(a - b),
    Operation.MULTIPLY: multiply,
    Operation.MAXIMUM: maximum,
    Operation.MINIMUM: minimum,
    Operation.DIVIDE: divide,
    Operation.SQUARE_ROOT: lambda a, b: math.nan if math.isnan(a) or a < 0 else f32(math.sqrt(a)),
    Operation.GREATER: lambda a, b: float(a > b),
    Operation.GREATER_EQUAL: lambda a, b: float(a >= b),
    Operation.EQUAL: lambda a, b: float(a == b),
    Operation.ABSOLUTE: lambda a, b: abs(a),
    Operation.FLOOR: lambda a, b: a if math.isnan(a) or math.isinf(a) else math.copysign(math.floor(a), a),
}
REDUCTIONS = {Reduction.SUM: OPERATIONS[Operation.ADD], Reduction.MAXIMUM: maximum, Reduction.MINIMUM: minimum}


def _as_float(bits: int) -> float:
    return struct.unpack("<f", struct.pack("<I", bits & 0xFFFFFFFF))[0]


def _bits(value: float) -> int:
    return 0x7FC00000 if math.isnan(value) else struct.unpack("<I", struct.pack("<f", value))[0]


def _integer(state: MachineState, source: int, address: int, lane: int) -> int:
    if source == Source.ACCUMULATOR_S32:
        return int(state.accumulators[address, lane])
    byte = int(state.scratchpad[address * LANES + lane])
    return byte - 256 if source == Source.SCRATCHPAD_S8 and byte >= 128 else byte


def _wrap(value: int) -> int:
    return (value + (1 << 31)) % (1 << 32) - (1 << 31)


def _word(state: MachineState, vector: int, lane: int) -> int:
    at = vector * LANES + 4 * lane
    return int.from_bytes(state.scratchpad[at : at + 4].tobytes(), "little")


def _operand_a(v: Vector, state: MachineState, digits: tuple[int, ...], lane: int) -> float:
    address = v.a + sum(getattr(v, f"a_stride_{i}") * d for i, d in enumerate(digits))
    bias, scale = 0, f32(v.a_scale)
    if v.parameters:
        record = v.parameter + v.parameter_stride * digits[0]
        bias, scale = _word(state, record, lane), _as_float(_word(state, record + 4, lane))
    if v.a_source == Source.ACCUMULATOR_F32:
        value = _as_float(int(state.accumulators[address, lane]))
    else:
        value = f32(_wrap(_integer(state, v.a_source, address, lane) - v.a_zero + bias))
    value = multiply(value, scale)
    if v.a_round:
        value = clamp(whole(value), f32(v.a_low), f32(v.a_high))
    if v.table:
        value = _as_float(int(state.tables[v.table - 1, saturate(value) % 256]))
    return multiply(value, f32(v.a_rescale))


def _operand_b(v: Vector, state: MachineState, digits: tuple[int, ...], lane: int) -> float:
    if v.b_source == Source.IMMEDIATE:
        return f32(v.b_scale)
    if v.b_source == Source.EXCHANGE:
        return _operand_a(v, state, digits, lane ^ v.exchange)
    address = v.b + sum(getattr(v, f"b_stride_{i}") * d for i, d in enumerate(digits))
    if v.b_source == Source.ACCUMULATOR_F32:
        value = _as_float(int(state.accumulators[address, lane]))
    else:
        value = f32(_wrap(_integer(state, v.b_source, address, lane) - v.b_zero))
    return multiply(value, f32(v.b_scale))


def reference(v: Vector, state: MachineState) -> None:
    """The instruction's text in docs/isa.md, one lane of one step at a time; all operands are read first."""
    counts = [getattr(v, f"count_{i}") for i in range(5)]
    kept = 5 - v.reduce_loops
    results = []
    for digits in product(*map(range, counts[:kept])):
        lanes = []
        for lane in range(LANES):
            value = None
            for rest in product(*map(range, counts[kept:])):
                a, b = (operand(v, state, digits + rest, lane) for operand in (_operand_a, _operand_b))
                joined = OPERATIONS[Operation(v.operation)](a, b)
                value = joined if value is None else REDUCTIONS[Reduction(v.reduction)](value, joined)
            assert value is not None
            lanes.append(clamp(multiply(value, f32(v.scale)), f32(v.low), f32(v.high)))
        results.append((v.d + sum(getattr(v, f"d_stride_{i}") * d for i, d in enumerate(digits)), lanes))
    for address, lanes in results:
        _store(v, state, address, lanes)


def _store(v: Vector, state: MachineState, address: int, lanes: list[float]) -> None:
    whole_numbers = [saturate(value, v.d_zero) for value in lanes]
    match v.destination:
        case Destination.SCRATCHPAD_S8:
            clipped = [min(max(value, -128), 127) % 256 for value in whole_numbers]
            state.scratchpad[address * LANES : (address + 1) * LANES] = clipped
        case Destination.SCRATCHPAD_U8:
            clipped = [min(max(value, 0), 255) for value in whole_numbers]
            state.scratchpad[address * LANES : (address + 1) * LANES] = clipped
        case Destination.ACCUMULATOR_S32:
            state.accumulators[address] = whole_numbers
        case Destination.ACCUMULATOR_F32:
            state.accumulators[address] = np.array([_bits(value) for value in lanes], np.uint32).view(np.int32)
        case _:
            state.mailboxes[v.d] = whole_numbers[0]


CORNERS = [0x00000000, 0x80000000, 0x00000001, 0x807FFFFF, 0x3F800000, 0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00001,
           0xFFC12345, 0x7F800001, 0x3F000000, 0x40200000, 0xBFC00000, 0x4F000000, 0xCF000000]  # fmt: skip


def _state(seed: int) -> MachineState:
    rng = np.random.default_rng(seed)
    state = MachineState(CONFIG, np.zeros(16, np.uint8), [])
    state.scratchpad[:] = rng.integers(0, 256, len(state.scratchpad))
    rows = rng.normal(0, 100, state.accumulators.shape).astype(np.float32).view(np.int32)
    corners = np.array(CORNERS, np.uint32).view(np.int32)[rng.integers(0, len(CORNERS), rows.shape)]
    state.accumulators[:] = np.where(rng.random(rows.shape) < 0.3, corners, rows)
    state.tables[:] = rng.normal(0, 10, state.tables.shape).astype(np.float32).view(np.uint32)
    state.tables[0, ::7] = CORNERS[8]
    return state


def _compare(instruction: Vector, seed: int) -> None:
    expected, found = _state(seed), _state(seed)
    assert instruction.validate(CONFIG, [0] * 16, 16) is None
    reference(instruction, expected)
    instruction.execute(found)
    np.testing.assert_array_equal(found.scratchpad, expected.scratchpad)
    np.testing.assert_array_equal(found.accumulators.view(np.uint32), expected.accumulators.view(np.uint32))
    np.testing.assert_array_equal(found.mailboxes, expected.mailboxes)


@pytest.mark.parametrize("seed", range(60))
def test_random_instructions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    arena = Arena(CONFIG, (100, 300), (10, 60), {})
    for _ in range(3):
        instruction = _vector(rng, arena)
        assert isinstance(instruction, Vector)
        _compare(instruction, seed)


@pytest.mark.parametrize("operation", list(Operation), ids=lambda o: o.name)
@pytest.mark.parametrize("destination", [Destination.ACCUMULATOR_F32, Destination.SCRATCHPAD_S8], ids=lambda d: d.name)
def test_every_pair_of_float_corners(operation: Operation, destination: Destination) -> None:
    state = _state(0)
    n = len(CORNERS)
    corners = np.array(CORNERS, np.uint32).view(np.int32)
    state.accumulators[:n] = corners[:, None]
    state.accumulators[n : 2 * n] = corners[:, None]
    expected = MachineState(CONFIG, np.zeros(16, np.uint8), [])
    expected.accumulators[:] = state.accumulators
    instruction = Vector(
        a_source=Source.ACCUMULATOR_F32, b_source=Source.ACCUMULATOR_F32, operation=operation, destination=destination,
        a=0, b=n, d=2 * n, count_3=n, count_4=n, a_stride_3=1, b_stride_4=1, d_stride_3=n, d_stride_4=1,
    )  # fmt: skip
    reference(instruction, expected)
    state.scratchpad[:] = 0
    instruction.execute(state)
    np.testing.assert_array_equal(state.accumulators.view(np.uint32), expected.accumulators.view(np.uint32))
    np.testing.assert_array_equal(state.scratchpad, expected.scratchpad)


def test_halves_round_to_even_and_saturate() -> None:
    state = _state(0)
    values = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 126.5, 127.5, -128.5], np.float32)
    state.floats[0] = values
    Vector(a_source=Source.ACCUMULATOR_F32, b_source=Source.IMMEDIATE, d=5).execute(state)
    assert state.vectors[5].view(np.int8).tolist() == [0, 2, 2, 0, -2, 126, 127, -128]
    Vector(a_source=Source.ACCUMULATOR_F32, b_source=Source.IMMEDIATE, d=5, destination=1, d_zero=1).execute(state)
    assert state.vectors[5].tolist() == [1, 3, 3, 1, 0, 127, 129, 0]


def test_a_mailbox_takes_lane_0_of_the_last_result() -> None:
    state = _state(0)
    state.accumulators[:4, 0] = [5, 6, 7, -8]
    fields = {"a_source": Source.ACCUMULATOR_S32, "b_source": Source.IMMEDIATE, "destination": Destination.MAILBOX}
    Vector(**fields, d=3, count_4=4, a_stride_4=1).execute(state)
    assert state.mailboxes[3] == -8
    fields |= {"reduction": Reduction.MAXIMUM, "reduce_loops": 1}
    Vector(**fields, d=15, count_4=4, a_stride_4=1).execute(state)
    assert state.mailboxes[15] == 7


def test_sums_add_in_loop_order() -> None:
    state = _state(0)
    state.floats[:4, 0] = [1e8, 1.0, -1e8, 1.0]
    Vector(
        a_source=Source.ACCUMULATOR_F32, b_source=Source.IMMEDIATE, destination=Destination.ACCUMULATOR_F32, d=9,
        reduction=Reduction.SUM, reduce_loops=2, count_3=2, count_4=2, a_stride_3=2, a_stride_4=1,
    ).execute(state)  # fmt: skip
    assert state.floats[9, 0] == 1.0


def test_table_slots_hold_little_endian_words() -> None:
    state = _state(0)
    words = np.arange(256, dtype="<u4") * 3 + 7
    state.scratchpad[40 * LANES : 40 * LANES + 1024] = words.view(np.uint8)
    before = state.tables[0].copy()
    Table(slot=1, source=40).execute(state)
    assert state.tables[1].tolist() == words.tolist()
    assert (state.tables[0] == before).all()
