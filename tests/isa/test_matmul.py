"""MATMUL against loops over single numbers."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from weft_sim.isa import Instruction, MachineState, Matmul, MatmulMode
from weft_sim.machine import MachineConfig, machine
from weft_sim.random_program.instructions import Arena, _dense, _depthwise

CONFIG = machine("weft-8")
LANES = CONFIG.lanes


def _state(seed: int) -> MachineState:
    rng = np.random.default_rng(seed)
    state = MachineState(CONFIG, np.zeros(16, np.uint8), [])
    state.scratchpad[:] = rng.integers(0, 256, len(state.scratchpad))
    state.accumulators[:] = rng.integers(-(1 << 31), 1 << 31, state.accumulators.shape)
    return state


def _byte(state: MachineState, vector: int, lane: int, signed: int) -> int:
    value = int(state.scratchpad[vector * LANES + lane])
    return value - 256 if signed and value >= 128 else value


def _wrap(value: int) -> int:
    return (value + (1 << 31)) % (1 << 32) - (1 << 31)


def _numbers(instruction: Instruction, stem: str, count: int) -> list[int]:
    return [int(getattr(instruction, f"{stem}_{i}")) for i in range(count)]


def _dot(first: list[int], second: tuple[int, ...] | list[int]) -> int:
    return sum(a * b for a, b in zip(first, second, strict=True))


def reference(m: Matmul, state: MachineState) -> None:
    """The instruction's text in docs/isa.md, one multiplication at a time."""
    outer, inner = _numbers(m, "outer_count", 4), _numbers(m, "inner_count", 3)
    for digits in product(*map(range, outer)):
        tile = m.weight + _dot(_numbers(m, "outer_weight_stride", 4), digits)
        weights = [[0] * LANES for _ in range(LANES)]  # weights[k][c]
        for r in range(m.weight_rows):
            for lane in range(LANES):
                value = _byte(state, tile + r * m.weight_vector_stride, lane, m.weight_signed) - m.weight_zero
                if m.weight_order == 1:
                    weights[lane][r] = value
                else:
                    weights[r][lane] = value
        source = m.input + _dot(_numbers(m, "outer_input_stride", 4), digits)
        target = m.accumulator + _dot(_numbers(m, "outer_accumulator_stride", 4), digits)
        first = all(d == 0 for i, d in enumerate(digits) if m.reduce_mask >> i & 1)
        for steps, sums in _results(m, state, source, inner, weights):
            row = target + _dot(_numbers(m, "inner_accumulator_stride", 3), steps)
            for lane in range(LANES):
                old = 0 if first and not m.accumulate else int(state.accumulators[row, lane])
                state.accumulators[row, lane] = _wrap(old + sums[lane])


def _results(m: Matmul, state: MachineState, source: int, inner: list[int], weights: list[list[int]]):
    strides = _numbers(m, "inner_input_stride", 3)

    def x(steps: tuple[int, ...], lane: int) -> int:
        if lane >= m.input_lanes:
            return 0
        return _byte(state, source + _dot(strides, steps), lane, m.input_signed) - m.input_zero

    if m.mode == MatmulMode.DENSE:
        for steps in product(*map(range, inner)):
            yield steps, [sum(x(steps, k) * weights[k][c] for k in range(LANES)) for c in range(LANES)]
        return
    for image, i, j in product(range(inner[0]), range(inner[1]), range(inner[2])):
        row, column = i << m.row_shift, j << m.column_shift
        if row + m.window_rows > inner[1] or column + m.window_columns > inner[2]:
            continue
        sums = [0] * LANES
        for r, s, lane in product(range(m.window_rows), range(m.window_columns), range(LANES)):
            sums[lane] += x((image, row + r, column + s), lane) * weights[r * m.window_columns + s][lane]
        yield (image, i, j), sums


def _compare(instruction: Matmul, seed: int) -> None:
    expected, found = _state(seed), _state(seed)
    reference(instruction, expected)
    instruction.execute(found)
    np.testing.assert_array_equal(found.accumulators, expected.accumulators)
    np.testing.assert_array_equal(found.scratchpad, expected.scratchpad)


@pytest.mark.parametrize("seed", range(24))
def test_random_shapes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    arena = Arena(CONFIG, (100, 400), (10, 60), {})
    maker = _dense if seed % 2 else _depthwise
    for _ in range(3):
        instruction = maker(rng, arena)
        assert isinstance(instruction, Matmul)
        assert instruction.validate(CONFIG, [0] * 16, 16) is None
        _compare(instruction, seed)


EXTREMES = {"input_lanes": LANES, "weight_rows": LANES}


@pytest.mark.parametrize(
    "fields",
    [
        EXTREMES | {"input_zero": 255, "weight_zero": 255},
        EXTREMES | {"input_zero": -128, "weight_zero": 127, "input_signed": 1, "weight_signed": 1},
        EXTREMES | {"weight_order": 1, "input_lanes": 3},
        EXTREMES | {"weight_order": 1, "weight_rows": 3},
        EXTREMES | {"reduce_mask": 1, "outer_count_0": 3, "outer_input_stride_0": 5},
        EXTREMES | {"reduce_mask": 0, "outer_count_0": 3, "outer_input_stride_0": 5},
        EXTREMES | {"reduce_mask": 2, "outer_count_0": 2, "outer_count_1": 3, "outer_accumulator_stride_1": 1},
        EXTREMES | {"reduce_mask": 8, "outer_count_3": 3, "accumulate": 1},
        EXTREMES | {"inner_count_2": 5},  # the same row five times: the last one stays
        EXTREMES | {"inner_count_2": 5, "accumulate": 1},  # ... or all add up, modulo 2³²
        EXTREMES | {"inner_count_2": 4, "inner_input_stride_2": -2, "inner_accumulator_stride_2": -3},
    ],
    ids=str,
)  # fmt: skip
def test_corners(fields: dict[str, int]) -> None:
    _compare(Matmul(**{"input": 50, "weight": 90, "accumulator": 20, **fields}), 3)


def test_sums_wrap() -> None:
    state = MachineState(CONFIG, np.zeros(16, np.uint8), [])
    state.scratchpad[:LANES] = 255
    state.accumulators[0] = (1 << 31) - 1
    Matmul(accumulate=1, input_lanes=1).execute(state)
    assert state.accumulators[0].tolist() == [(1 << 31) - 1 + 255 * 255 - (1 << 32)] * LANES


def test_reading_of_accumulators_is_known() -> None:
    config: MachineConfig = CONFIG

    def reads(**fields: int) -> bool:
        streams = Matmul(**fields).streams(config, [0] * 16)
        return any(s.name == "accumulator" and not s.write for s in streams)

    assert not reads()
    assert reads(accumulate=1)
    assert not reads(reduce_mask=1, outer_count_0=4)
    assert not reads(outer_count_0=4, outer_accumulator_stride_0=2)
    assert reads(reduce_mask=1, outer_count_0=4, outer_accumulator_stride_0=2)
