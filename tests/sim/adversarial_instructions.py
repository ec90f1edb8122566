"""Random instructions that dispatch accepts, of every kind, and memories with the numbers that go wrong first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from weft_sim.isa import (
    Destination,
    Fill,
    Instruction,
    Load,
    Matmul,
    MatmulMode,
    Operation,
    Reduction,
    Source,
    Store,
    Table,
    Vector,
    WeightOrder,
)
from weft_sim.machine import MachineConfig

__all__ = ["random_accumulators", "random_floats", "random_instruction", "random_words", "small_machine"]

Generator = np.random.Generator

_SPECIAL_WORDS = np.array(
    [
        0x00000000, 0x80000000, 0x3F800000, 0xBF800000, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00001, 0x7FA00000,
        0x00000001, 0x80000001, 0x007FFFFF, 0x00800000, 0x7F7FFFFF, 0xFF7FFFFF, 0x3F000000, 0xBF000000, 0x3FC00000,
        0x40200000, 0x4B000000, 0x4B000001, 0x4AFFFFFF, 0x4F000000, 0xCF000000, 0xCF000001, 0x4EFFFFFF, 0x7FFFFFFF,
        0x000000FF, 0x42FF0000, 0x43008000, 0xC3010000, 0x4B7FFFFF,
    ],
    np.uint32,
)  # fmt: skip
"""Zeros, infinities, quiet and signalling NaNs, subnormals, halves, and the edges of 8, 24 and 32-bit integers."""


def small_machine(lanes: int) -> MachineConfig:
    """A machine whose memories are small enough to compare whole."""
    return MachineConfig(
        name=f"small-{lanes}", lanes=lanes, scratchpad_bytes=512 * lanes, scratchpad_banks=4, accumulator_rows=192,
        accumulator_banks=4, dram_beat_bytes=8, line_depth=32,
    ) if lanes >= 8 else MachineConfig(
        name="small-4", lanes=4, scratchpad_bytes=4096, scratchpad_banks=4, accumulator_rows=192, accumulator_banks=4,
        dram_beat_bytes=4, line_depth=32,
    )  # fmt: skip


def random_words(random: Generator, count: int) -> npt.NDArray[np.uint32]:
    """32-bit patterns: special ones, small integers, ordinary floats, and anything."""
    kind = random.integers(0, 4, count)
    small = random.integers(-300, 300, count).astype(np.int32).view(np.uint32)
    ordinary = (random.standard_normal(count) * 10.0 ** random.integers(-3, 8, count)).astype(np.float32)
    anything = random.integers(0, 1 << 32, count, dtype=np.uint64).astype(np.uint32)
    special = random.choice(_SPECIAL_WORDS, count)
    return np.choose(kind, [special, small, ordinary.view(np.uint32), anything])


def random_accumulators(random: Generator, config: MachineConfig) -> npt.NDArray[np.int32]:
    """int32 [rows, lanes]."""
    words = random_words(random, config.accumulator_rows * config.lanes)
    return words.view(np.int32).reshape(config.accumulator_rows, config.lanes)


def random_floats(random: Generator, count: int) -> list[float]:
    """float32 values as Python floats, special ones among them."""
    return [float(value) for value in random_words(random, count).view(np.float32)]


def random_instruction(
    random: Generator, kind: type[Instruction], config: MachineConfig, dram_bytes: int
) -> Instruction:
    """One that `validate` accepts with all registers 0. Tries until its addresses fit."""
    make = {Load: _transfer, Store: _transfer, Fill: _fill, Matmul: _matmul, Vector: _vector, Table: _table}[kind]
    while True:
        found = make(random, kind, config, dram_bytes)
        if found.validate(config, [0] * 16, dram_bytes) is None:
            return found


def _stride(random: Generator, unit: int = 1) -> int:
    """Strides that continue, repeat, overlap, skip or go backwards."""
    return int(random.choice([0, 1, 1, 2, 3, -1, -2, int(random.integers(-40, 41))])) * unit


def _counts(random: Generator, loops: int, most: int) -> list[int]:
    """Loop counts whose product is at most `most`; many are 1."""
    counts = [1] * loops
    left = most
    for i in random.permutation(loops):
        if random.random() < 0.6:
            counts[i] = int(random.integers(1, max(2, min(left, 12) + 1)))
            left //= counts[i]
    return counts


def _nested(random: Generator, counts: Sequence[int]) -> list[int]:
    """Strides under which the loops continue each other exactly, as dense tensors have."""
    strides, step = [], 1
    for count in reversed(counts):
        strides.append(step)
        step *= count
    return strides[::-1]


def _strides(random: Generator, counts: Sequence[int], unit: int = 1) -> list[int]:
    if random.random() < 0.3:
        return [stride * unit for stride in _nested(random, counts)]
    return [_stride(random, unit) for _ in counts]


def _base(random: Generator, dims: Iterator[tuple[int, int]], length: int, size: int) -> int:
    """A base address with which the stream stays inside `size`, if there is one."""
    pairs = list(dims)
    low = sum(min(0, (count - 1) * stride) for count, stride in pairs)
    high = sum(max(0, (count - 1) * stride) for count, stride in pairs) + length
    return int(random.integers(-low, max(size - high, -low) + 1))


def _numbered(prefix: str, values: Sequence[int]) -> dict[str, int]:
    return {f"{prefix}_{i}": value for i, value in enumerate(values)}


def _transfer(random: Generator, kind: type[Instruction], config: MachineConfig, dram_bytes: int) -> Instruction:
    counts = _counts(random, 4, 60)
    run = int(random.choice([1, 3, 4, 8, 16, 32, 64, int(random.integers(1, 200))]))
    unit = run if random.random() < 0.5 else 1
    dram, local = _strides(random, counts, unit), _strides(random, counts, unit)
    return kind(
        offset=_base(random, zip(counts, dram, strict=True), run, dram_bytes),
        scratchpad=_base(random, zip(counts, local, strict=True), run, config.scratchpad_bytes),
        run_bytes=run, **_numbered("count", counts), **_numbered("dram_stride", dram),
        **_numbered("scratchpad_stride", local),
    )  # fmt: skip


def _fill(random: Generator, kind: type[Instruction], config: MachineConfig, dram_bytes: int) -> Instruction:
    counts = _counts(random, 4, 60)
    run = int(random.integers(1, 100))
    local = _strides(random, counts, run if random.random() < 0.5 else 1)
    return kind(
        value=int(random.integers(0, 256)), run_bytes=run, **_numbered("count", counts),
        scratchpad=_base(random, zip(counts, local, strict=True), run, config.scratchpad_bytes),
        **_numbered("scratchpad_stride", local),
    )  # fmt: skip


def _table(random: Generator, kind: type[Instruction], config: MachineConfig, dram_bytes: int) -> Instruction:
    last = (config.scratchpad_bytes - 1024) // config.lanes
    return kind(slot=int(random.integers(0, 2)), source=int(random.integers(0, last + 1)))


def _zero_points(random: Generator) -> dict[str, int]:
    fields: dict[str, int] = {}
    for operand in ("input", "weight"):
        fields[f"{operand}_signed"] = signed = int(random.integers(0, 2))
        low = -128 if signed else 0
        fields[f"{operand}_zero"] = int(
            random.choice([0, low, low + 127, low + 255, int(random.integers(low, low + 256))])
        )
    return fields


def _matmul(random: Generator, kind: type[Instruction], config: MachineConfig, dram_bytes: int) -> Instruction:
    lanes = config.lanes
    depthwise = random.random() < 0.4
    outer, inner = _counts(random, 4, 12), _counts(random, 3, 60)
    window: dict[str, int] = {}
    weight_rows = int(random.choice([lanes, int(random.integers(1, lanes + 1))]))
    if depthwise:
        rows = int(random.integers(1, min(4, lanes) + 1))
        columns = int(random.integers(1, min(lanes // rows, 7) + 1))
        weight_rows = rows * columns
        inner = [inner[0] % 3 + 1, rows + int(random.integers(0, 6)), columns + int(random.integers(0, 6))]
        window = {
            "window_rows": rows, "window_columns": columns, "row_shift": int(random.integers(0, 3)),
            "column_shift": int(random.integers(0, 3)),
        }  # fmt: skip
    fields: dict[str, int] = {
        "mode": MatmulMode.DEPTHWISE if depthwise else MatmulMode.DENSE,
        "weight_order": WeightOrder.ROWS if depthwise else int(random.integers(0, 2)),
        "accumulate": int(random.integers(0, 2)), "reduce_mask": int(random.integers(0, 16)),
        "input_lanes": int(random.choice([lanes, int(random.integers(1, lanes + 1))])), "weight_rows": weight_rows,
        **_zero_points(random), **window,
    }  # fmt: skip
    vector_stride = _stride(random)
    input_outer, input_inner = [_stride(random) for _ in outer], _strides(random, inner)
    weight_outer = [_stride(random) * random.choice([1, weight_rows]) for _ in outer]
    row_outer = [_stride(random) for _ in outer]
    row_inner = _strides(random, inner)
    plain = kind(
        **fields, weight_vector_stride=vector_stride, **_numbered("outer_count", outer),
        **_numbered("inner_count", inner), **_numbered("outer_input_stride", input_outer),
        **_numbered("inner_input_stride", input_inner), **_numbered("outer_weight_stride", weight_outer),
        **_numbered("outer_accumulator_stride", row_outer), **_numbered("inner_accumulator_stride", row_inner),
    )  # fmt: skip
    assert isinstance(plain, Matmul)
    vectors = config.scratchpad_bytes // lanes
    counts = (*outer, *inner)
    outputs = (*outer, *plain.output_counts())
    return plain.replace(
        input=_base(random, zip(counts, input_outer + input_inner, strict=True), 1, vectors),
        weight=_base(random, zip((*outer, weight_rows), (*weight_outer, vector_stride), strict=True), 1, vectors),
        accumulator=_base(random, zip(outputs, row_outer + row_inner, strict=True), 1, config.accumulator_rows),
    )


def _scale(random: Generator) -> float:
    return float(np.float32(random.choice([1.0, 1.0, 0.0078125, -0.3, 1e-3, 3.7, random_floats(random, 1)[0]])))


def _bounds(random: Generator) -> tuple[float, float]:
    low, high = random_floats(random, 2)
    choices = [(float("-inf"), float("inf")), (-128.0, 127.0), (0.0, 6.0), (low, high)]
    return choices[int(random.integers(0, 4))]


def _vector(random: Generator, kind: type[Instruction], config: MachineConfig, dram_bytes: int) -> Instruction:
    counts = _counts(random, 5, int(random.choice([40, 150])))
    reduce_loops = int(random.integers(0, 6)) if random.random() < 0.4 else 0
    a_source = Source(int(random.integers(0, 4)))
    b_source = Source(int(random.integers(0, 6)))
    destination = Destination(int(random.choice([0, 1, 2, 3, 4], p=[0.24, 0.24, 0.24, 0.24, 0.04])))
    results = [1 if i >= 5 - reduce_loops else count for i, count in enumerate(counts)]
    a, b, d = (_strides(random, counts) for _ in range(3))
    parameter_stride = int(random.choice([0, 8, -8, 1]))
    rows = (Source.ACCUMULATOR_S32, Source.ACCUMULATOR_F32)
    vectors = config.scratchpad_bytes // config.lanes

    def place(counts: Sequence[int], strides: Sequence[int], in_rows: bool) -> int:
        return _base(random, zip(counts, strides, strict=True), 1, config.accumulator_rows if in_rows else vectors)

    low, high = _bounds(random)
    a_low, a_high = _bounds(random)
    d_rows = destination in (Destination.ACCUMULATOR_S32, Destination.ACCUMULATOR_F32)
    first = place(counts, a, a_source in rows)
    in_place = random.random() < 0.2 and d_rows == (a_source in rows)
    target = first if in_place else place(results, d, d_rows)
    return kind(
        a_source=a_source, b_source=b_source, operation=Operation(int(random.integers(0, 13))),
        reduction=int(random.integers(1, 4)) if reduce_loops else Reduction.NONE, destination=destination,
        reduce_loops=reduce_loops, parameters=int(random.random() < 0.3), a_round=int(random.random() < 0.3),
        table=int(random.choice([0, 0, 0, 1, 2])), exchange=int(random.integers(0, config.lanes)), a=first,
        b=place(counts, b, b_source in rows),
        d=int(random.integers(0, 16)) if destination == Destination.MAILBOX else target,
        parameter=_base(random, iter([(counts[0], parameter_stride)]), 8, vectors), parameter_stride=parameter_stride,
        a_zero=int(random.choice([0, 128, -128, -32768, 32767])), b_zero=int(random.choice([0, 3, -32768, 32767])),
        d_zero=int(random.choice([0, 5, -128, 32767, -32768])), a_scale=_scale(random), a_low=a_low, a_high=a_high,
        a_rescale=_scale(random), b_scale=_scale(random), scale=_scale(random), low=low, high=high,
        **_numbered("count", counts), **_numbered("a_stride", a), **_numbered("b_stride", b),
        **_numbered("d_stride", a if in_place else d),
    )  # fmt: skip
